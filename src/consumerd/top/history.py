"""How pools were at the last looks of `consumerd top`. Pure: the time is given.

A rate is what two looks differ by; looks that failed, or a master that has begun anew, leave a gap.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

from consumerd.wire.status import Status

KEPT = 120
"""So many looks are kept, a second apart: what sparklines show."""

RATE_OVER_S = 3.0
"""The rate that is shown is the mean of so long: batches come in gusts."""

GAP_S = 5.0
"""Two looks further apart than this say nothing of what was between them."""

BARS = "▁▂▃▄▅▆▇█"


@dataclass(frozen=True, slots=True)
class Point:
    """A pool as one look found it. at: on the monotonic clock. lag: of all shards; None: nobody knows."""

    at: float
    handled: int
    lag: int | None


class History:
    """The last looks at each pool."""

    def __init__(self) -> None:
        self._points: dict[str, deque[Point]] = {}
        self._master: tuple[int, float] | None = None

    def add(self, status: Status, at: float) -> None:
        """One more look."""
        if self._master != (status.pid, status.started_at):
            self._points.clear()
        self._master = (status.pid, status.started_at)
        names = {pool.name for pool in status.pools}
        self._points = {name: points for name, points in self._points.items() if name in names}
        for pool in status.pools:
            points = self._points.setdefault(pool.name, deque(maxlen=KEPT))
            points.append(Point(at, pool.handled, pool.lag_tasks))

    def rate(self, name: str) -> float | None:
        """Tasks a second, of late; None where it is not known yet."""
        points = self._points.get(name)
        if not points:
            return None
        known = [point for point in points if point.at >= points[-1].at - RATE_OVER_S]
        return _rate(known[0], known[-1])

    def rates(self, name: str) -> list[float | None]:
        """Between each two looks."""
        return [_rate(before, now) for before, now in pairwise(self._points.get(name, ()))]

    def lags(self, name: str) -> list[float | None]:
        return [point.lag for point in self._points.get(name, ())]


def _rate(before: Point, now: Point) -> float | None:
    seconds = now.at - before.at
    if not 0 < seconds <= GAP_S or now.handled < before.handled:
        return None
    return (now.handled - before.handled) / seconds


def spark(values: Sequence[float | None], width: int, *, looks: int = 1) -> str:
    """The last values as bars, from none to the highest among them; a gap where one is not known.

    looks: of so many values each bar is the mean.
    """
    last = _means(values, looks)[-width:]
    highest = max((value for value in last if value is not None), default=0.0)
    steps = len(BARS) - 1
    bars = (" " if value is None else BARS[round(steps * value / highest) if highest else 0] for value in last)
    return "".join(bars).rjust(width)


def _means(values: Sequence[float | None], looks: int) -> list[float | None]:
    """Of each so many of them, from the last one backwards."""
    means = list[float | None]()
    for end in range(len(values), 0, -looks):
        known = [value for value in values[max(0, end - looks) : end] if value is not None]
        means.append(sum(known) / len(known) if known else None)
    return means[::-1]
