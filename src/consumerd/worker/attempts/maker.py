"""Makes one attempt at a task: decode, then the handler. Runs in workers and the foreground.

Several threads may make attempts at once, each at a task of its own.
"""

from __future__ import annotations

from asyncio import CancelledError
from dataclasses import replace
from typing import Any

from consumerd.errors import UndecodableError
from consumerd.model.connection_errors import connection_error
from consumerd.model.failure import Failure, describe, drop_tracebacks, place_of
from consumerd.model.outcome import DONE, Dead, Retry, TaskInterrupted
from consumerd.wire.board_writer import LaneWriter
from consumerd.worker.attempts.attempt import (
    VERDICTS,
    Attempt,
    Cancelled,
    Ending,
    Failed,
    Handler,
    Raised,
    Refused,
    refused_value,
)
from consumerd.worker.attempts.forked_child import leave_if_child
from consumerd.worker.attempts.hooks import Fullness, Hooks
from consumerd.worker.attempts.tracer import Tracer
from consumerd.worker.attempts.verdicts import raised_verdict, words_of
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.running import RUNNING

UNSEEN = object()


class AttemptMaker:
    """By one instance of the consumer's class."""

    def __init__(
        self, context: WorkerContext, handle: Handler, hooks: Hooks, fullness: Fullness, tracer: Tracer | None = None
    ) -> None:
        """handle: the handler, with `around_task` about it. fullness: is told how each attempt ended.

        tracer: None where nothing is traced.
        """
        self._tracer = tracer
        self._handle = handle
        self._hooks = hooks
        self._fullness = fullness
        self._redact = context.redact
        self._log = context.attempt_log
        self._lane = context.board.lane
        self._monotonic = context.clock.monotonic
        self._interruptions = context.interruptions

    def forget_log(self) -> None:
        """What was logged before belongs to another attempt."""
        self._log.begin()

    def make(self, attempt: Attempt) -> Ending:
        """Make an attempt, hooks and all."""
        self._log.begin()
        span = None if self._tracer is None else self._tracer.begin(attempt)
        if span is None:
            return self._made(attempt)
        try:
            return self._made(attempt)
        finally:
            span.leave()

    def _made(self, attempt: Attempt) -> Ending:
        ready = self.ready(attempt)
        if not isinstance(ready, Ready):
            return ready
        began = self._monotonic()
        try:
            result = self._handle(offset=attempt.task.offset, record=ready.record)
        except BaseException as error:  # noqa: BLE001 - anything raised, SystemExit included, is a failed attempt
            return self.failed(error, ready.record)
        finally:
            attempt.took_s = self._monotonic() - began
        return DONE if result is None else self.ending(result, ready.record)

    def make_whole(self, attempt: Attempt) -> Ending:
        """The same for one of several that are made at once: `pre_handle_task` and `post_handle_task` are of each."""
        attempt.is_prepared = not self._hooks.surround
        try:
            return self.make(attempt)
        finally:
            if self._hooks.surround:
                self._hooks.post_handle_task()

    async def make_whole_async(self, attempt: Attempt) -> Ending:
        """The same for a handler that is a coroutine function, on the event loop that runs now."""
        attempt.is_prepared = not self._hooks.surround
        self._log.begin()
        span = None if self._tracer is None else self._tracer.begin(attempt)
        try:
            ready = self.ready(attempt)
            if not isinstance(ready, Ready):
                return ready
            began = self._monotonic()
            try:
                begun: Any = self._handle(offset=attempt.task.offset, record=ready.record)  # it can be awaited
                result = await begun
            except BaseException as error:  # noqa: BLE001 - as above
                return self.failed(error, ready.record)
            finally:
                attempt.took_s = self._monotonic() - began
            return DONE if result is None else self.ending(result, ready.record)
        finally:
            if span is not None:
                span.leave()
            if self._hooks.surround:
                self._hooks.post_handle_task()

    def ready(self, attempt: Attempt) -> Ready | Ending:
        """The record of the attempt, once `pre_handle_task` has been called; or how it has ended before the handler."""
        if not attempt.is_prepared and (unprepared := self._prepare(attempt)) is not None:
            return unprepared
        is_first = not attempt.has_record
        try:
            return Ready(attempt.record())
        except MemoryError:
            raise  # no fault of the payload: this worker is full, and ends
        except BaseException as error:  # noqa: BLE001 - whatever a decoder or validator raises, the payload is at fault
            refused = self.raised(error)
            misfit = error.misfit if isinstance(error, UndecodableError) else ""
            return Refused(refused.failure, misfit) if is_first else refused.after(attempt.failure)

    def _prepare(self, attempt: Attempt) -> Raised | None:
        """Call `pre_handle_task`, and again before each attempt until it succeeds; what it raised ended the attempt."""
        try:
            self._hooks.pre_handle_task()
        except BaseException as error:  # noqa: BLE001 - as of the handler
            return self.raised(error)
        attempt.is_prepared = True
        return None

    def failed(self, error: BaseException, record: object = UNSEEN) -> Failed:
        """How an attempt has ended whose handler raised this: as whoever interrupted it says, or by what it raised."""
        running = RUNNING.get()
        lane = self._lane if running is None else running.lane
        why = self._interruptions.taken(lane) if isinstance(lane, LaneWriter) else None
        raised = self.raised(error, record)
        if isinstance(why, Cancelled):
            return replace(why, log=raised.failure.log)
        if why is None or not isinstance(error, (TaskInterrupted, CancelledError)):
            return raised
        failure = replace(raised.failure, error=f"{TaskInterrupted.__name__}: {why}")
        return replace(raised, kind=TaskInterrupted, failure=failure)  # of a coroutine it was CancelledError

    def raised(self, error: BaseException, record: object = UNSEEN) -> Raised:
        """What is kept of an error that ended an attempt at a record. In a handler's forked child, the child ends."""
        leave_if_child(error)
        self._fullness.note(error)
        if isinstance(error, VERDICTS):
            verdict = raised_verdict(error, self._redact)
            drop_tracebacks(error)
            return replace(verdict, failure=self._with_log(verdict.failure))
        failure = self._with_log(describe(error, self._redact))
        if record is not UNSEEN and not (isinstance(record, dict) or hasattr(record, "__dict__")):
            failure = replace(failure, error=f"{failure.error} (the record is a {_json_name(record)}, not an object)")
        raised = Raised(type(error), failure, connection_error(error), place_of(error))
        drop_tracebacks(error)
        return raised

    def ending(self, result: object, record: object = UNSEEN) -> Ending:
        """How an attempt has ended that returned this: any value but a verdict is done."""
        if isinstance(result, VERDICTS):
            return self._returned(result)
        refused = refused_value(result)
        return DONE if refused is None else self.raised(refused, record)

    def _returned(self, verdict: Retry | Dead) -> Failed:
        """A verdict; with what was logged, where anything was."""
        failure = self._with_log(Failure(self._redact(words_of(verdict))))
        return Raised(type(verdict), failure, verdict=verdict) if failure.log else verdict

    def _with_log(self, failure: Failure) -> Failure:
        log = self._log.text(self._redact)
        return replace(failure, log=log) if log else failure


class Ready:
    """The record of a task that can be handled."""

    __slots__ = ("record",)

    def __init__(self, record: object) -> None:
        self.record = record


def _json_name(record: object) -> str:
    names = {list: "list", str: "string", bool: "boolean", int: "number", float: "number", type(None): "null"}
    return names.get(type(record), type(record).__name__)
