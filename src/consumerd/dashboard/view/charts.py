"""Charts as SVG, drawn here: lines over time, with a description for who hears them, and a table for who wants it."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from markupsafe import Markup, escape

from consumerd.cli.lines import printable
from consumerd.clock import iso
from consumerd.dashboard.history import known

WIDTH, HEIGHT = 640, 180
LEFT, RIGHT, TOP, BOTTOM = 52, 8, 10, 22
ROWS = 30
"""The table has so many rows at most."""


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a chart. number: of its colour; 1 to 4."""

    label: str
    values: Sequence[float]
    number: int = 1


@dataclass(frozen=True, slots=True)
class Mark:
    """Something that happened, at a moment of the wall clock."""

    at: float
    text: str
    kind: str = ""


def sparkline(values: Sequence[float], label: str) -> Markup:
    """A small line without axes; its values are said in words by `label`."""
    top = max(known(values), default=0.0) or 1.0
    points = [(100 * at / max(1, len(values) - 1), 22 - 20 * value / top) for at, value in enumerate(values)]
    paths = "".join(_path(points))
    return Markup(
        '<svg class="spark" viewBox="0 0 100 24" preserveAspectRatio="none" role="img" aria-label="{}">{}</svg>'
    ).format(printable(label), Markup(paths))


def chart(
    name: str,
    title: str,
    lines: Sequence[Line],
    *,
    until: float,
    step_s: float,
    show: Callable[[float], str],
    marks: Sequence[Mark] = (),
) -> Markup:
    """A figure over time.

    name: of its ids, plain. until: when the last values are of. show: a value as text, with its unit.
    """
    count = max((len(line.values) for line in lines), default=0)
    frame = _Frame(count, until - step_s * max(1, count - 1), until, _nice(_highest(lines)))
    drawn = [*frame.grid(show), *frame.times(), *frame.marks(marks)]
    drawn += [path for line in lines for path in frame.line(line)]
    described = "; ".join(_described(line, show) for line in lines)
    svg = Markup(
        '<svg class="chart" viewBox="0 0 {w} {h}" role="img" aria-labelledby="{n}-title {n}-desc">'
        '<title id="{n}-title">{title}</title><desc id="{n}-desc">{desc}</desc>{drawn}</svg>'
    ).format(w=WIDTH, h=HEIGHT, n=name, title=title, desc=described, drawn=Markup("".join(drawn)))
    return Markup('<figure class="plot"><figcaption>{}{}</figcaption>{}{}</figure>').format(
        Markup("<span>{}</span>").format(title), _legend(lines, show), svg, _table(name, title, lines, frame, show)
    )


@dataclass(frozen=True, slots=True)
class _Frame:
    """Where values and times lie in the picture."""

    count: int
    since: float
    until: float
    top: float

    def x(self, at: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * (at - self.since) / max(1e-9, self.until - self.since)

    def y(self, value: float) -> float:
        return HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * value / self.top

    def at(self, index: int) -> float:
        return self.since + (self.until - self.since) * index / max(1, self.count - 1)

    def line(self, line: Line) -> Iterator[str]:
        points = [(self.x(self.at(index)), self.y(value)) for index, value in enumerate(line.values)]
        return (path.replace("<path ", f'<path class="line line-{line.number}" ') for path in _path(points))

    def grid(self, show: Callable[[float], str]) -> Iterator[str]:
        for part in range(3):
            value = self.top * part / 2
            y = self.y(value)
            yield f'<line class="grid" x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y:.1f}" y2="{y:.1f}"/>'
            yield f'<text class="axis" x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{escape(show(value))}</text>'

    def times(self) -> Iterator[str]:
        for part, anchor in ((0, "start"), (1, "middle"), (2, "end")):
            at = self.since + (self.until - self.since) * part / 2
            text = iso(at)[11:16]
            yield f'<text class="axis" x="{self.x(at):.1f}" y="{HEIGHT - 6}" text-anchor="{anchor}">{text}</text>'

    def marks(self, marks: Sequence[Mark]) -> Iterator[str]:
        for mark in marks:
            if self.since <= mark.at <= self.until:
                x, said = self.x(mark.at), escape(f"{iso(mark.at)[11:19]} {printable(mark.text)}")
                yield f'<g class="mark {escape(mark.kind)}"><title>{said}</title>'
                yield f'<line x1="{x:.1f}" x2="{x:.1f}" y1="{TOP}" y2="{HEIGHT - BOTTOM}"/>'
                yield f'<path d="M{x - 4:.1f} {TOP}h8l-4 6z"/></g>'


def _path(points: Sequence[tuple[float, float]]) -> Iterator[str]:
    """A path for each run of values that are known; a dot for one alone."""
    run: list[str] = []
    for x, y in [*points, (0.0, math.nan)]:
        if not math.isnan(y):
            run.append(f"{x:.1f} {y:.1f}")
        elif run:
            yield f'<path d="M{"L".join(run)}{"h0.1" if len(run) == 1 else ""}"/>'
            run = []


def _highest(lines: Sequence[Line]) -> float:
    return max((value for line in lines for value in known(line.values)), default=0.0)


SMALLEST = 1e-300
"""No power of ten below it can be told from nothing."""


def _nice(value: float) -> float:
    """The next of 1, 2, 4, 5, 10, 20 … from a value."""
    if value < SMALLEST or not math.isfinite(value):
        return 1.0
    size = 10.0 ** math.floor(math.log10(value))
    return next(factor * size for factor in (1, 2, 4, 5, 10) if factor * size >= value * 0.999)


def _last(line: Line) -> float:
    return next((value for value in reversed(line.values) if not math.isnan(value)), math.nan)


def _legend(lines: Sequence[Line], show: Callable[[float], str]) -> Markup:
    entries = [(line, "–" if math.isnan(_last(line)) else show(_last(line))) for line in lines]
    made = [
        Markup('<span class="key key-{}">{} <b>{}</b></span>').format(line.number, line.label, value)
        for line, value in entries
    ]
    return Markup('<span class="legend">{}</span>').format(Markup("").join(made))


def _described(line: Line, show: Callable[[float], str]) -> str:
    values = list(known(line.values))
    if not values:
        return f"{line.label}: nothing is known"
    return f"{line.label}: {show(values[-1])} now, {show(min(values))} to {show(max(values))}"


def _table(name: str, title: str, lines: Sequence[Line], frame: _Frame, show: Callable[[float], str]) -> Markup:
    """Some of the values, for who cannot see the lines."""
    every = max(1, -(-frame.count // ROWS))
    heads = Markup("").join(Markup('<th scope="col">{}</th>').format(line.label) for line in lines)
    rows = []
    for index in range(frame.count - 1, -1, -every):
        found = [line.values[index] for line in lines]
        if all(map(math.isnan, found)):
            continue
        cells = Markup("").join(Markup("<td>{}</td>").format("–" if math.isnan(one) else show(one)) for one in found)
        rows.append(Markup('<tr><th scope="row">{}</th>{}</tr>').format(iso(frame.at(index))[11:19], cells))
    return Markup(
        '<details class="numbers" id="{}-numbers"><summary>Numbers<span class="hidden"> of {}</span></summary>'
        '<table><thead><tr><th scope="col">UTC</th>{}</tr></thead><tbody>{}</tbody></table></details>'
    ).format(name, title, heads, Markup("").join(rows))
