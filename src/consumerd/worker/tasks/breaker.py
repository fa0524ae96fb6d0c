"""The breaker: whether what a worker's tasks need, a database perhaps, answers. Runs in workers and the foreground.

It is open while nothing answers. Then tasks are tried one at a time, with growing pauses between them, and each that
fails is put off. It is closed again by the first attempt that does not end with a connection error.
"""

from __future__ import annotations

import random
from functools import partial

from consumerd import events
from consumerd.model.interrupts import Interrupt
from consumerd.worker.tasks.context import WorkerContext

ATTEMPTS_THAT_OPEN = 20
TASKS_THAT_OPEN = 3
"""So many attempts in a row, at so many tasks at least, that ended with one and the same connection error."""

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 2.0

RENEW_AFTER_S = 120.0
"""A worker in which nothing has answered for so long is replaced: it may hold a connection that was never good."""

UNTRIED_S = 90.0
"""So long after a pause without a task that could be tried, nothing is known any more. A task is put off for less."""

FIRST_PUT_OFF_S = 5.0
LONGEST_PUT_OFF_S = 60.0


class Breaker:
    """One thread at a time calls it."""

    def __init__(self, context: WorkerContext, *, is_kept: bool) -> None:
        """is_kept: this process is worth keeping: it is not replaced as soon as the breaker opens.

        Where the process before this one left because nothing answered, one more connection error opens the breaker.
        """
        self._emit = context.emit
        self._clock = context.clock
        self._renew = partial(context.ask_for_replacement, Interrupt.STALE)
        self._is_wary = context.is_wary
        self._is_kept = is_kept
        self._kind = ""
        self._attempts = 0
        self._tasks = 0
        self._done_at: float | None = None
        self._open_since: float | None = None
        self._pause_s = FIRST_PAUSE_S
        self._next_try = 0.0

    @property
    def is_open(self) -> bool:
        return self._open_since is not None

    @property
    def pause_left_s(self) -> float:
        """How long the next task has to wait."""
        return self._next_try - self._clock.monotonic() if self.is_open else 0.0

    def note_done(self) -> None:
        """A task is done."""
        self._done_at = self._clock.wall()
        self._is_wary = False
        self._end_run()

    def note_failed(self, kind: str, error: str, *, is_first: bool) -> None:
        """An attempt has failed. kind: of its connection error, empty where it was none; is_first: of its task."""
        if not kind:
            self._end_run()
            return
        if kind != self._kind:
            self._kind, self._attempts, self._tasks = kind, 0, 0
        self._attempts += 1
        self._tasks += is_first
        if self.is_open:
            self._go_on()
        elif self._is_wary or (self._attempts >= ATTEMPTS_THAT_OPEN and self._tasks >= TASKS_THAT_OPEN):
            self._open(error)

    def is_at_fault(self, first_at: float) -> bool:
        """Whether a connection error may be laid to a task that was first tried at `first_at`, wall time: another one
        has succeeded here since."""
        return self._done_at is not None and self._done_at > first_at

    def rest(self) -> None:
        """There is no task that could be tried."""
        if self.is_open and -self.pause_left_s > UNTRIED_S:
            self._is_wary = True
            self._end_run("no task has come by which to try it")

    def _open(self, error: str) -> None:
        self._open_since = self._clock.monotonic()
        self._pause_s = FIRST_PAUSE_S
        is_stale = not (self._is_wary or self._is_kept)
        then = "another process takes this one's place" if is_stale else "tasks are tried one at a time"
        self._emit(events.destination_away(error=error, then=then))
        self._go_on()
        if is_stale:
            self._renew()

    def _go_on(self) -> None:
        assert self._open_since is not None
        now = self._clock.monotonic()
        self._next_try = now + self._pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - workers do not try in step
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)
        if now - self._open_since >= RENEW_AFTER_S:
            self._renew()

    def _end_run(self, then: str | None = None) -> None:
        self._kind, self._attempts, self._tasks = "", 0, 0
        if self._open_since is not None:
            away_s = round(self._clock.monotonic() - self._open_since, 3)
            self._open_since = None
            self._emit(events.destination_back(away_s=away_s, then=then))


def put_off_s(rounds: int) -> float:
    """For how long to put a task off that has failed so many rounds of attempts, none by its own fault."""
    return min(LONGEST_PUT_OFF_S, FIRST_PUT_OFF_S * 2.0 ** min(rounds - 1, 16))
