"""One member of the consumer group: its client, its partitions, and the batches of them that the loop has in hand.

All parts of the source work on one `Membership`. It has two locks, taken in this order: `client_lock`, since one thread
at a time polls the client, and `state`, over everything else, held for moments only. Runs in workers.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from threading import Condition, RLock
from typing import Protocol

from confluent_kafka import Consumer, KafkaException, Message, TopicPartition

from consumerd.model.contract import is_overridden
from consumerd.model.ledger import UNKNOWN, ShardLedger
from consumerd.model.task import TaskId
from consumerd.sources.contract import SourceContext
from consumerd.sources.kafka.health import Health
from consumerd.sources.kafka.identity import Identity, IdentityQuestion
from consumerd.sources.kafka.options import KafkaOptions


class AssignedPartition:
    """The state of one assignment of one partition. Whoever reads or changes it holds the `state` lock.

    A partition that is taken away and comes back is another object: what is settled late for the old one changes
    nothing.

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
        *("durable", "is_fenced", "is_held", "is_leaving", "ledger", "parked", "parked_ids", "partition"),
        *("read_to", "sent", "settled", "topic_uuid", "went_back_at"),
    )

    def __init__(self, partition: int, committed: int) -> None:
        """committed: the group's position; UNKNOWN (or any below 0) where it has none."""
        self.partition = partition
        self.durable = max(committed, UNKNOWN)
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
    def next_position(self) -> int:
        """The position after everything that has left the arrivals."""
        return max(self.ledger.taken_to, self.read_to)

    @property
    def has_unyielded(self) -> bool:
        """Whether the user's `iterate_task` has read messages and not yielded them: they may not be skipped."""
        return self.read_to > self.ledger.taken_to

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

    def fence(self) -> None:
        """Nothing of it may start or settle any more."""
        self.is_leaving = self.is_fenced = True


class BatchInHand(Protocol):
    """A batch as its source knows it."""

    @property
    def assigned(self) -> AssignedPartition | None:
        """The partition that it is of; None for a task of which nobody knows the message."""

    def oldest(self) -> Message | None:
        """Its first message that is not finished, where it is known."""

    def finish(self, start: int, stop: int) -> None:
        """The tasks `start` to `stop` (exclusive) are finished; those before them may stay unfinished, for later."""


class Membership:
    """What all parts of a source share.

    client: the present one; loop_thread: the identity of the thread that fetches.
    is_iterated: whether the user's own `iterate_task` reads the messages.
    """

    client: Consumer
    loop_thread = 0

    def __init__(self, context: SourceContext, question: IdentityQuestion) -> None:
        """context: of the source; question: for the identity of the topic that is read."""
        options = context.options
        assert isinstance(options, KafkaOptions)
        self.context = context
        self.options = options
        self.topic = options.topic_name
        self.question = question
        self.emit = context.emit
        self.clock = context.clock
        self.is_iterated = is_overridden(type(context.consumer), "iterate_task")
        self.client_lock = RLock()
        self.is_closed = False
        self.state = Condition(RLock())
        self.assigned: dict[int, AssignedPartition] = {}
        self.in_hand: list[BatchInHand] = []
        self.health = Health(options, self.assigned, context.emit, context.clock)

    @property
    def unsettled(self) -> int:
        """Tasks handed out and not confirmed by the broker as committed. Under the state lock."""
        return sum([assigned.ledger.taken - assigned.settled for assigned in self.assigned.values()])

    def leave(self, batches: Iterable[BatchInHand]) -> None:
        """The loop has left these batches."""
        with self.state:
            for batch in batches:
                self.in_hand.remove(batch)
            self.state.notify_all()

    def has_in_hand(self, partitions: Iterable[AssignedPartition]) -> bool:
        """Whether the loop has a batch of one of these partitions. Under the state lock."""
        leaving = list(partitions)
        return any(batch.assigned in leaving for batch in self.in_hand)

    def switch(self, act: Callable[[list[TopicPartition]], None], partitions: Iterable[AssignedPartition]) -> None:
        """Have the client pause or resume these partitions. Under its lock."""
        with self.errors_noted():
            act([TopicPartition(self.topic, assigned.partition) for assigned in partitions])

    @contextmanager
    def errors_noted(self) -> Iterator[None]:
        """What the client raises within is noted, and goes no further."""
        try:
            yield
        except KafkaException as error:
            self.health.note(error.args[0])
