"""How long a worker's calls of its handler took, on its board: how many of them took at most so long.

Of the fast loop, which reads no clock for a task, each call counts as long as those of its stretch took in the mean.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass

from consumerd.model.limits import SECOND_NS

BOUNDS_S = (
    *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
    *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 150.0, 300.0, 600.0, 1800.0, 3600.0),
)
"""A call is counted at the first bound that it did not exceed; behind the last one, where it took longer than all."""

SUM_NS = 512
"""The word of all their durations together, which the counts follow."""

COUNTS = SUM_NS + 1
END = COUNTS + len(BOUNDS_S) + 1


@dataclass(frozen=True, slots=True)
class Durations:
    """counts: of each bound, and of what is beyond them; sum_s: of all of them together."""

    counts: tuple[int, ...] = (0,) * (len(BOUNDS_S) + 1)
    sum_s: float = 0.0


def note(words: memoryview, calls: int, took_s: float) -> None:
    """So many calls took so long together."""
    words[COUNTS + bisect_left(BOUNDS_S, took_s / calls)] += calls
    words[SUM_NS] += int(took_s * SECOND_NS)


def durations_in(words: memoryview) -> Durations:
    """As a board has them now."""
    return Durations(tuple(words[COUNTS:END].tolist()), words[SUM_NS] / SECOND_NS)


def together(workers: Iterable[Durations]) -> Durations:
    """Of several workers as one."""
    each = [*workers, Durations()]
    counts = zip(*(durations.counts for durations in each), strict=True)
    return Durations(tuple(map(sum, counts)), sum(durations.sum_s for durations in each))
