"""The share of the lanes that tasks which were tried before may have. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Callable, Hashable

from consumerd.clock import Clock
from consumerd.worker.tasks.retry_share import RetryShare
from consumerd.worker.window.in_hand import InHand

ASK_AGAIN_S = 0.1
"""A retry that waits looks so often whether new tasks are gone, besides whenever another one has ended."""


class RetryLanes:
    """A rule about parked tasks that are due, and rows that are due again; a retry at once has its lane from before."""

    def __init__(self, share: RetryShare, does_new_wait: Callable[[], bool], clock: Clock) -> None:
        self._share = share
        self._does_new_wait = does_new_wait
        self._clock = clock
        self._began: dict[InHand, tuple[float, bool]] = {}

    def gate(self, task: InHand) -> Hashable:
        return RetryLanes if task.task.attempts > task.attempt.tried else None

    def enter(self, task: InHand, now: float) -> float | None:
        new_waits = self._does_new_wait()
        if new_waits and (len(self._began) >= self._share.lanes or self._share.rests):
            return now + ASK_AGAIN_S
        self._began[task] = (now, new_waits)
        return None

    def leave(self, task: InHand, *, was_begun: bool) -> bool:
        began_at, new_waited = self._began.pop(task)
        if was_begun:
            self._share.note_retried(self._clock.monotonic() - began_at, beside_new=new_waited)
        return False
