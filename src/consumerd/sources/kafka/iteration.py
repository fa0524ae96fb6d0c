"""A user's own `iterate_task` over a Kafka topic, iterated inside `fetch`, one task at a time. Runs in workers.

A position is finished when its tasks are and the generator has asked for the next message; one never yielded, when
a later one of its partition is. A generator that yields other numbers covers, with what it yields, all that it has
read and not yielded: what it still holds back from an earlier reading is then not safe, and the worker says so once.

Messages are waited for within the user's generator, where nothing may be raised: `attend` lets the worker's loop do
meanwhile what it would do between two fetches (ADR 28).
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from operator import itemgetter
from typing import Any, Self

from confluent_kafka import Message

from consumerd import events
from consumerd.errors import SourceRefusedError, UndecodableError, UsageError
from consumerd.model.ledger import UNKNOWN, Span
from consumerd.model.task import Task, TaskId
from consumerd.sources.contract import EndOfSource
from consumerd.sources.identities import one_by_one
from consumerd.sources.kafka.arrivals import Arrivals
from consumerd.sources.kafka.membership import Membership
from consumerd.sources.kafka.partition import AssignedPartition, KafkaBatch
from consumerd.sources.records import encode_record
from consumerd.sources.rows import itself, named_id, parted


class ConsumeClient:
    """`consume_client` of a Kafka consumer. What is read through it counts as finished when its task is, never before.

    iteration: set where the consumer has an `iterate_task` of its own.
    """

    iteration: Iteration | None = None

    def consume(self) -> Iterator[tuple[int, bytes]]:
        """Yield (offset, value) of each message, until the worker is to stop.

        The offset is an int that remembers its partition: yield it on. For `iterate_task` alone, which the worker
        iterates; UsageError elsewhere, since nobody would know what becomes of the messages.
        """
        if self.iteration is None:
            raise UsageError(
                "consume_client.consume() was called outside a consumer's own iterate_task: override iterate_task "
                "and read there"
            )
        return self.iteration.messages()


class KafkaOffset(int):
    """The offset of a message, which remembers its partition: yielded on, it says which position is meant."""

    assigned: AssignedPartition
    task: Task  # of the message, its payload byte for byte

    def __new__(cls, task: Task, assigned: AssignedPartition) -> Self:
        offset = super().__new__(cls, task.offset)
        offset.assigned, offset.task = assigned, task
        return offset

    def __reduce__(self) -> tuple[type[int], tuple[int]]:
        return int, (int(self),)  # in another process it is a number

    @property
    def partition(self) -> int:
        """The partition that the message is in."""
        return self.assigned.partition


@dataclass(slots=True)
class Position:
    """What one or more yielded tasks stand for: finished when all are, and the generator has asked for more.

    spans: what it covers in the ledgers.
    place: the partition of its message, and the position behind that; None where the message is not known.
    unfinished: yielded tasks that are not finished; the generator counts as one while it may yield further ones.
    yielded: all that were yielded.
    """

    spans: list[tuple[AssignedPartition, Span]]
    place: tuple[AssignedPartition, int] | None = None
    unfinished: int = 1
    yielded: int = 0

    def finish_one(self) -> None:
        """One of its tasks is finished, or the generator goes on."""
        self.unfinished -= 1
        if not self.unfinished:
            for assigned, span in self.spans:
                assigned.ledger.advance(span, span.end, span.count)


class YieldedBatch:
    """One task; its payload is the record's encoding. assigned: None where nobody knows its message."""

    offset: Callable[[Any], int] = staticmethod(itemgetter(0))
    payload: Callable[[Any], Any] = staticmethod(itemgetter(1))

    def __init__(
        self,
        assigned: AssignedPartition | None,
        at: Position,
        task: Task,
        record: object,
        decode: Callable[[Any], object] = itself,
    ) -> None:
        self.assigned = assigned
        if assigned is not None:
            assigned.in_hand.append(self)
        self.decode = decode
        self.shard = task.shard
        self.raws: Sequence[Any] = [(task.offset, record)]
        self._at = at
        self._task = task
        at.yielded += 1
        at.unfinished += 1

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


BatchInHand = KafkaBatch | YieldedBatch
"""A batch as the source knows it."""


