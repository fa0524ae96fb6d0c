"""What becomes of rows: noted, not written yet. And what of that a database refuses, kept aside.

Runs in workers and the foreground.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace

from consumerd.database.claims import Steps
from consumerd.sources.table.batch import TableBatch

FIRST_PAUSE_S, LONGEST_PAUSE_S = 0.5, 60.0
MOST_AT_ONCE = 8
"""So many of those that are kept aside are tried at once: each in a transaction of its own, while others wait."""


@dataclass(frozen=True, slots=True)
class Settled:
    """Rows to be settled together.

    batch: whose claim they are of; None for dead rows, which nobody has claimed.
    settlement: as the engine of claims wrote it.
    values: the same for each row.
    """

    batch: TableBatch | None
    settlement: Steps
    keys: Sequence[object]
    values: Mapping[str, object]

    def halves(self) -> list[Settled]:
        """The same in two, of several keys."""
        middle = len(self.keys) // 2
        return [replace(self, keys=self.keys[:middle]), replace(self, keys=self.keys[middle:])]


@dataclass(frozen=True, slots=True)
class _Aside:
    settled: Settled
    pause_s: float
    next_at: float


class Refused:
    """Settlements that the database refuses, of one key each: each is tried again after pauses that grow."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._kept: list[_Aside] = []

    @property
    def rows(self) -> int:
        """How many claimed rows are kept aside."""
        return sum(each.settled.batch is not None for each in self._kept)

    @property
    def are_lasting(self) -> bool:
        """Whether one was refused again when it was tried again: it is no lock that is gone in a moment."""
        return any(each.pause_s > FIRST_PAUSE_S for each in self._kept)

    @property
    def is_due(self) -> bool:
        """Whether one is to be tried again."""
        now = self._now()
        return any(each.next_at <= now for each in self._kept)

    def keep(self, settled: Settled) -> None:
        """It was refused for the first time."""
        self._kept.append(_Aside(settled, FIRST_PAUSE_S, self._now() + FIRST_PAUSE_S))

    def try_again(self, attempt: Callable[[Settled], bool]) -> None:
        """Try what is due, some at a time. attempt: tells whether it was written; what it raises ends the round."""
        now = self._now()
        for each in [each for each in self._kept if each.next_at <= now][:MOST_AT_ONCE]:
            is_written = attempt(each.settled)
            self._kept.remove(each)
            if not is_written:
                pause_s = min(LONGEST_PAUSE_S, each.pause_s * 2)
                self._kept.append(_Aside(each.settled, pause_s, self._now() + pause_s))

    def forget(self, batches: Collection[TableBatch]) -> None:
        """What is kept of these is not ours any more."""
        self._kept = [each for each in self._kept if each.settled.batch not in batches]
