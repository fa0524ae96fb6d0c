"""Makes one attempt at many tasks at once: `handle_batch`. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from consumerd import events
from consumerd.model.batch_task import BatchTask, Said
from consumerd.model.failure import Failure
from consumerd.model.outcome import DONE, Dead, Retry
from consumerd.model.task import Task
from consumerd.sources.contract import Batch
from consumerd.worker.attempts.attempt import VERDICTS, Attempt, Ending, Handler, Raised, refused_value
from consumerd.worker.attempts.handler import Decode
from consumerd.worker.attempts.maker import AttemptMaker, Ready
from consumerd.worker.attempts.tracer import Tracer
from consumerd.worker.tasks.context import WorkerContext


class BatchMaker:
    """By one instance of the consumer's class."""

    def __init__(
        self,
        context: WorkerContext,
        maker: AttemptMaker,
        handle: Handler,
        decoder: Callable[[Batch], Decode],
        tracer: Tracer | None = None,
    ) -> None:
        """maker: decodes, and handles what is not for `handle_batch`: tombstones.

        decoder: makes the records of a batch of the source's. tracer: None where nothing is traced.
        """
        self.decoder = decoder
        self._maker = maker
        self._handle = handle
        self._clock, self._board = context.clock, context.board
        self._tracer = tracer
        self._redact = context.redact
        self._emit = context.emit

    def ready(self, attempt: Attempt) -> Ready | Ending:
        """The record of this attempt; or how it has ended, for there is none."""
        attempt.is_prepared = True  # there is no hook before each task
        return self._maker.ready(attempt)

    def make_alone(self, attempt: Attempt) -> Ending:
        """An attempt at a tombstone."""
        return self._maker.make(attempt)

    def make(self, tasks: Sequence[Task], records: Sequence[object]) -> list[Ending] | None:
        """One attempt at each; None where it has failed for all of several: then each is to be tried by itself."""
        handed = [BatchTask(task, record) for task, record in zip(tasks, records, strict=True)]
        span = None if self._tracer is None else self._tracer.begin_batch(tasks)
        endings = self._made(handed)
        if span is not None:
            span.end(endings)
        return endings

    def _made(self, handed: Sequence[BatchTask[Any]]) -> list[Ending] | None:
        began = self._clock.monotonic()
        self._maker.forget_log()
        self._board.note_batch(len(handed))
        try:
            try:
                result = self._handle(tasks=list(handed))
            finally:
                self._board.note_calls(1, self._clock.monotonic() - began)
            told = said_in(result, len(handed))
        except BaseException as error:  # noqa: BLE001 - anything raised, SystemExit included, is a failed attempt
            raised = self._maker.raised(error)
            if len(handed) == 1 or raised.verdict is not None:
                return [raised] * len(handed)
            then = "its tasks are tried one by one"
            self._emit(events.batch_failed(tasks=len(handed), error=raised.failure.error, then=then))
            return None
        return [
            self._ending(each.said if each.said is not None else said) for each, said in zip(handed, told, strict=True)
        ]

    def _ending(self, said: Said | None) -> Ending:
        match said:
            case None:
                return DONE
            case str():
                return Raised(Exception, Failure(self._redact(said)))
            case Retry() | Dead():
                return self._maker.ending(said)
            case BaseException():
                return self._maker.raised(said)


def said_in(result: object, tasks: int) -> Sequence[Said | None]:
    """What `handle_batch` says of each of so many tasks by what it returns; raises where it cannot have meant that.

    A verdict is meant for all of them. A list with a verdict or an error in it has one thing for each task; what is
    neither means done, as everything else does.
    """
    if isinstance(result, VERDICTS):
        return [result] * tasks
    if isinstance(result, Mapping) and any(isinstance(value, VERDICTS) for value in result.values()):
        raise TypeError("handle_batch returned outcomes in a mapping: return a list, one for each task in their order")
    if isinstance(result, list | tuple) and any(isinstance(each, BaseException) for each in result):
        if len(result) != tasks:
            raise ValueError(f"handle_batch returned {len(result)} outcomes for {tasks} tasks: return one for each")
        return [each if isinstance(each, BaseException) else None for each in result]
    if (refused := refused_value(result, "handle_batch")) is not None:
        raise refused
    return [None] * tasks
