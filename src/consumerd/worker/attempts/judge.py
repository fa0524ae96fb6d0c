"""What becomes of a task after an attempt: its outcome, or a further attempt. Runs in workers and the foreground."""

from __future__ import annotations

import random
from collections.abc import Callable

from consumerd import events
from consumerd.errors import CommitUnknownError, TaskLostError
from consumerd.model.by_error import Listed
from consumerd.model.failure import Failure
from consumerd.model.outcome import (
    DONE,
    Dead,
    Done,
    Outcome,
    Retry,
    RetryPolicy,
    after_round,
    immediate_delay,
    next_in_round,
    within_expiry,
)
from consumerd.model.suspects import CANCELLED_FOR_GOOD
from consumerd.model.task import Task
from consumerd.standard_streams import drop_gone_outputs
from consumerd.wire.figures.recorder import Ran
from consumerd.worker.attempts.attempt import (
    ENDS_OF_A_WORKER,
    Attempt,
    Cancelled,
    Conclusion,
    Ending,
    Failed,
    Raised,
    Refused,
)
from consumerd.worker.attempts.breaker import Breaker, put_off_s
from consumerd.worker.attempts.verdicts import words_of
from consumerd.worker.tasks.context import WorkerContext

NEWS_S = 0.5
"""How long an attempt that seems to have ended with its worker waits for the news of a stop, which may come by another
way and a little later."""

AGAIN_S = 1.0
"""So long after an operator has cancelled an attempt the next one begins."""

ENDS_OF_A_TRANSACTION = (TaskLostError, CommitUnknownError)
"""What the end of a handler's transaction raises where nothing is left to do for its task in this worker."""


