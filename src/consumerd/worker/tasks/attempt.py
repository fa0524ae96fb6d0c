"""One task, from its payload to its outcome: decode → handle → outcome. Runs in workers and the foreground.

The fast loop handles tasks itself and comes here with the first failure; the general loop comes here with every task.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

from consumerd import events
from consumerd.errors import UndecodableError
from consumerd.model.connection_errors import connection_error
from consumerd.model.failure import Failure, describe, drop_tracebacks
from consumerd.model.outcome import DONE, Dead, Outcome, Retry
from consumerd.model.retry import RetryPolicy, after_round, immediate_delay, next_in_round, within_expiry
from consumerd.model.task import Task
from consumerd.sources.decoding import TOMBSTONE
from consumerd.standard_streams import drop_gone_outputs
from consumerd.worker.tasks.breaker import Breaker, put_off_s
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.fast import Handler, refused_value
from consumerd.worker.tasks.forked_child import leave_if_child
from consumerd.worker.tasks.hooks import Hooks
from consumerd.worker.tasks.memory_limit import Fullness

Decode = Callable[[], object]
"""Makes a record of the task's payload, a new one each time."""

ENDS_OF_A_WORKER = (SystemExit, KeyboardInterrupt, BrokenPipeError)
"""What an attempt may raise because its worker is to end, which is no fault of the task: the user's own handler of a
signal raises it, or a print to a stderr that nobody reads since the master is gone."""

NEWS_S = 0.5
"""How long such an attempt waits for the news of a stop, which may come by another way and a little later."""

PAUSE_AT_ONCE_S = 5.0
"""A pause between two attempts is no attempt that does not end: it is told of so often."""


