"""A picture of what went on over time: panels below each other, with one axis of time. Pure; SVG, as text."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

WIDTH, LEFT, PANEL, GAP, TOP, FOOT = 860, 60, 150, 36, 34, 34
GREY, DARK_RED, BLUE, GREEN = "#6b7280", "#b45309", "#1d4ed8", "#047857"


@dataclass(frozen=True, slots=True)
class Line:
    """A value at each time. is_stepped: it stays until the next."""

    name: str
    color: str
    values: Sequence[float]
    is_stepped: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    """Lines with one scale, from 0 to the largest value. limit: a level that is drawn dashed, and its name."""

    lines: Sequence[Line]
    limit: tuple[str, float] | None = None


@dataclass(frozen=True, slots=True)
class Picture:
    """times: of the values, in seconds from 0. ticks: seconds, and what is written below. marks: what happened when."""

    title: str
    times: Sequence[float]
    seconds: float
    panels: Sequence[Panel]
    ticks: Sequence[tuple[float, str]]
    marks: Sequence[tuple[float, str]] = ()

    def svg(self) -> str:
        return "\n".join([*self._head(), *self._marks(), *self._panels(), *self._foot(), "</svg>", ""])

    @property
    def _height(self) -> int:
        return TOP + len(self.panels) * (PANEL + GAP) - GAP + FOOT

    def _head(self) -> Iterator[str]:
        yield (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self._height}" font-family="sans-serif" '
            'font-size="12" fill="#374151">'
        )
        yield f'<rect width="{WIDTH}" height="{self._height}" fill="#ffffff"/>'
        yield f'<text x="{LEFT}" y="18" font-weight="bold">{self.title}</text>'

    def _marks(self) -> Iterator[str]:
        bottom = self._height - FOOT
        for at, what in self.marks:
            x = f"{self._x(at):.0f}"
            yield f'<path d="M{x} {TOP}V{bottom}" stroke="#d1d5db" stroke-dasharray="2 3"/>'
            yield f'<text x="{x}" y="{bottom + 11}" text-anchor="middle" font-size="9" fill="{GREY}">{what}</text>'

    def _panels(self) -> Iterator[str]:
        for number, panel in enumerate(self.panels):
            top = TOP + number * (PANEL + GAP)
            limits = [] if panel.limit is None else [panel.limit[1]]
            most = max([*(value for line in panel.lines for value in line.values), *limits]) or 1.0
            for row, line in enumerate(panel.lines):
                yield f'<text x="{LEFT + 4}" y="{top + 12 + 14 * row}" fill="{line.color}">{line.name}</text>'
            yield f'<path d="M{LEFT} {top}V{top + PANEL}H{WIDTH - 10}" fill="none" stroke="#9ca3af"/>'
            yield f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{most:.0f}</text>'
            yield f'<text x="{LEFT - 6}" y="{top + PANEL}" text-anchor="end">0</text>'
            if panel.limit is not None:
                name, level = panel.limit
                y = f"{top + PANEL * (1 - level / most):.1f}"
                yield f'<path d="M{LEFT} {y}H{WIDTH - 10}" stroke="{DARK_RED}" stroke-dasharray="6 4"/>'
                yield f'<text x="{WIDTH - 12}" y="{float(y) - 4:.1f}" text-anchor="end" fill="{DARK_RED}">{name}</text>'
            for line in panel.lines:
                drawn = self._path(line, top, most)
                yield f'<path d="{drawn}" fill="none" stroke="{line.color}" stroke-width="1.5"/>'

    def _path(self, line: Line, top: float, most: float) -> str:
        places = zip(self.times, line.values, strict=True)
        points = [(self._x(at), top + PANEL * (1 - value / most)) for at, value in places]
        (first_x, first_y), *rest = points
        drawn = [f"M{first_x:.1f} {first_y:.1f}"]
        drawn += [f"H{x:.1f}V{y:.1f}" if line.is_stepped else f"L{x:.1f} {y:.1f}" for x, y in rest]
        return "".join(drawn)

    def _foot(self) -> Iterator[str]:
        for at, text in self.ticks:
            yield f'<text x="{self._x(at):.0f}" y="{self._height - 10}" text-anchor="middle">{text}</text>'

    def _x(self, at: float) -> float:
        return LEFT + (WIDTH - 30 - LEFT) * at / self.seconds
