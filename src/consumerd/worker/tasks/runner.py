"""What the loop knows of whoever runs its tasks, and the runner that makes one attempt at a time.

Runs in workers and the foreground. `fast.py` has the other one.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple, Protocol

from consumerd.errors import UndecodableError
from consumerd.model.outcome import DONE
from consumerd.model.task import Task, TaskId
from consumerd.sources.contract import Batch, Source
from consumerd.wire.figures.recorder import NOT_RUN, Ran
from consumerd.worker.attempts.attempt import Attempt, Conclusion, Failed
from consumerd.worker.attempts.attempts import Attempts
from consumerd.worker.attempts.handler import Decode, validating


class Span(NamedTuple):
    """The tasks `start` to `stop` (exclusive) of a batch, which came to the same end.

    conclusion: of the one task; None where all of them are done.
    ran: how long each of them ran. task_id: of the one task, where that is known already.
    """

    batch: Batch
    start: int
    stop: int
    conclusion: Conclusion | None = None
    ran: Ran = NOT_RUN
    task_id: TaskId | None = None


class Runner(Protocol):
    """Runs tasks. It settles and parks nothing; the loop's thread calls it."""

    @property
    def is_busy(self) -> bool:
        """Whether tasks that it was given have not come back yet."""

    def start(self, batch: Batch, start: int, stop: int) -> None:
        """Run the tasks `start` to `stop` (exclusive) of a batch. Not while it is busy."""

    def finished(self) -> Sequence[Span]:
        """Run on until something has ended, which is handed back in order, or interrupts. It may be nothing."""

    def leave(self) -> None:
        """Begin no further task, and no further attempt at one."""


class Records:
    """Makes attempts at the tasks of batches, by how their source decodes."""

    def __init__(self, source: Source, validate: Decode | None) -> None:
        """validate: makes a model of a decoded record; None: records are used as they are decoded."""
        self._source = source
        self._validate = validate

    def decoder(self, batch: Batch) -> Decode:
        """Makes the record of what the batch has as a task's payload."""
        return validating(batch.decode, self._validate)

    def attempt(self, batch: Batch, index: int, ended: Failed | None = None) -> Attempt:
        """The task at `index`. ended: how its first attempt has ended, where that has been made."""
        task, payload = batch.task(index), batch.payload(batch.raws[index])
        read = validating(batch.decode, self._validate)

        def decode(is_again: bool) -> object:
            try:
                record = read(payload)
            except UndecodableError:
                raise
            except Exception:
                self._source.decode(task.payload)  # says in a sentence what a quick decoder says in its own way
                raise
            return self._anew(record, task) if is_again and record is payload else record

        is_begun = ended is not None
        return Attempt(task, decode, has_record=is_begun, is_prepared=is_begun, ended=ended)

    def _anew(self, record: object, task: Task) -> object:
        """From the payload: the handler may have changed the record. Where that gives nothing of its kind, as it is."""
        try:
            again = validating(self._source.decode, self._validate)(task.payload)
        except UndecodableError:
            return record
        return again if type(again) is type(record) else record


class SingleRunner:
    """Runs one task at a time, and makes each attempt at it by itself, hooks and all."""

    def __init__(self, attempts: Attempts, records: Records) -> None:
        self.attempts = attempts
        self.records = records
        self.is_busy = False
        self.leave = attempts.leave
        self._batch: Batch | None = None
        self._index = 0

    def start(self, batch: Batch, start: int, stop: int) -> None:
        assert stop == start + 1
        self.take(batch, start, self.records.attempt(batch, start))

    def take(self, batch: Batch, index: int, attempt: Attempt) -> None:
        """Go on with an attempt at the task at `index`."""
        self._batch, self._index, self.is_busy = batch, index, True
        self.attempts.begin(attempt)

    def finished(self) -> Sequence[Span]:
        assert self._batch is not None
        conclusion = self.attempts.go_on()
        if conclusion is None:
            return ()
        self.is_busy = False
        failed, ran, task_id = None if conclusion.outcome is DONE else conclusion, conclusion.ran, conclusion.task.id
        return (Span(self._batch, self._index, self._index + 1, failed, ran, task_id),)
