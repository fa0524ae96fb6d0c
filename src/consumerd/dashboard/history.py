"""What figures were like: an hour of them every ten seconds, a day every minute, in a fixed amount of memory. Pure."""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterator, MutableSequence, Sequence
from dataclasses import dataclass
from enum import IntEnum
from itertools import pairwise

from consumerd.wire.metrics import Histogram, PoolMetrics
from consumerd.wire.status import PoolStatus

UNKNOWN = math.nan
MOST_POOLS = 200
"""So many pools have a history; of more, those that came first."""


class Figure(IntEnum):
    """What is kept of a pool. RATE, FAILED: tasks a second. LAG_S, P50_S, P99_S: seconds."""

    RATE = 0
    FAILED = 1
    LAG_TASKS = 2
    LAG_S = 3
    PARKED = 4
    WORKERS = 5
    P50_S = 6
    P99_S = 7


Values = Sequence[float]
"""One for each `Figure`; `UNKNOWN` where nobody knows."""


class Ring:
    """The values of a pool at the last `size` steps, over floats that somebody else may keep."""

    def __init__(self, size: int, floats: MutableSequence[float] | None = None, last: int = 0) -> None:
        """last: the number of the step that was noted last; 0: none was."""
        self.size = size
        self.last = last
        self._floats = floats if floats is not None else array("f", [UNKNOWN]) * (size * len(Figure))

    def note(self, step: int, values: Values) -> None:
        """Of this step; what lies between it and the last one is unknown. One that is over is left as it was."""
        if step <= self.last:
            return
        for missed in range(max(self.last, step - self.size) + 1, step):
            self._write(missed, [UNKNOWN] * len(Figure))
        self._write(step, values)
        self.last = step

    def values(self, figure: Figure, until: int, count: int) -> list[float]:
        """Those of the `count` steps that end with `until`."""
        return [self._read(step, figure) for step in range(until - count + 1, until + 1)]

    def _write(self, step: int, values: Values) -> None:
        start = step % self.size * len(Figure)
        for place, value in enumerate(values, start):
            self._floats[place] = value

    def _read(self, step: int, figure: Figure) -> float:
        if not self.last - self.size < step <= self.last:
            return UNKNOWN
        return float(self._floats[step % self.size * len(Figure) + figure])


@dataclass(frozen=True, slots=True)
class _Counts:
    """What counters of a pool were at a moment."""

    at: float
    handled: int
    failed: int
    calls: tuple[int, ...]


class History:
    """The rings of all pools, one value every `step_s` seconds."""

    def __init__(self, step_s: float, size: int, ring: Callable[[str], Ring | None] | None = None) -> None:
        """ring: of a pool that is new here; None where there is room for none."""
        self.step_s = step_s
        self.size = size
        self._ring = ring or (lambda name: Ring(size))
        self._rings: dict[str, Ring] = {}
        self._before: dict[str, _Counts] = {}

    def step(self, at: float) -> int:
        """The number of the step in which a moment lies, on the wall clock."""
        return int(at // self.step_s)

    def note(self, status: PoolStatus, metrics: PoolMetrics, at: float) -> None:
        """How a pool is now. The first look in each step counts, over the time since that of the step before."""
        ring = self._ring_of(status.name)
        if ring is None or ring.last >= self.step(at):
            return
        now, before = _counts(status, metrics, at), self._before.get(status.name)
        self._before[status.name] = now
        ring.note(self.step(at), _values(status, metrics.calls, now, before))

    def values(self, name: str, figure: Figure, at: float, count: int) -> list[float]:
        """The last `count` values of a pool until a moment, the oldest first."""
        ring = self._rings.get(name)
        return [UNKNOWN] * count if ring is None else ring.values(figure, self.step(at), count)

    def known_steps(self, name: str, at: float) -> int:
        """How many steps before a moment the first one is of which anything is known of a pool."""
        workers = self.values(name, Figure.WORKERS, at, self.size)
        return self.size - next((place for place, value in enumerate(workers) if not math.isnan(value)), self.size)

    def begun(self, name: str, at: float) -> float | None:
        """When the figures of a pool begin; None where all of them are known for which there is room."""
        known = self.known_steps(name, at)
        return at - max(0, known - 1) * self.step_s if known < self.size else None

    def keep_only(self, names: set[str]) -> None:
        """Forget pools that are not there any more, where there is no room for all."""
        if len(self._rings) > MOST_POOLS // 2:
            for gone in self._rings.keys() - names:
                del self._rings[gone]
                self._before.pop(gone, None)

    def _ring_of(self, name: str) -> Ring | None:
        if name not in self._rings:
            made = self._ring(name) if len(self._rings) < MOST_POOLS else None
            if made is None:
                return None
            self._rings[name] = made
        return self._rings[name]


def _counts(status: PoolStatus, metrics: PoolMetrics, at: float) -> _Counts:
    return _Counts(at, status.handled, status.failed, tuple(metrics.calls.counts))


def _values(status: PoolStatus, calls: Histogram, now: _Counts, before: _Counts | None) -> Values:
    rate = failed = p50_s = p99_s = UNKNOWN
    if before is not None and now.at > before.at and now.handled >= before.handled and now.failed >= before.failed:
        apart_s = now.at - before.at
        rate, failed = (now.handled - before.handled) / apart_s, (now.failed - before.failed) / apart_s
        counts = [later - earlier for earlier, later in zip(before.calls, now.calls, strict=False)]
        p50_s, p99_s = quantile(calls.bounds_s, counts, 0.5), quantile(calls.bounds_s, counts, 0.99)
    parked = UNKNOWN if status.parked_now is None else status.parked_tasks
    behind = or_unknown(status.lag_tasks), or_unknown(status.lag_s)
    return (rate, failed, *behind, parked, status.workers_running, p50_s, p99_s)


def or_unknown(figure: float | None) -> float:
    """The figure; `UNKNOWN` where nobody knows it."""
    return UNKNOWN if figure is None else figure


def quantile(bounds_s: Sequence[float], counts: Sequence[int], share: float) -> float:
    """Below which time this share of what a histogram counts lies, as far as its bounds tell."""
    together = sum(counts)
    if together <= 0 or min(counts) < 0:
        return UNKNOWN
    wanted, passed = share * together, 0
    for (lower, upper), count in zip(pairwise((0.0, *bounds_s)), counts, strict=False):
        if count and passed + count >= wanted:
            return lower + (upper - lower) * (wanted - passed) / count
        passed += count
    return bounds_s[-1]


def known(values: Sequence[float]) -> Iterator[float]:
    """Those that are."""
    return (value for value in values if not math.isnan(value))
