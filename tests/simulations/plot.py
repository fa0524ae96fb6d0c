"""`PYTHONPATH=tests python -m simulations.plot > docs/plots/autoscale.svg`: one simulated run, as a picture."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence

from consumerd.config.keys.worker_range import WorkerRange
from simulations.autoscaling import Load, Moment, Run, Workers, bursts, days, simulate

SECONDS = 3600.0
BOUNDS = WorkerRange(min=1, max=12, target_seconds=30.0)
RATE = 10.0
SAMPLE = 10
"""One moment in so many is drawn."""

WIDTH, LEFT, PANEL, GAP, TOP = 860, 60, 150, 36, 34
HEIGHT = TOP + 3 * PANEL + 2 * GAP + 34
PANELS: Sequence[tuple[str, str, bool, Callable[[Moment], float]]] = (
    ("tasks a second that come in", "#6b7280", False, lambda moment: moment.arrivals),
    ("tasks behind", "#b45309", False, lambda moment: moment.backlog),
    ("workers", "#1d4ed8", True, lambda moment: float(moment.workers)),
)


def load() -> Load:
    """A wave within the hour, and two bursts on it."""
    wave, peaks = days(SECONDS, most=60.0), bursts(1500, 3000, base=0.0)
    return lambda at: wave(at) + peaks(at)


def simulated() -> Run:
    return simulate(load(), BOUNDS, Workers(RATE, BOUNDS.min), seconds=SECONDS)


def svg(run: Run) -> str:
    """The picture, as text."""
    moments = [_widest(run.moments[index : index + SAMPLE]) for index in range(0, len(run.moments), SAMPLE)]
    return "\n".join([*_head(), *_panels(moments), *_foot(), "</svg>", ""])


def _widest(sample: Sequence[Moment]) -> Moment:
    """The moment of a sample that must not be missing from the picture."""
    return max(sample, key=lambda moment: moment.backlog)


def _head() -> Iterator[str]:
    yield (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
        'font-size="12" fill="#374151">'
    )
    yield f'<rect width="{WIDTH}" height="{HEIGHT}" fill="#ffffff"/>'
    title = f"A simulated hour: workers {BOUNDS.min} to {BOUNDS.max}, target_seconds {BOUNDS.target_seconds:.0f}, "
    yield f'<text x="{LEFT}" y="18" font-weight="bold">{title}a worker does {RATE:.0f} tasks a second</text>'


def _panels(moments: Sequence[Moment]) -> Iterator[str]:
    for number, (name, color, is_stepped, value) in enumerate(PANELS):
        top = TOP + number * (PANEL + GAP)
        values = [value(moment) for moment in moments]
        most = max(values) or 1.0
        points = [
            (_x(moment.at), top + PANEL * (1 - each / most)) for moment, each in zip(moments, values, strict=True)
        ]
        yield f'<text x="{LEFT + 4}" y="{top + 12}" fill="{color}">{name}</text>'
        yield f'<path d="M{LEFT} {top}V{top + PANEL}H{WIDTH - 10}" fill="none" stroke="#9ca3af"/>'
        yield f'<text x="{LEFT - 6}" y="{top + 10}" text-anchor="end">{most:.0f}</text>'
        yield f'<text x="{LEFT - 6}" y="{top + PANEL}" text-anchor="end">0</text>'
        yield f'<path d="{_path(points, is_stepped=is_stepped)}" fill="none" stroke="{color}" stroke-width="1.5"/>'


def _path(points: Sequence[tuple[float, float]], *, is_stepped: bool) -> str:
    (first_x, first_y), *rest = points
    drawn = [f"M{first_x:.1f} {first_y:.1f}"]
    drawn += [f"H{x:.1f}V{y:.1f}" if is_stepped else f"L{x:.1f} {y:.1f}" for x, y in rest]
    return "".join(drawn)


def _foot() -> Iterator[str]:
    for minute in range(0, int(SECONDS / 60) + 1, 10):
        yield f'<text x="{_x(minute * 60.0):.0f}" y="{HEIGHT - 10}" text-anchor="middle">{minute} min</text>'


def _x(at: float) -> float:
    return LEFT + (WIDTH - 30 - LEFT) * at / SECONDS


if __name__ == "__main__":
    sys.stdout.write(svg(simulated()))
