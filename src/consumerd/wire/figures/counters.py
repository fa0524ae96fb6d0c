"""What a worker counts on its board beside what the loop looks at: one word each, in the order of `Counter`.

A counter is declared here alone. With the histograms before them they are one slice of the board, and added up as one.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from enum import IntEnum

from consumerd.model.outcome import Dead, Done, Expired, Outcome, Retry, Skipped
from consumerd.wire.figures.histograms import BEHIND, SUMS_AT


class Counter(IntEnum):
    """RETRIED to PUT_OFF: what became of tasks that are not done; PUT_OFF: no attempt was made at them.

    BATCHES, BATCHED: how often `handle_batch` was called, and with how many tasks.
    LINES_FOLDED: lines that the consumer's code has logged and that were counted in the place of being written.
    """

    RETRIED = 0
    DEAD = 1
    EXPIRED = 2
    PUT_OFF = 3
    BATCHES = 4
    BATCHED = 5
    LINES_FOLDED = 6

    def add(self, words: memoryview, tasks: int = 1) -> None:
        """Count so many on a board."""
        words[SUMS_AT + BEHIND.end + self] += tasks

    def read(self, sums: Sequence[int]) -> int:
        """Among all that is added up."""
        return sums[BEHIND.end + self]


END = SUMS_AT + BEHIND.end + len(Counter)


def counter_of(outcome: Outcome, *, was_tried: bool = True) -> Counter | None:
    """Of a task that has come to this end; None where it is done, which is counted elsewhere.

    was_tried: an attempt was made at it.
    """
    if not was_tried:
        return Counter.PUT_OFF
    match outcome:
        case Retry():
            return Counter.RETRIED
        case Dead():
            return Counter.DEAD
        case Expired():
            return Counter.EXPIRED
        case Done() | Skipped():
            return None


Sums = Sequence[int]
"""The words of all histograms, then of each `Counter`."""

NOTHING: Sums = (0,) * (END - SUMS_AT)


def sums_in(words: memoryview) -> Sums:
    """As a board has them now."""
    found: list[int] = words[SUMS_AT:END].tolist()
    return found


def together(workers: Iterable[Sums]) -> Sums:
    """Of several workers, at least one, as one."""
    return tuple(map(sum, zip(*workers, strict=True)))
