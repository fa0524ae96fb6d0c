"""Takes tasks to their outcomes, one after the other: decode → handle → judge → report. Runs in workers and the
foreground.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import replace

from consumerd import events
from consumerd.errors import CommitUnknownError, TaskLostError
from consumerd.model.connection_errors import connection_error
from consumerd.model.failure import Failure, describe, drop_tracebacks
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
from consumerd.model.task import Task
from consumerd.standard_streams import drop_gone_outputs
from consumerd.worker.tasks.attempt import (
    ENDS_OF_A_WORKER,
    Attempt,
    Conclusion,
    Ending,
    Failed,
    Handler,
    Raised,
    Refused,
    Unfinished,
    refused_value,
)
from consumerd.worker.tasks.breaker import Breaker, put_off_s
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.forked_child import leave_if_child
from consumerd.worker.tasks.hooks import Fullness, Hooks

NEWS_S = 0.5
"""How long an attempt that seems to have ended with its worker waits for the news of a stop, which may come by another
way and a little later."""

PAUSE_AT_ONCE_S = 5.0
"""A pause between two attempts is no attempt that does not end: it is told of so often."""

ENDS_OF_A_TRANSACTION = (TaskLostError, CommitUnknownError)
"""What the end of a handler's transaction raises where nothing is left to do for its task in this worker."""

UNSEEN = object()


