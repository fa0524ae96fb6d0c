"""The breaker: whether what a worker's tasks need, a database perhaps, answers. Runs in workers and the foreground.

It is open while nothing answers, or while all tasks die of one error. Then tasks are tried one at a time, with growing
pauses between them, and each that fails is put off. It is closed again by the first attempt that does not end with a
connection error; or, where all have died, by the first task that is done.
"""

from __future__ import annotations

import math
import random
import re
from functools import partial

from consumerd import events
from consumerd.events.facts import Event
from consumerd.model.task import Task, TaskId
from consumerd.worker.attempts.streak import Streak
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.interrupts import Interrupt


class Outage:
    """Since when the source, the parking store or what tasks need is away, and when to ask it again.

    is_on: whether there was no answer when it was last asked.
    """

    def __init__(
        self,
        context: WorkerContext,
        away: Event[...],
        back: Event[...],
        *,
        first_s: float,
        longest_s: float,
        another_reason_s: float = math.inf,
    ) -> None:
        """away, back: report its begin and its end. first_s, longest_s: the pauses between two questions.

        another_reason_s: not sooner it is reported again, when the reason is another one; each time twice as long.
        """
        self._emit = context.emit
        self._clock = context.clock
        self._away = away
        self._back = back
        self._first_s = first_s
        self._longest_s = longest_s
        self.is_on = False
        self._since = 0.0
        self._pause_s = first_s
        self._until = 0.0
        self._another_reason_s = self._tell_pause_s = another_reason_s
        self._told, self._tell_at = "", 0.0

    @property
    def lasts_s(self) -> float:
        """For how long it has been away; 0 where it is not."""
        return self._clock.monotonic() - self._since if self.is_on else 0.0

    @property
    def pause_left_s(self) -> float:
        """In how many seconds to ask again, less than 0 when that is over; 0 where it is not away."""
        return self._until - self._clock.monotonic() if self.is_on else 0.0

    def note(self, error: object, *, is_asked_at_once: bool = False, **fields: str) -> None:
        """It did not answer. fields: further ones of the report. is_asked_at_once: without a pause."""
        now = self._clock.monotonic()
        if not self.is_on:
            self.is_on, self._since, self._pause_s = True, now, self._first_s
            self._tell_pause_s = self._another_reason_s
            self._tell(str(error), now, fields)
        elif now >= self._tell_at and _without_numbers(str(error)) != _without_numbers(self._told):
            self._tell_pause_s *= 2
            self._tell(str(error), now, fields)
        if not is_asked_at_once:
            self._until = now + self._pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - workers do not ask in step
            self._pause_s = min(self._pause_s * 2, self._longest_s)

    def _tell(self, error: str, now: float, fields: dict[str, str]) -> None:
        """Report why it is away: the reason may be another one after a while, as when a server is back as a replica."""
        self._told, self._tell_at = error, now + self._tell_pause_s
        self._emit(self._away(error=error, **fields))

    def end(self, **fields: str) -> None:
        """It answered. Nothing where it is not away."""
        if self.is_on:
            away_s = round(self.lasts_s, 3)
            self.is_on = False
            self._emit(self._back(away_s=away_s, **fields))


def _without_numbers(error: str) -> str:
    """Ports, times and ids make no other reason."""
    return _NUMBERS.sub("", error)


_NUMBERS = re.compile(r"[0-9.]+")

ATTEMPTS_THAT_OPEN = 20
TASKS_THAT_OPEN = 3
"""So many attempts in a row, at so many tasks at least, that ended with one and the same connection error."""

FIRST_PAUSE_S = 0.5
LONGEST_PAUSE_S = 2.0

ADVICE = "mend the code or what it needs, then consumerd restart or reload; consumerd resume tries all at once"

RENEW_AFTER_S = 120.0
"""A worker in which nothing has answered for so long is replaced: it may hold a connection that was never good."""

FIRST_FAILING_S = 1.0
LONGEST_FAILING_S = 30.0
"""The pauses between two tasks where all of them die."""

UNTRIED_S = 90.0
"""So long after a pause without a task that could be tried, nothing is known any more. A task is put off for less."""

FIRST_PUT_OFF_S = 5.0
LONGEST_PUT_OFF_S = 60.0


