"""The breaker: whether what a worker's tasks need, a database perhaps, answers. Runs in workers and the foreground.

It is open while nothing answers. Then tasks are tried one at a time, with growing pauses between them, and each that
fails is put off. It is closed again by the first attempt that does not end with a connection error.
"""

from __future__ import annotations

from functools import partial

from consumerd import events
from consumerd.model.interrupts import Interrupt
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.outage import Outage

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
        self._outage = Outage(
            context, events.destination_away, events.destination_back, first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S
        )

    @property
    def is_open(self) -> bool:
        return self._outage.is_on

    @property
    def pause_left_s(self) -> float:
        """How long the next task has to wait."""
        return self._outage.pause_left_s

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
            self._outage.note(error)
            if self._outage.lasts_s >= RENEW_AFTER_S:
                self._renew()
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
            self._end_run(then="no task has come by which to try it")

    def _open(self, error: str) -> None:
        is_stale = not (self._is_wary or self._is_kept)
        then = "another process takes this one's place" if is_stale else "tasks are tried one at a time"
        self._outage.note(error, then=then)
        if is_stale:
            self._renew()

    def _end_run(self, **then: str) -> None:
        self._kind, self._attempts, self._tasks = "", 0, 0
        self._outage.end(**then)


def put_off_s(rounds: int) -> float:
    """For how long to put a task off that has failed so many rounds of attempts, none by its own fault."""
    return min(LONGEST_PUT_OFF_S, FIRST_PUT_OFF_S * 2.0 ** min(rounds - 1, 16))
