"""Histograms on a worker's board: how many of what is counted were at most so long, and how long all were together.

Their words, and those of `counters` behind them, begin at `SUMS_AT`; those of several workers are added up.

Of the fast loop, which reads no clock for a task, each call counts as long as those of its stretch took in the mean.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass

from consumerd.model.limits import SECOND_NS

SUMS_AT = 512


@dataclass(frozen=True)
class Counts:
    """counts: of each bound, and of what is beyond them; sum_s: of all of them together."""

    counts: tuple[int, ...]
    sum_s: float = 0.0


@dataclass(frozen=True)
class Histogram:
    """The words of one: first their sum in nanoseconds, then the counts.

    at: its first word, behind SUMS_AT.
    bounds_s: what is noted is counted at the first bound that it does not exceed; behind the last one, where it is
    longer than all.
    """

    at: int
    bounds_s: tuple[float, ...]

    @property
    def end(self) -> int:
        """The word after it."""
        return self.at + 1 + len(self.bounds_s) + 1

    def note(self, words: memoryview, times: int, together_s: float) -> None:
        """So many were so long together, each as long as the others."""
        start = SUMS_AT + self.at
        words[start + 1 + bisect_left(self.bounds_s, together_s / times)] += times
        words[start] += int(together_s * SECOND_NS)

    def read(self, sums: Sequence[int]) -> Counts:
        """As `wire.figures.counters` has it among all that is added up."""
        return Counts(tuple(sums[self.at + 1 : self.end]), sums[self.at] / SECOND_NS)


CALLS = Histogram(
    0,
    (
        *(0.0001, 0.00025, 0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5),
        *(1.0, 2.5, 5.0, 10.0, 30.0, 60.0, 150.0, 300.0, 600.0, 1800.0, 3600.0),
    ),
)
"""How long calls of the handler took."""

BEHIND = Histogram(
    CALLS.end,
    (
        *(0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0),
        *(60.0, 150.0, 300.0, 600.0, 1800.0, 3600.0, 10_800.0, 43_200.0, 86_400.0),
    ),
)
"""For how long tasks had been due when they were handled."""
