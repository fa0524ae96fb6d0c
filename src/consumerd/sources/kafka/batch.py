"""What the loop gets of a Kafka topic: records of one partition. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from confluent_kafka import Message

from consumerd.model.ledger import Span
from consumerd.model.task import Task
from consumerd.sources.decoding import limited, quick_decode
from consumerd.sources.identities import by_offset, one_by_one
from consumerd.sources.kafka.identity import Identity
from consumerd.sources.kafka.membership import AssignedPartition


@dataclass(slots=True)
class Part:
    """The records `start` to `stop` (exclusive) of a batch, not finished, and their span in the ledger."""

    start: int
    stop: int
    span: Span


class KafkaBatch:
    """Messages of one partition, in order. `offset`, `payload` and `decode` are the client's and orjson's own."""

    __slots__ = ("_end", "_identity", "assigned", "decode", "offset", "parts", "payload", "raws", "shard")

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
        self.parts = [Part(0, len(messages), assigned.ledger.take(self.offset(messages[0]), end, len(messages)))]
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
        return self.raws[min(part.start for part in self.parts)] if self.parts else None

    def _position(self, index: int) -> int:
        """The position of a message; of the index after the last, the position after the batch."""
        return self.offset(self.raws[index]) if index < len(self.raws) else self._end

    def finish(self, start: int, stop: int) -> None:
        """The tasks `start` to `stop` (exclusive) are finished; those before them may stay unfinished, for later."""
        while start < stop:
            part = self._part_from(start)
            reached = min(stop, part.stop)
            self.assigned.ledger.advance(part.span, self._position(reached), reached - part.start)
            part.start = reached
            if part.start == part.stop:
                self.parts.remove(part)
            start = reached

    def _part_from(self, start: int) -> Part:
        """The part that begins with the task at `start`, cut from the part it is in where need be."""
        for found in self.parts:
            if found.start == start:
                return found
            if found.start < start < found.stop:
                break
        else:
            raise AssertionError(f"task {start} of the batch is settled twice")
        rest = self.assigned.ledger.split(found.span, self._position(start), start - found.start)
        part = Part(start, found.stop, rest)
        found.stop = start
        self.parts.append(part)
        return part