class Attempts:
    """Makes attempts at one task at a time, by one instance of the consumer's class; one thread calls it.

    It never waits for long: `go_on` returns where something interrupts, and goes on from there when called again.
    """

    def __init__(
        self,
        context: WorkerContext,
        handle: Handler,
        policy: RetryPolicy,
        hooks: Hooks,
        breaker: Breaker,
        fullness: Fullness,
        is_settled: Callable[[Task], bool] = lambda task: False,
        *,
        retries_elsewhere: bool,
        wait: Callable[[float], object] | None = None,
        is_interrupted: Callable[[], bool] | None = None,
    ) -> None:
        """handle: the handler, with `around_task` about it; fullness: told how each attempt ended.

        is_settled: whether the task in hand is done by a transaction of its handler, whatever came after that.
        retries_elsewhere: immediate retries go through the parking store, which keeps the task meanwhile.
        wait, is_interrupted: how a thread waits that is not the loop's, and what makes it look up.
        """
        self._context = context
        self._handle = handle
        self._policy = policy
        self._hooks = hooks
        self._breaker = breaker
        self._fullness = fullness
        self._is_settled = is_settled
        self._retries_elsewhere = retries_elsewhere
        self._clock = context.clock
        self._wait = wait or context.interrupts.wait
        self._is_interrupted = is_interrupted or context.interrupts.are_set
        self._in_hand: Attempt | None = None
        self._is_leaving = False
        self._is_prepared = True

    @property
    def task(self) -> Task | None:
        """The task in hand."""
        return None if self._in_hand is None else self._in_hand.task

    def begin(self, attempt: Attempt) -> None:
        """Take this one in hand; while the breaker is open, its first attempt is made after a pause."""
        self._in_hand, self._is_leaving = attempt, False
        self._is_prepared = attempt.ended is not None
        attempt.first_at = self._clock.wall() if attempt.task.first_at is None else attempt.task.first_at
        if attempt.ended is None and self._breaker.is_open:
            attempt.not_before = self._clock.monotonic() + self._breaker.pause_left_s

    def leave(self) -> None:
        """Make no further attempt: the worker stops, or has the task no longer."""
        self._is_leaving = True

    def go_on(self) -> Conclusion | None:
        """Take the task in hand to its conclusion; None where something interrupts before."""
        attempt, conclusion = self._in_hand, None
        assert attempt is not None
        while conclusion is None:
            if attempt.not_before is not None and not self._has_waited(attempt.not_before):
                if not self._is_leaving:
                    return None
                conclusion = attempt.unfinished()
                break
            attempt.not_before = None
            ended = attempt.ended or self._make(attempt)
            conclusion = Conclusion(attempt.task, DONE) if isinstance(ended, Done) else self._judge(attempt, ended)
        self._in_hand = None
        self._fullness.conclude()
        if conclusion.outcome is not Unfinished.UNTRIED:
            self._hooks.post_handle_task()
        return conclusion

    def _has_waited(self, until: float) -> bool:
        """Wait for the next step; false where something interrupts."""
        while not (self._is_leaving or self._is_interrupted()):
            left = until - self._clock.monotonic()
            if left <= 0:
                return True
            self._context.board.attempt_goes_on()
            self._wait(min(left, PAUSE_AT_ONCE_S))
        return False

    # Decode and handle

    def _make(self, attempt: Attempt) -> Ending:
        """Make one attempt."""
        self._context.board.attempt_goes_on()
        if not self._is_prepared and (unprepared := self._prepare()) is not None:
            return unprepared
        is_first = not attempt.has_record
        try:
            record = attempt.record()
        except MemoryError:
            raise  # no fault of the payload: this worker is full, and ends
        except BaseException as error:  # noqa: BLE001 - whatever a decoder or validator raises, the payload is at fault
            refused = self.raised(error)
            return Refused(refused.failure) if is_first else _after(attempt.failure, refused)
        try:
            result = self._handle(offset=attempt.task.offset, record=record)
        except BaseException as error:  # noqa: BLE001 - anything raised, SystemExit included, is a failed attempt
            return self.raised(error, record)
        return DONE if result is None else self.ending(result, record)

    def _prepare(self) -> Raised | None:
        """Call `pre_handle_task`, and again before each attempt until it succeeds; what it raised ended the attempt."""
        try:
            self._hooks.pre_handle_task()
        except BaseException as error:  # noqa: BLE001 - as of the handler
            return self.raised(error)
        self._is_prepared = True
        return None

    def raised(self, error: BaseException, record: object = UNSEEN) -> Raised:
        """What is kept of an error that ended an attempt at a record. In a handler's forked child, the child ends."""
        leave_if_child(error)
        self._fullness.note(error)
        failure = describe(error, self._context.redact)
        if record is not UNSEEN and not (isinstance(record, dict) or hasattr(record, "__dict__")):
            failure = replace(failure, error=f"{failure.error} (the record is a {_json_name(record)}, not an object)")
        raised = Raised(type(error), failure, connection_error(error))
        drop_tracebacks(error)
        return raised

    def ending(self, result: object, record: object = UNSEEN) -> Ending:
        """How an attempt has ended that returned this: any value but a verdict is done."""
        if isinstance(result, (Retry, Dead)):
            return result
        refused = refused_value(result)
        return DONE if refused is None else self.raised(refused, record)

    # Judge and report

    def _judge(self, attempt: Attempt, ended: Failed) -> Conclusion | None:
        """Its outcome by what the handler said or by the policy; None where a further attempt is to be made, or this
        one looked at again.
        """
        attempt.ended = ended
        if self._is_settled(attempt.task):
            return self._done_already(attempt.task, ended)
        if isinstance(ended, Refused):
            self._report(attempt.task, ended.failure, attempt=0)
            return Conclusion(attempt.task, Dead("undecodable"), ended.failure)
        if isinstance(ended, Raised) and not self._is_the_tasks_own(attempt, ended):
            return None
        failure = self._failure_of(ended)
        task = attempt.task = replace(attempt.task, attempts=attempt.task.attempts + 1, first_at=attempt.first_at)
        self._report(task, failure, attempt=task.attempts)
        connection = ended.connection if isinstance(ended, Raised) else ""
        self._breaker.note_failed(connection, failure.error, is_first=attempt.tried == 0)
        outcome = self._outcome(ended, task, attempt.tried)
        if outcome is not None:
            return Conclusion(task, outcome, failure)
        attempt.forget()
        attempt.failure = failure
        attempt.not_before = self._clock.monotonic() + immediate_delay(self._policy, attempt.tried)
        attempt.tried += 1
        return None

    def _done_already(self, task: Task, ended: Failed) -> Conclusion:
        """The handler's transaction has ended the task: what comes after that is told, and no more."""
        if isinstance(ended, Raised) and issubclass(ended.kind, ENDS_OF_A_TRANSACTION):
            return Conclusion(task, DONE)  # its source has told of that
        failure = ended.failure if isinstance(ended, Raised | Refused) else self._failure_of(ended)
        self._context.emit(
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
        if issubclass(ended.kind, ENDS_OF_A_WORKER) and not attempt.has_heard:
            attempt.has_heard, attempt.not_before = True, self._clock.monotonic() + NEWS_S
            return False
        if drop_gone_outputs():
            attempt.forget()  # it may have failed at its output alone: once more, where it goes to nobody
            return False
        return True

    def _outcome(self, ended: Raised | Retry | Dead, task: Task, tried: int) -> Outcome | None:
        if isinstance(ended, Dead):
            return ended
        if isinstance(ended, Retry):
            assert task.first_at is not None
            return within_expiry(self._policy, ended.after, task.first_at, self._clock.wall())
        if self._retries_elsewhere:
            return next_in_round(self._policy, task.attempts) or self._after_round(task, ended)
        if tried >= self._policy.retry_times or self._breaker.is_open:
            return self._after_round(task, ended)
        return None

    def _after_round(self, task: Task, ended: Raised) -> Outcome:
        """What the policy says; but a task for which a connection failed is no dead one, unless another one got through
        meanwhile."""
        assert task.first_at is not None
        now, jitter = self._clock.wall(), random.random()  # noqa: S311 - it only spreads
        outcome = after_round(self._policy, task.attempts, task.first_at, now, jitter=jitter)
        if isinstance(outcome, Dead) and ended.connection and not self._breaker.is_at_fault(task.first_at):
            rounds = -(-task.attempts // self._policy.attempts_a_round)
            return within_expiry(self._policy, put_off_s(rounds), task.first_at, now)
        return outcome

    def _failure_of(self, ended: Raised | Retry | Dead) -> Failure:
        match ended:
            case Raised():
                return ended.failure
            case Dead():
                return Failure(self._context.redact(f"the handler gave up: {ended.reason}"))
            case Retry():
                return Failure("the handler asked for a retry")

    def _report(self, task: Task, failure: Failure, *, attempt: int) -> None:
        self._context.emit(
            events.task_failed(offset=task.offset, shard=task.shard, attempt=attempt, task=task.id, error=failure.error)
        )


def _after(own: Failure | None, refused: Raised) -> Raised:
    """A failed attempt whose record was refused, though it was none before: the handler's own error stays in front."""
    if own is None:
        return refused
    error = f"{own.error} (before the next attempt its record was refused: {refused.failure.error})"
    return replace(refused, failure=replace(own, error=error))


def _json_name(record: object) -> str:
    names = {list: "list", str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}
    return names.get(type(record), type(record).__name__)