class Breaker:
    """One thread at a time calls it.

    condemned: tasks that have died while it was found out that all do: they are to be tried again.
    """

    def __init__(self, context: WorkerContext, *, is_kept: bool) -> None:
        """is_kept: this process is worth keeping: it is not replaced as soon as the breaker opens.

        Where the process before this one left because nothing answered, one more connection error opens the breaker.
        """
        self._emit = context.emit
        self._clock = context.clock
        self._renew = partial(context.ask_for_replacement, Interrupt.STALE)
        self._is_wary = context.is_wary
        self._is_calm = False  # since a task was done
        self._is_kept = is_kept
        self._interrupts = context.interrupts
        self._streak = Streak(context.common.same_error_limit)
        self.condemned: list[TaskId] = []
        self._kind = ""
        self._attempts = 0
        self._tasks = 0
        self._done_at: float | None = None
        self._outage = Outage(
            context, events.destination_away, events.destination_back, first_s=FIRST_PAUSE_S, longest_s=LONGEST_PAUSE_S
        )
        self._failing = Outage(
            context, events.all_failed, events.succeeded_again, first_s=FIRST_FAILING_S, longest_s=LONGEST_FAILING_S
        )

    @property
    def is_open(self) -> bool:
        return self._outage.is_on or self._failing.is_on

    @property
    def is_away(self) -> bool:
        """Whether what tasks need does not answer."""
        return self._outage.is_on

    @property
    def are_failing(self) -> bool:
        """Whether all tasks die of one error."""
        return self._failing.is_on

    @property
    def pause_left_s(self) -> float:
        """How long the next task has to wait."""
        return max(self._outage.pause_left_s, self._failing.pause_left_s)

    def note_done(self) -> None:
        """A task is done."""
        self._done_at = self._clock.wall()
        if not self._is_calm:
            self._is_calm, self._is_wary = True, False
            self._end_run()
            self.end_failing()

    def end_failing(self) -> None:
        """A handler came to its end, or a person says that it will: tasks die of their own errors again."""
        self._streak.end()
        self._failing.end()

    def spares(self, task: Task, reason: str, error: str, *, is_new: bool) -> bool:
        """Whether a task that would die now is put off instead, since all die so. is_new: it was never tried before."""
        self._is_calm = False
        if self.are_failing:
            if self._failing.pause_left_s <= 0:
                self._failing.note(error)
            return True
        died = self._streak.note_died(task.id, reason, is_new=is_new)
        if died is None:
            return False
        self.condemned += died
        self._failing.note(error, advice=ADVICE)
        self._interrupts.set(Interrupt.SETTLE_DUE)
        return True

    def spares_refused(self, task: Task, misfit: str, error: str, *, is_new: bool) -> bool:
        """The same of a task whose payload makes no record. misfit: what the consumer's model has against it.

        Payloads that cannot be read at all tell of the whole source only where no task of it was done here before:
        later they may be what one producer wrote for a while, and what comes behind them is good.
        """
        if not misfit and self._done_at is not None:
            return False
        return self.spares(task, f"undecodable {misfit}", error, is_new=is_new)

    def note_failed(self, kind: str, error: str, *, is_first: bool) -> None:
        """An attempt has failed. kind: of its connection error, empty where it was none; is_first: of its task."""
        self._is_calm = False
        if not kind:
            self._end_run()
            return
        if kind != self._kind:
            self._kind, self._attempts, self._tasks = kind, 0, 0
        self._attempts += 1
        self._tasks += is_first
        if self.is_away:
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
        if self.is_away and -self._outage.pause_left_s > UNTRIED_S:
            self._is_wary, self._is_calm = True, False
            self._end_run(then="no task has come by which to try it")

    def _open(self, error: str) -> None:
        is_stale = not (self._is_wary or self._is_kept)
        then = "another process takes this one's place" if is_stale else "tasks are tried one at a time"
        self._outage.note(error, then=then)
        if is_stale:
            self._renew()

    def _end_run(self, **then: str) -> None:
        if not self._kind:
            return  # nor is it away
        self._kind, self._attempts, self._tasks = "", 0, 0
        self._outage.end(**then)


def put_off_s(rounds: int) -> float:
    """For how long to put a task off that has failed so many rounds of attempts, none by its own fault."""
    return min(LONGEST_PUT_OFF_S, FIRST_PUT_OFF_S * 2.0 ** min(rounds - 1, 16))
