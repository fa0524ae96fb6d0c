"""What a user's own `iterate_task` yields of a Kafka topic: one task a batch. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from confluent_kafka import Message

from consumerd.errors import UndecodableError
from consumerd.model.ledger import Span
from consumerd.model.task import Task
from consumerd.sources.identities import one_by_one
from consumerd.sources.kafka.membership import AssignedPartition


class KafkaOffset(int):
    """The offset of a message, which remembers its partition: yielded on, it says which position is meant."""

    assigned: AssignedPartition
    task: Task  # of the message, its payload byte for byte

    @classmethod
    def of(cls, task: Task, assigned: AssignedPartition) -> KafkaOffset:
        """The offset of this message."""
        offset = cls(task.offset)
        offset.assigned = assigned
        offset.task = task
        return offset

    @property
    def partition(self) -> int:
        """The partition that the message is in."""
        return self.assigned.partition


@dataclass(slots=True)
class Position:
    """What one or more yielded tasks stand for: finished when all are, and the generator has asked for more.

    spans: what it covers in the ledgers.
    end: the position behind it.
    pending: yielded tasks that are not finished.
    yielded: all that were yielded.
    is_left: no more will be yielded for it.
    """

    spans: list[tuple[AssignedPartition, Span]]
    end: int = -1
    pending: int = 0
    yielded: int = 0
    is_left: bool = False

    def finish_one(self) -> None:
        """One of its tasks is finished."""
        self.pending -= 1
        self._finish_when_done()

    def leave(self) -> None:
        """The generator goes on."""
        self.is_left = True
        self._finish_when_done()

    def _finish_when_done(self) -> None:
        if self.is_left and self.pending == 0:
            for assigned, span in self.spans:
                assigned.ledger.advance(span, span.end, span.count)
            self.spans = []


def _itself(record: Any) -> object:
    return record


class YieldedBatch:
    """One task; its payload is the record's encoding. assigned: None where nobody knows its message."""

    offset: Callable[[Any], int] = staticmethod(itemgetter(0))
    payload: Callable[[Any], Any] = staticmethod(itemgetter(1))
    decode: Callable[[Any], object] = staticmethod(_itself)

    def __init__(self, assigned: AssignedPartition | None, at: Position, task: Task, record: object) -> None:
        self.assigned = assigned
        self.shard = task.shard
        self.raws: Sequence[Any] = [(task.offset, record)]
        self._at = at
        self._task = task
        at.pending += 1

    def task(self, index: int) -> Task:
        """The task, with the record as the generator made it."""
        assert index == 0
        return self._task

    def identities(self) -> bytes:
        """The message's; a task that knows no message is gone with its worker."""
        return b"" if self.assigned is None else one_by_one({self._task.offset: self._task.id})

    def oldest(self) -> Message | None:
        return None

    def finish(self, start: int, stop: int) -> None:
        """The task is finished."""
        if stop > start:
            self._at.finish_one()


class RefusedBatch(YieldedBatch):
    """A message at which the user's `iterate_task` raised: undecodable, parked with the message's own bytes."""

    def __init__(self, assigned: AssignedPartition, at: Position, task: Task, error: Exception) -> None:
        super().__init__(assigned, at, task, None)

        def refuse(payload: object) -> object:
            del payload
            raise UndecodableError(f"iterate_task raised {type(error).__name__}: {str(error)[:500]}") from error

        self.decode = refuse
