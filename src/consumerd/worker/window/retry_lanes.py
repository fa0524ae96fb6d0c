"""The share of the lanes that tasks which were tried before may have. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Hashable

from consumerd.clock import Clock
from consumerd.worker.tasks.retry_share import RetryShare
from consumerd.worker.window.in_hand import InHand
from consumerd.worker.window.lineup import Lineup

MOST_ROWS_HELD = 100
"""So many rows that were tried before wait in hand; more of them than that are begun as they come. If all waited, a
source with many would fill `max_unsettled` with them, and no new one could be fetched."""

ASK_AGAIN_S = 0.1
"""A retry that waits looks so often whether new tasks are gone, besides whenever another one has ended."""


class RetryLanes:
    """A rule about parked tasks that are due, and rows that are due again; a retry at once has its lane from before."""

    def __init__(self, share: RetryShare, lineup: Lineup[InHand], clock: Clock) -> None:
        self._share = share
        self._lineup = lineup
        self._clock = clock
        self._began: dict[InHand, tuple[float, bool]] = {}

    def gate(self, task: InHand) -> Hashable:
        attempt = task.attempt
        if attempt.task.attempts <= attempt.tried:
            return None
        is_held = task.parked is not None or task in self._began or self._lineup.held_at(RetryLanes) < MOST_ROWS_HELD
        return RetryLanes if is_held else None

    def enter(self, task: InHand, now: float) -> float | None:
        new_waits = self._lineup.ready > 0
        if new_waits and (len(self._began) >= self._share.lanes or self._share.rests):
            return now + ASK_AGAIN_S
        self._began[task] = (now, new_waits)
        return None

    def leave(self, task: InHand, *, was_begun: bool) -> bool:
        if (began := self._began.pop(task, None)) is not None and was_begun:
            began_at, new_waited = began
            self._share.note_retried(self._clock.monotonic() - began_at, beside_new=new_waited)
        return False
