"""What the loop gets of a Kafka topic: records of one partition. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from confluent_kafka import Message

from consumerd.model.ledger import Span
from consumerd.model.task import Task
from consumerd.sources.decoding import limited, quick_decode
from consumerd.sources.identities import by_offset, one_by_one
from consumerd.sources.kafka.identity import Identity
from consumerd.sources.kafka.membership import AssignedPartition


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
