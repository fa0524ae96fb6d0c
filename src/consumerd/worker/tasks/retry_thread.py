"""Tries parked tasks that are due while the user's own generator waits for its next one. Runs in workers.

The loop's thread is within the generator then, perhaps for ever. What the generator has open is its own, so a second
instance of the user's class handles the tasks, made in this thread when the first of them is due. The loop's lock
keeps the two threads from handling at once.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial

from consumerd import events
from consumerd.clock import monotonic
from consumerd.worker.attempts.attempts import Attempts
from consumerd.worker.attempts.hooks import Hooks
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.handling import BatchHandling, Parts
from consumerd.worker.tasks.loop import Loop
from consumerd.worker.tasks.threads import BeatingThread

WAITS_S = 3.0
"""A generator that has not yielded for so long waits, and what is due may be tried meanwhile."""
MAKE_AGAIN_S = 60.0


@dataclass(frozen=True)
class StandIn:
    """A second instance of the user's class: what attempts tasks by it, its hooks, and what ends it."""

    attempts: Attempts
    hooks: Hooks
    close: Callable[[], None]


class RetryThread:
    """Looks once a second whether the generator waits, and something is due."""

    def __init__(
        self,
        context: WorkerContext,
        loop: Loop,
        parts: Parts,
        handling: BatchHandling,
        make: Callable[[Callable[[float], object]], StandIn | None],
        *,
        is_stopping: Callable[[], bool],
    ) -> None:
        """make: the stand-in, in the thread that it runs in, which waits by the function that it is given.

        It returns None where the stand-in cannot be made, and that was reported.

        Closing the thread waits for the attempt that it makes; then the instance's `post_consume` is called.
        """
        self._loop = loop
        self._parts = parts
        self._handling = handling
        self._make = make
        self._is_stopping = is_stopping
        self._stand_in: StandIn | None = None
        self._make_at = 0.0
        thread = BeatingThread(
            "retries", [self.beat], report=partial(context.report, events.retries_failed), at_end=self._end
        )
        self.start, self.close, self._wait = thread.start, thread.close, thread.closing.wait

    def _end(self) -> None:
        if self._stand_in is not None:
            self._stand_in.close()

    def beat(self) -> None:
        """One look, and one turn of what is due."""
        if not self._loop.turn_lock.acquire(blocking=False):
            return  # the loop's thread is not in its source
        try:
            if not self._loop.has_waited(WAITS_S):
                return
            self._parts.share.note_new(wait=False)
            if self._stand_in is not None:
                self._stand_in.hooks.reload_when_due()
            if self._loop.may_try_parked and self._parts.due.has_due():
                self._try_parked()
        finally:
            self._loop.turn_lock.release()

    def _try_parked(self) -> None:
        if self._stand_in is None and monotonic() >= self._make_at:
            self._make_at = monotonic() + MAKE_AGAIN_S
            self._stand_in = self._make(self._wait)
        if self._stand_in is not None:
            self._stand_in.hooks.reload_when_due()
            for _ in self._handling.try_parked(self._stand_in.attempts):
                if self._is_stopping():
                    self._handling.leave()