class Iteration:
    """The user's generator, and what its yields stand for. The loop's thread."""

    def __init__(self, membership: Membership, arrivals: Arrivals, receive: Callable[[], None]) -> None:
        """receive: waits a moment for messages, and raises SourceRefusedError where the source answers no."""
        self._membership = membership
        self._arrivals = arrivals
        self._receive = receive
        self._context = membership.context
        self._tasks: Iterator[Any] | None = None
        self._refusal: SourceRefusedError | None = None
        self._open: Position | None = None
        self._last: KafkaOffset | None = None
        self._is_unknown_reported = False

    def next_batch(self) -> YieldedBatch:
        """The next task that may be handed out. Raises EndOfSource when the generator returns."""
        while (batch := self._advance()) is None:
            pass
        return batch

    def close(self) -> None:
        """End the generator."""
        getattr(self._tasks, "close", lambda: None)()

    # What the generator reads

    def messages(self) -> Iterator[tuple[int, bytes]]:
        """What `consume_client.consume()` yields."""
        while True:
            with self._membership.state:
                self._leave_open()
            read = self._read()
            if read is None:
                return
            assigned, message = read
            self._last = KafkaOffset(self._membership.question.identity.task(message), assigned)
            yield self._last, message.value()  # type: ignore[misc]  # None for a tombstone, as the client has it

    def _read(self) -> tuple[AssignedPartition, Message] | None:
        """The next message, waited for; None when the worker is to stop or the source refuses."""
        while self._refusal is None:
            self._arrivals.ask_store()
            with self._membership.state:
                found = self._take()
            if found is not None:
                return found
            if not self._context.worker.attend(self._membership.trouble):
                return None
            try:
                self._receive()
            except SourceRefusedError as refusal:
                self._refusal = refusal
        return None

    def _take(self) -> tuple[AssignedPartition, Message] | None:
        while (taken := self._arrivals.take(1)) is not None:
            assigned, messages, end = taken
            if messages:
                assigned.read_to = end
                return assigned, messages[0]
            if not assigned.has_unyielded:
                assigned.ledger.skip_to(end)
        return None

    # What it yields

    def _advance(self) -> YieldedBatch | None:
        """What the generator yields next; None where its partition was taken away, or it is parked already."""
        if self._tasks is None:
            self._tasks = iter(self._context.consumer.iterate_task())
        try:
            yielded = next(self._tasks)
        except StopIteration:
            self._tasks = None
            raise self._refusal or EndOfSource() from None
        except (UndecodableError, ValueError) as error:
            self._tasks = None
            make = partial(self._refused, error)
        else:
            make = partial(self._batch, *parted(yielded))
        with self._membership.state:
            return make()

    def _batch(self, number: int, record: object) -> YieldedBatch | None:
        if not isinstance(number, KafkaOffset):
            return self._of_unknown(number, record)
        assigned = number.assigned
        if assigned.is_leaving:
            return None  # it comes again, to whoever has the partition now
        at = self._position_of(number)
        if at is None:
            return self._of_unknown(number, record)
        task_id = number.task.id
        if at.yielded:
            task_id = TaskId(f"{task_id}#{at.yielded}")
        if task_id in assigned.parked_ids:
            at.yielded += 1
            return None
        task = number.task._replace(id=task_id, offset=number, payload=encode_record(record))
        return YieldedBatch(assigned, at, task, record)

    def _position_of(self, offset: KafkaOffset) -> Position | None:
        """The open position of this offset, opened where need be; None where the generator is past it."""
        place = assigned, end = offset.assigned, offset + 1
        if self._open is not None and self._open.place == place:
            return self._open
        if end <= assigned.ledger.taken_to:
            return None
        return self._open_position(Position([_span(assigned, end)], place))

    def _of_unknown(self, number: int, record: object) -> YieldedBatch:
        if not self._is_unknown_reported:
            self._is_unknown_reported = True
            then = "tasks finish in the order they are read; what iterate_task holds back is not safe"
            topic = self._membership.topic
            self._membership.emit(events.positions_unknown(topic=topic, offset=int(number), then=then))
        at = self._open
        unyielded = [assigned for assigned in self._membership.assigned.values() if assigned.has_unyielded]
        if unyielded or at is None:
            at = self._open_position(Position([_span(assigned, assigned.read_to) for assigned in unyielded]))
        name, task_id = self._context.name, named_id(self._context, record)
        task = Task(id=task_id, offset=number, source=name, shard=0, position=0, payload=encode_record(record))
        return YieldedBatch(None, at, task, record)

    def _refused(self, error: Exception) -> YieldedBatch | None:
        """The message at which the generator raised, as a task that cannot be decoded. A new generator goes on."""
        last, self._last = self._last, None
        if last is not None and last.assigned.is_leaving:
            return None
        if last is None or (at := self._position_of(last)) is None:
            raise SourceRefusedError(f"iterate_task raised at no message: {error}: mend it") from error

        def refuse(payload: object) -> object:
            del payload
            raise UndecodableError(f"iterate_task raised {type(error).__name__}: {str(error)[:500]}") from error

        return YieldedBatch(last.assigned, at, last.task, None, refuse)

    def _open_position(self, position: Position) -> Position:
        self._leave_open()
        self._open = position
        return position

    def _leave_open(self) -> None:
        if self._open is not None:
            self._open.finish_one()
            self._open = None


def _span(assigned: AssignedPartition, end: int) -> tuple[AssignedPartition, Span]:
    start = assigned.ledger.taken_to if assigned.ledger.taken_to > UNKNOWN else end - 1
    return assigned, assigned.ledger.take(start, end, 1)