@dataclass(frozen=True, slots=True)
class Raised:
    """What is kept of an error that ended an attempt; the error itself would hold all that the handler held.

    connection: see `connection_error`.
    """

    kind: type[BaseException]
    failure: Failure
    connection: str = ""


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What became of a task, after all its immediate attempts.

    outcome: None where the worker had to leave between two attempts: the task is unfinished.
    task: with the attempts that were made, and when the first was. crashes: of a task that is not to run again.
    """

    task: Task
    outcome: Outcome | None
    failure: Failure | None = None
    crashes: int = 0


class Attempts:
    """Runs attempts at tasks by one consumer's policy."""

    def __init__(
        self,
        context: WorkerContext,
        handle: Handler,
        policy: RetryPolicy,
        hooks: Hooks,
        breaker: Breaker,
        fullness: Fullness,
        *,
        retries_elsewhere: bool,
    ) -> None:
        """handle: the handler, with `around_task` about it; fullness: told how each attempt ended.

        retries_elsewhere: immediate retries go through the parking store, which keeps the task meanwhile.
        """
        self._handle = handle
        self._policy = policy
        self._hooks = hooks
        self._breaker = breaker
        self._retries_elsewhere = retries_elsewhere
        self._wait: Callable[[float], object] = context.interrupts.wait
        self._progress = context.board.attempt_goes_on
        self._emit = context.emit
        self._redact = context.redact
        self._clock = context.clock
        self._fullness = fullness
        self.running: Task | None = None
        self._is_prepared = True

    @contextmanager
    def made_by(self, handle: Handler, hooks: Hooks, wait: Callable[[float], object]) -> Iterator[None]:
        """Make the attempts by another instance of the consumer's class meanwhile, in a thread that waits by `wait`."""
        before = self._handle, self._hooks, self._wait
        self._handle, self._hooks, self._wait = handle, hooks, wait
        try:
            yield
        finally:
            self._handle, self._hooks, self._wait = before

    def conclude(
        self, task: Task, decode: Decode, must_leave: Callable[[], bool], already: Raised | Outcome | None = None
    ) -> Conclusion:
        """Take the task to its outcome, its hooks about it.

        must_leave: asked before each further attempt; true when the worker stops, or has the task no longer.
        already: how a first attempt has just ended, an error or a verdict; only where no hook is overridden.
        """
        if already is not None:
            return self._concluded(task, decode, must_leave, already)
        if self._breaker.is_open and not self._pause(self._breaker.pause_left_s, must_leave):
            return Conclusion(task, None, Failure("it was not tried: what its tasks need did not answer"))
        self._is_prepared = False
        conclusion = self._concluded(task, decode, must_leave, self._prepare())
        self._hooks.post_handle_task()
        return conclusion

    def _prepare(self) -> Raised | None:
        """Call `pre_handle_task`, and again before each attempt until it succeeds; what it raised ended the attempt."""
        if not self._is_prepared:
            try:
                self._hooks.pre_handle_task()
            except BaseException as error:  # noqa: BLE001 - as of the handler
                return self.raised(error)
        self._is_prepared = True
        return None

    def _concluded(
        self, task: Task, decode: Decode, must_leave: Callable[[], bool], already: Raised | Outcome | None
    ) -> Conclusion:
        try:
            record = _record(task, decode)
        except MemoryError:
            raise  # no fault of the payload: this worker is full, and ends
        except BaseException as error:  # noqa: BLE001 - whatever a decoder or validator raises, the payload is at fault
            failure = self.raised(error).failure
            if isinstance(already, Raised) and not self._is_prepared:
                self._report(task, already.failure, attempt=0)  # of pre_handle_task
            self._report(task, failure, attempt=0)
            return Conclusion(self._started(task), Dead("undecodable"), failure)
        try:
            return self._round(self._started(task), record, decode, must_leave, already)
        finally:
            self.running = None
            self._fullness.conclude()

    def _round(
        self,
        task: Task,
        record: object,
        decode: Decode,
        must_leave: Callable[[], bool],
        already: Raised | Outcome | None,
    ) -> Conclusion:
        """The immediate attempts, as many as the policy allows in a row; each gets a record of its own."""
        tried = 0
        while True:
            self.running = task
            result = already if already is not None else self._attempt(task, record)
            already = None
            if not isinstance(result, (Raised, Retry, Dead)):
                return Conclusion(task, DONE)
            failure = self._failure_of(result, record)
            if isinstance(result, Raised) and self._is_end_of_worker(result, must_leave):
                return Conclusion(task, None, failure)
            if isinstance(result, Raised) and drop_gone_outputs():
                record, already = self._record_again(task, decode, record)
                continue  # it may have failed at its output alone: once more, where it goes to nobody
            task = replace(task, attempts=task.attempts + 1)
            self._report(task, failure, attempt=task.attempts)
            connection = result.connection if isinstance(result, Raised) else ""
            self._breaker.note_failed(connection, failure.error, is_first=tried == 0)
            if not isinstance(result, Raised):
                return Conclusion(task, self._verdict(task, result), failure)
            if self._retries_elsewhere and (retry := next_in_round(self._policy, task.attempts)) is not None:
                return Conclusion(task, retry, failure)
            if self._retries_elsewhere or tried >= self._policy.retry_times or self._breaker.is_open:
                return Conclusion(task, self._after_round(task, is_connection=bool(connection)), failure)
            if not self._pause(immediate_delay(self._policy, tried), must_leave):
                return Conclusion(task, None, failure)
            tried += 1
            record, already = self._record_again(task, decode, record)

    def _record_again(self, task: Task, decode: Decode, before: object) -> tuple[object, Raised | None]:
        """A further attempt's record, or that of the attempt before, with why there is none."""
        try:
            return _record(task, decode), None
        except MemoryError:
            raise  # no fault of the payload: this worker is full, and ends
        except BaseException as error:  # noqa: BLE001 - a validator that has changed its mind: a failed attempt
            return before, self.raised(error)

    def _after_round(self, task: Task, *, is_connection: bool) -> Outcome:
        """What the policy says; but a task for which a connection failed is no dead one, unless another one got through
        meanwhile."""
        assert task.first_at is not None
        now, jitter = self._clock.wall(), random.random()  # noqa: S311 - it only spreads
        outcome = after_round(self._policy, task.attempts, task.first_at, now, jitter=jitter)
        if isinstance(outcome, Dead) and is_connection and not self._breaker.is_at_fault(task.first_at):
            rounds = -(-task.attempts // self._policy.attempts_a_round)
            return within_expiry(self._policy, put_off_s(rounds), task.first_at, now)
        return outcome

    def _attempt(self, task: Task, record: object) -> Any:  # the user's handler returns anything
        """The handler's answer, or what it or `pre_handle_task` raised."""
        self._progress()
        if (unprepared := self._prepare()) is not None:
            return unprepared
        try:
            result = self._handle(offset=task.offset, record=record)
        except BaseException as error:  # noqa: BLE001 - anything raised, SystemExit included, is a failed attempt
            return self.raised(error)
        return self.returned(result)

    def raised(self, error: BaseException) -> Raised:
        """What is kept of an error that ended an attempt. In a handler's forked child, the child ends."""
        leave_if_child(error)
        self._fullness.note(error)
        raised = Raised(type(error), describe(error, self._redact), connection_error(error))
        drop_tracebacks(error)
        return raised

    def returned(self, result: object) -> object:
        """What the handler returned, or the error that it is, where it shows that the handler's body never ran."""
        refused = refused_value(result)
        return result if refused is None else self.raised(refused)

    def _is_end_of_worker(self, result: Raised, must_leave: Callable[[], bool]) -> bool:
        return issubclass(result.kind, ENDS_OF_A_WORKER) and not self._pause(NEWS_S, must_leave)

    def _verdict(self, task: Task, verdict: Outcome) -> Outcome:
        if isinstance(verdict, Retry):
            assert task.first_at is not None
            return within_expiry(self._policy, verdict.after, task.first_at, self._clock.wall())
        return verdict

    def _failure_of(self, result: Raised | Outcome, record: object) -> Failure:
        if isinstance(result, Raised):
            failure = result.failure
            if isinstance(record, (dict,)) or hasattr(record, "__dict__"):
                return failure
            return replace(failure, error=f"{failure.error} (the record is a {_json_name(record)}, not an object)")
        if isinstance(result, Dead):
            return Failure(self._redact(f"the handler gave up: {result.reason}"))
        return Failure("the handler asked for a retry")

    def _pause(self, seconds: float, must_leave: Callable[[], bool]) -> bool:
        """Wait before the next attempt; false when there must not be one."""
        until = self._clock.monotonic() + seconds
        while not must_leave():
            left = until - self._clock.monotonic()
            if left <= 0:
                return True
            self._progress()
            self._wait(min(left, PAUSE_AT_ONCE_S))
        return False

    def _started(self, task: Task) -> Task:
        return task if task.first_at is not None else replace(task, first_at=self._clock.wall())

    def _report(self, task: Task, failure: Failure, *, attempt: int) -> None:
        error = failure.error
        fact = events.task_failed(offset=task.offset, shard=task.shard, attempt=attempt, task=task.id, error=error)
        self._emit(fact)


def _record(task: Task, decode: Decode) -> object:
    """The decoded record; TOMBSTONE for a task that has no payload to decode."""
    try:
        return decode()
    except UndecodableError:
        if task.is_tombstone:
            return TOMBSTONE
        raise


def _json_name(record: object) -> str:
    names = {list: "list", str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}
    return names.get(type(record), type(record).__name__)
