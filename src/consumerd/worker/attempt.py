"""One task, from its payload to its outcome: decode → handle → outcome. Runs in workers and the foreground.

The fast loop handles tasks itself and comes here with the first failure; the general loop comes here with every task.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from consumerd.clock import Clock
from consumerd.events.facts import Fact, Level
from consumerd.model.outcome import DONE, Dead, Outcome, Retry
from consumerd.model.retry import RetryPolicy, after_round, immediate_delay, within_expiry
from consumerd.model.task import Task
from consumerd.worker.failure import Failure, describe
from consumerd.worker.fast import Handler

Decode = Callable[[], object]


@dataclass(frozen=True, slots=True)
class Conclusion:
    """What became of a task, after all its immediate attempts.

    outcome: None where a stop came between two attempts: the task is unfinished, and no attempt is counted.
    task: with the attempts that were made, and when the first was.
    """

    task: Task
    outcome: Outcome | None
    failure: Failure | None = None


class Attempts:
    """Runs attempts at tasks by one consumer's policy."""

    def __init__(
        self,
        handle: Handler,
        policy: RetryPolicy,
        *,
        is_stopping: Callable[[], bool],
        wait: Callable[[float], None],
        emit: Callable[[Fact], None],
        redact: Callable[[str], str],
        clock: Clock,
    ) -> None:
        """handle: the handler with its hooks around it; wait: sleeps, less when a stop comes."""
        self._handle = handle
        self._policy = policy
        self._is_stopping = is_stopping
        self._wait = wait
        self._emit = emit
        self._redact = redact
        self._clock = clock
        self.running: Task | None = None

    def conclude(self, task: Task, decode: Decode, already: BaseException | Outcome | None = None) -> Conclusion:
        """Take the task to its outcome. `already` is how a first attempt has just ended: an error or a verdict."""
        try:
            record = decode()
        except Exception as error:  # noqa: BLE001 - whatever a decoder raises, the payload is at fault
            failure = describe(error, self._redact)
            self._report(task, failure, attempt=0)
            return Conclusion(self._started(task), Dead("undecodable"), failure)
        try:
            return self._round(self._started(task), record, already)
        finally:
            self.running = None

    def _round(self, task: Task, record: object, already: BaseException | Outcome | None) -> Conclusion:
        """The immediate attempts, as many as the policy allows in a row."""
        tried = 0
        while True:
            self.running = task
            result = already if already is not None else self._attempt(task, record)
            already = None
            if not isinstance(result, (BaseException, Retry, Dead)):
                return Conclusion(task, DONE)
            failure = self._failure_of(result, record)
            task = replace(task, attempts=task.attempts + 1)
            self._report(task, failure, attempt=task.attempts)
            if not isinstance(result, BaseException):
                return Conclusion(task, self._verdict(task, result), failure)
            if tried >= self._policy.retry_times:
                assert task.first_at is not None
                outcome = after_round(self._policy, task.attempts, task.first_at, self._clock.wall())
                return Conclusion(task, outcome, failure)
            if not self._pause(immediate_delay(self._policy, tried)):
                return Conclusion(task, None, failure)
            tried += 1

    def _attempt(self, task: Task, record: object) -> Any:  # the user's handler returns anything
        try:
            return self._handle(offset=task.offset, record=record)
        except BaseException as error:  # noqa: BLE001 - anything raised, SystemExit included, is a failed attempt
            return error

    def _verdict(self, task: Task, verdict: Outcome) -> Outcome:
        if isinstance(verdict, Retry):
            assert task.first_at is not None
            return within_expiry(self._policy, verdict.after, task.first_at, self._clock.wall())
        return verdict

    def _failure_of(self, result: BaseException | Outcome, record: object) -> Failure:
        if isinstance(result, BaseException):
            failure = describe(result, self._redact)
            if isinstance(record, (dict,)) or hasattr(record, "__dict__"):
                return failure
            return replace(failure, error=f"{failure.error} (the record is a {_json_name(record)}, not an object)")
        if isinstance(result, Dead):
            return Failure(self._redact(f"the handler gave up: {result.reason}"))
        return Failure("the handler asked for a retry")

    def _pause(self, seconds: float) -> bool:
        """Wait before the next attempt; false when the worker is to stop."""
        until = self._clock.monotonic() + seconds
        while not self._is_stopping():
            left = until - self._clock.monotonic()
            if left <= 0:
                return True
            self._wait(left)
        return False

    def _started(self, task: Task) -> Task:
        return task if task.first_at is not None else replace(task, first_at=self._clock.wall())

    def _report(self, task: Task, failure: Failure, *, attempt: int) -> None:
        fields: dict[str, object] = {"offset": task.offset, "shard": task.shard, "attempt": attempt}
        fields |= {"task": task.id, "error": failure.error}
        self._emit(Fact("task_failed", Level.WARNING, fields))


def _json_name(record: object) -> str:
    names = {list: "list", str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}
    return names.get(type(record), type(record).__name__)
