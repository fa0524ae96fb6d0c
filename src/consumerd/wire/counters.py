"""What a worker counts on its board beside what the loop looks at: one word each, in the order of `Counter`."""

from __future__ import annotations

from collections.abc import Iterable
from enum import IntEnum

from consumerd.model.outcome import Dead, Done, Expired, Outcome, Retry, Skipped
from consumerd.wire.histograms import BEHIND


class Counter(IntEnum):
    """RETRIED to PUT_OFF: what became of tasks that are not done; PUT_OFF: no attempt was made at them.

    BATCHES, BATCHED: how often `handle_batch` was called, and with how many tasks.
    """

    RETRIED = 0
    DEAD = 1
    EXPIRED = 2
    PUT_OFF = 3
    BATCHES = 4
    BATCHED = 5


AT = BEHIND.end
END = AT + len(Counter)


def counter_of(outcome: Outcome) -> Counter | None:
    """Of a task that was tried; None where it is counted elsewhere."""
    match outcome:
        case Retry():
            return Counter.RETRIED
        case Dead():
            return Counter.DEAD
        case Expired():
            return Counter.EXPIRED
        case Done() | Skipped():
            return None


Counted = tuple[int, ...]
"""One number for each `Counter`."""

NOTHING: Counted = (0,) * len(Counter)


def counted_in(words: memoryview) -> Counted:
    """As a board has them now."""
    return tuple(words[AT:END].tolist())


def together(workers: Iterable[Counted]) -> Counted:
    """Of several workers, at least one, as one."""
    return tuple(map(sum, zip(*workers, strict=True)))
