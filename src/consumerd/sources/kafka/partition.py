"""One partition that this worker was assigned, and a batch of its records. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from confluent_kafka import Message

from consumerd.model.ledger import UNKNOWN, ShardLedger
from consumerd.model.task import Task, TaskId
from consumerd.sources.decoding import limited, quick_decode
from consumerd.sources.identities import by_offset, one_by_one
from consumerd.sources.kafka.identity import Identity

if TYPE_CHECKING:
    from consumerd.sources.kafka.iteration import BatchInHand


class AssignedPartition:
    """The state of one assignment of one partition. Whoever reads or changes it holds the `state` lock.

    A partition that is taken away and comes back is another object: what is settled late for the old one changes
    nothing.

    arrived: its records that came and were not handed out, in order.
    in_hand: its batches that the loop has.
    end: the position after all that came, past gaps and transaction markers.
    durable: the position that the broker has confirmed, UNKNOWN where it has none.
    settled: how many tasks lie below it.
    parked: positions to skip where their task is among `parked_ids`, the tasks of the partition in the parking store.
    topic_uuid: of the topic that it is a partition of; empty where it is not known.
    went_back_at: when the position went back to the begin of the partition, on the monotonic clock; 0: it did not.
    read_to: the position after what the user's own `iterate_task` has read, where it has one.
    is_held: it is not handed out before the parking store was asked.
    is_leaving: no further task may start.
    is_fenced: it was taken away, and what is still settled comes too late.
    """

    __slots__ = (
        *("arrived", "durable", "end", "in_hand", "is_fenced", "is_held", "is_leaving", "ledger", "parked"),
        *("parked_ids", "partition", "read_to", "sent", "settled", "topic_uuid", "went_back_at"),
    )

    def __init__(self, partition: int, committed: int) -> None:
        """committed: the group's position; UNKNOWN (or any below 0) where it has none."""
        self.partition = partition
        self.arrived: list[Message] = []
        self.in_hand: list[BatchInHand] = []
        self.durable = self.end = max(committed, UNKNOWN)
        self.ledger = ShardLedger(self.durable)
        self.parked: frozenset[int] = frozenset()
        self.parked_ids: frozenset[TaskId] = frozenset()
        self.sent: dict[int, int] = {}
        self.settled = 0
        self.topic_uuid = ""
        self.went_back_at = 0.0
        self.read_to = UNKNOWN
        self.is_held = self.is_leaving = self.is_fenced = False

    @property
    def has_unyielded(self) -> bool:
        """Whether the user's `iterate_task` has read messages and not yielded them: they may not be skipped."""
        return self.read_to > self.ledger.taken_to

    def oldest(self) -> Message | None:
        """The first record that is not finished, where it is known."""
        of_batches = [batch.oldest() for batch in self.in_hand]
        return next((message for message in (*of_batches, *self.arrived[:1]) if message is not None), None)

    def has_parked(self, message: Message, identity: Identity) -> bool:
        """Whether the task of this message is parked."""
        return message.offset() in self.parked and identity.is_parked(message, self.parked_ids)

    def take_unsent(self) -> int | None:
        """The watermark, which is sent from now on; None where the broker has confirmed it already."""
        watermark = self.ledger.watermark
        if watermark <= self.durable:
            return None
        self.sent[watermark] = self.ledger.finished_below
        return watermark

    def note_answer(self, position: int, *, is_refused: bool) -> None:
        """The broker has confirmed a position or not; what this assignment did not send is of an earlier one."""
        tasks = self.sent.get(position)
        if is_refused:
            self.sent.pop(position, None)
        elif tasks is not None:
            self.settled = max(self.settled, tasks)
            self.durable = max(self.durable, position)
            self.sent = {sent: below for sent, below in self.sent.items() if sent > position}

    def leave(self) -> None:
        """Nothing more of it may start: what has arrived comes again, to whoever has the partition then."""
        self.is_leaving = True
        self.arrived = []

    def fence(self) -> None:
        """Nothing of it may start or settle any more."""
        self.leave()
        self.is_fenced = True


class KafkaBatch:
    """Messages of one partition, in order. `offset`, `payload` and `decode` are the client's and orjson's own."""

    __slots__ = ("_end", "_identity", "_span", "assigned", "decode", "offset", "payload", "raws", "shard")
    headers: Callable[[Any], Any] = staticmethod(Message.headers)

    def __init__(
        self,
        assigned: AssignedPartition,
        messages: Sequence[Message],
        end: int,
        *,
        identity: Identity,
        payload_limit_bytes: int,
    ) -> None:
        """end: the position after the batch. Takes the messages from the ledger of their partition, and is in hand."""
        self.shard = assigned.partition
        self.raws: Sequence[Any] = messages  # typed as the contract has it
        self.offset: Callable[[Any], int] = Message.offset  # type: ignore[assignment]  # a received message has one
        self.payload: Callable[[Any], Any] = Message.value
        self.decode: Callable[[Any], object] = quick_decode
        if sum(map(len, messages)) > payload_limit_bytes and max(map(len, messages)) > payload_limit_bytes:
            self.decode = limited(quick_decode, payload_limit_bytes)
        self.assigned = assigned
        assigned.in_hand.append(self)
        self._span = assigned.ledger.take(self.offset(messages[0]), end, len(messages))
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
        reached = self._span.reached
        return self.raws[reached] if reached < len(self.raws) else None

    def finish(self, start: int, stop: int) -> None:
        """The tasks `start` to `stop` (exclusive) are finished; those before them may stay unfinished, for later."""
        if start < stop and (more := self._span.finish(start, stop)):
            reached = self._span.reached
            position = self.offset(self.raws[reached]) if reached < len(self.raws) else self._end
            self.assigned.ledger.advance(self._span, position, more)
