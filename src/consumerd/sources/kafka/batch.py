"""What the loop gets of a Kafka topic: records of one partition, or the one task that an own `iterate_task` yields.

Runs in workers and the foreground.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from confluent_kafka import Message

from consumerd.errors import UndecodableError
from consumerd.model.ledger import Span
from consumerd.model.task import Task
from consumerd.sources.decoding import limited, quick_decode
from consumerd.sources.identities import by_offset, one_by_one
from consumerd.sources.kafka.identity import Identity
from consumerd.sources.kafka.membership import AssignedPartition
from consumerd.sources.rows import itself


class KafkaBatch:
    """Messages of one partition, in order. `offset`, `payload` and `decode` are the client's and orjson's own."""

    __slots__ = ("_end", "_identity", "_spans", "assigned", "decode", "offset", "payload", "raws", "shard")

    def __init__(
        self,
        assigned: AssignedPartition,
        messages: Sequence[Message],
        end: int,
        *,
        identity: Identity,
        payload_limit_bytes: int,
    ) -> None:
        """end: the position after the batch. Takes the messages from the ledger of their partition."""
        self.shard = assigned.partition
        self.raws: Sequence[Any] = messages  # typed as the contract has it
        self.offset: Callable[[Any], int] = Message.offset  # type: ignore[assignment]  # a received message has one
        self.payload: Callable[[Any], Any] = Message.value
        self.decode: Callable[[Any], object] = quick_decode
        if sum(map(len, messages)) > payload_limit_bytes and max(map(len, messages)) > payload_limit_bytes:
            self.decode = limited(quick_decode, payload_limit_bytes)
        self.assigned = assigned
        self._spans = [assigned.ledger.take(self.offset(messages[0]), end, len(messages))]
        self._end = end
        self._identity = identity

    def task(self, index: int) -> Task:
        """The task of one message, with its payload byte for byte."""
        return self._identity.task(self.raws[index])

    def identities(self) -> bytes:
        """A task is its topic's, its partition's, and its offset; without a topic's uuid its timestamp, too."""
        if self._identity.is_known:
            return by_offset(self._identity.start(self.shard))
        return one_by_one({self.offset(raw): self._identity.task_id(raw) for raw in self.raws})

    def oldest(self) -> Message | None:
        """The first message that is not finished."""
        return self.raws[min(span.first for span in self._spans)] if self._spans else None

    def finish(self, start: int, stop: int) -> None:
        """The tasks `start` to `stop` (exclusive) are finished; those before them may stay unfinished, for later."""
        while start < stop:
            span = self._span_from(start)
            reached = min(stop, start + span.count)
            self.assigned.ledger.advance(span, self._position(reached), reached - start)
            if not span.count:
                self._spans.remove(span)
            start = reached

    def _position(self, index: int) -> int:
        """The position of a message; of the index after the last, the position after the batch."""
        return self.offset(self.raws[index]) if index < len(self.raws) else self._end

    def _span_from(self, start: int) -> Span:
        """The unfinished tasks from the index `start` on, cut from those before them where need be."""
        for span in self._spans:
            if span.first == start:
                return span
            if span.first < start < span.first + span.count:
                rest = self.assigned.ledger.split(span, self._position(start), start - span.first)
                self._spans.append(rest)
                return rest
        raise AssertionError(f"task {start} of the batch is settled twice")


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


class YieldedBatch:
    """One task; its payload is the record's encoding. assigned: None where nobody knows its message."""

    offset: Callable[[Any], int] = staticmethod(itemgetter(0))
    payload: Callable[[Any], Any] = staticmethod(itemgetter(1))
    decode: Callable[[Any], object] = staticmethod(itself)

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