class Judge:
    """Judges the attempts of one worker. One thread at a time calls it."""

    def __init__(
        self,
        context: WorkerContext,
        policy: RetryPolicy,
        breaker: Breaker,
        is_settled: Callable[[Task], bool] = lambda task: False,
        *,
        retries_elsewhere: bool,
    ) -> None:
        """is_settled: whether the task in hand is done by a transaction of its handler, whatever came after that.

        retries_elsewhere: immediate retries go through the parking store, which keeps the task meanwhile.
        """
        self._policy = policy
        self._breaker = breaker
        self._is_settled = is_settled
        self._retries_elsewhere = retries_elsewhere
        self._clock = context.clock
        self._board = context.board
        self._emit = context.emit
        self._redact = context.redact

    def begin(self, attempt: Attempt) -> None:
        """A task is taken in hand; while the breaker is open, its first attempt is made after a pause."""
        attempt.first_at = self._clock.wall() if attempt.task.first_at is None else attempt.task.first_at
        if attempt.ended is None and self._breaker.is_open:
            attempt.not_before = self._clock.monotonic() + self._breaker.pause_left_s

    def conclusion(self, attempt: Attempt, ended: Ending) -> Conclusion | None:
        """Its outcome by what the handler said or by the policy; None where a further attempt is to be made, or this
        one looked at again: not before `attempt.not_before`.
        """
        if attempt.took_s is not None:
            self._board.note_calls(1, attempt.took_s)
            attempt.ran = Ran(attempt.ran.seconds + attempt.took_s, attempt.ran.is_about)
            attempt.took_s = None
        conclusion: Conclusion | None
        if isinstance(ended, Done):
            conclusion = Conclusion(attempt.task, DONE, ran=attempt.ran)
        elif (conclusion := self._conclusion(attempt, ended)) is not None:
            conclusion = conclusion._replace(ran=attempt.ran)
        if attempt.span is not None and (conclusion is not None or attempt.ended is None):
            attempt.span.end(ended, conclusion)
        return conclusion

    def _conclusion(self, attempt: Attempt, ended: Failed) -> Conclusion | None:
        """The same of an attempt that did not go well."""
        attempt.ended = ended
        if self._is_settled(attempt.task):
            return self._done_already(attempt.task, ended)
        if isinstance(ended, Cancelled):
            return self._cancelled(attempt, ended)
        if isinstance(ended, Refused):
            return self._refused(attempt, ended)
        if isinstance(ended, Raised) and not self._is_the_tasks_own(attempt, ended):
            return None
        failure = self._failure_of(ended)
        task = attempt.task = attempt.task._replace(attempts=attempt.task.attempts + 1, first_at=attempt.first_at)
        self._report(task, failure, attempt=task.attempts)
        connection = ended.connection if isinstance(ended, Raised) else ""
        self._breaker.note_failed(connection, failure.error, is_first=attempt.tried == 0)
        outcome = self._outcome(ended, task, attempt.tried)
        if outcome is not None:
            is_asked = isinstance(outcome, Retry) and isinstance(_verdict_of(ended), Retry)
            is_new = task.attempts == attempt.tried + 1
            return Conclusion(task, outcome, failure, is_asked=is_asked, is_new=is_new)
        attempt.forget()
        attempt.failure = failure
        attempt.not_before = self._clock.monotonic() + immediate_delay(self._policy, attempt.tried)
        attempt.tried += 1
        return None

    def _refused(self, attempt: Attempt, ended: Refused) -> Conclusion:
        """There is no record, and there was no attempt. It is dead; or put off, where no task has a record."""
        task, failure = attempt.task, ended.failure
        self._report(task, failure, attempt=0)
        if not self._breaker.spares_refused(task, ended.misfit, failure.error, is_new=task.first_at is None):
            return Conclusion(task, Dead("undecodable"), failure)
        task = attempt.task = task._replace(attempts=task.attempts + 1, first_at=attempt.first_at)
        return Conclusion(task, self._put_off(task), failure)

    def _cancelled(self, attempt: Attempt, ended: Cancelled) -> Conclusion | None:
        """An operator's word: it is parked, whatever its policy says; or tried again, and nothing is counted."""
        if not ended.does_park:
            attempt.forget()
            attempt.not_before = self._clock.monotonic() + AGAIN_S
            return None
        attempts = attempt.task.attempts + 1
        task = attempt.task = attempt.task._replace(attempts=attempts, first_at=attempt.first_at)
        return Conclusion(task, Dead("cancelled"), self._failure_of(ended))

    def _done_already(self, task: Task, ended: Failed) -> Conclusion:
        """The handler's transaction has ended the task: what comes after that is told, and no more."""
        if isinstance(ended, Raised) and issubclass(ended.kind, ENDS_OF_A_TRANSACTION):
            return Conclusion(task, DONE)  # its source has told of that
        failure = ended.failure if isinstance(ended, Raised | Refused) else self._failure_of(ended)
        self._emit(
            events.failed_after_done(
                offset=task.offset,
                task=task.id,
                error=failure.error,
                then="it is done all the same: its transaction was committed before",
            )
        )
        return Conclusion(task, DONE)

    def _is_the_tasks_own(self, attempt: Attempt, ended: Raised) -> bool:
        """Whether what was raised counts against the task; else it is looked at again, or attempted again."""
        if ended.verdict is not None:
            return True
        if issubclass(ended.kind, ENDS_OF_A_WORKER) and not attempt.has_heard:
            attempt.has_heard, attempt.not_before = True, self._clock.monotonic() + NEWS_S
            return False
        if drop_gone_outputs():
            attempt.forget()  # it may have failed at its output alone: once more, where it goes to nobody
            return False
        return True

    def _outcome(self, ended: Raised | Retry | Dead, task: Task, tried: int) -> Outcome | None:
        verdict = _verdict_of(ended)
        if verdict is not None:
            return self._by_verdict(verdict, task)
        assert isinstance(ended, Raised)
        match self._policy.by_error.list_of(ended.kind):
            case Listed.DEAD_ON:
                return Dead(f"{ended.kind.__name__} is one of dead_on")
            case Listed.LEFT_OUT:
                return self._unless_away(Dead(f"{ended.kind.__name__} is none of retry_on"), task, ended)
        if self._retries_elsewhere:
            return next_in_round(self._policy, task.attempts) or self._after_round(task, ended)
        if tried >= self._policy.retry_times or self._breaker.is_open:
            return self._after_round(task, ended)
        return None

    def _by_verdict(self, verdict: Retry | Dead, task: Task) -> Outcome:
        self._breaker.end_failing()
        if isinstance(verdict, Dead):
            return verdict
        assert task.first_at is not None
        return within_expiry(self._policy, verdict.after, task.first_at, self._clock.wall())

    def _after_round(self, task: Task, ended: Raised) -> Outcome:
        """What the policy says."""
        assert task.first_at is not None
        now, jitter = self._clock.wall(), random.random()  # noqa: S311 - it only spreads
        outcome = after_round(self._policy, task.attempts, task.first_at, now, jitter=jitter)
        return self._unless_away(outcome, task, ended)

    def _unless_away(self, outcome: Outcome, task: Task, ended: Raised) -> Outcome:
        """The same; but a task for which a connection failed is no dead one, unless another one got through since; nor
        is one where all die of its error.
        """
        if isinstance(outcome, Dead) and not self._is_its_own(task, ended):
            return self._put_off(task)
        return outcome

    def _put_off(self, task: Task) -> Outcome:
        """It is tried again later, and for longer each time."""
        assert task.first_at is not None
        rounds = -(-task.attempts // self._policy.attempts_a_round)
        return within_expiry(self._policy, put_off_s(rounds), task.first_at, self._clock.wall())

    def _is_its_own(self, task: Task, ended: Raised) -> bool:
        """Whether a task is to die of its error."""
        if ended.connection:
            assert task.first_at is not None
            return self._breaker.is_at_fault(task.first_at)
        is_new = task.attempts <= self._policy.attempts_a_round
        reason = f"{ended.kind.__qualname__} {ended.place}"
        return not self._breaker.spares(task, reason, ended.failure.error, is_new=is_new)

    def _failure_of(self, ended: Raised | Retry | Dead | Cancelled) -> Failure:
        if isinstance(ended, Cancelled):
            return Failure(CANCELLED_FOR_GOOD, log=ended.log)
        return ended.failure if isinstance(ended, Raised) else Failure(self._redact(words_of(ended)))

    def _report(self, task: Task, failure: Failure, *, attempt: int) -> None:
        self._emit(
            events.task_failed(offset=task.offset, shard=task.shard, attempt=attempt, task=task.id, error=failure.error)
        )


def _verdict_of(ended: Raised | Retry | Dead) -> Retry | Dead | None:
    """What the handler itself has said of its task, returned or raised."""
    return ended.verdict if isinstance(ended, Raised) else ended
