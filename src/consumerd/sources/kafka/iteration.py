"""A user's own `iterate_task` over a Kafka topic, iterated inside `fetch`, one task at a time. Runs in workers.

A position is finished when its tasks are and the generator has asked for the next message; one never yielded, when
a later one of its partition is. A generator that yields other numbers covers, with what it yields, all that it has
read and not yielded: what it still holds back from an earlier reading is then not safe, and the worker says so once.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from consumerd import events
from consumerd.errors import SourceRefusedError, UndecodableError
from consumerd.model.ledger import UNKNOWN, Span
from consumerd.model.task import Task, TaskId
from consumerd.sources.contract import EndOfSource, SourceContext
from consumerd.sources.kafka.assigned import AssignedPartition
from consumerd.sources.kafka.membership import Membership
from consumerd.sources.kafka.reader import MessageReader
from consumerd.sources.kafka.yielded import KafkaOffset, Position, RefusedBatch, YieldedBatch, refuse
from consumerd.sources.rows import parted


class Iteration:
    """The user's generator, and what its yields stand for. The loop's thread."""

    def __init__(self, reader: MessageReader, context: SourceContext, membership: Membership) -> None:
        self._reader = reader
        self._context = context
        self._membership = membership
        self._state = membership.state
        self._tasks: Iterator[Any] = iter(())
        self._is_running = False
        self._open: Position | None = None
        self._last: KafkaOffset | None = None
        self._is_unknown_reported = False

    def messages(self) -> Iterator[tuple[int, bytes]]:
        """What `consume_client.consume()` yields."""
        while True:
            self._leave()
            read = self._reader.read()
            if read is None:
                return
            assigned, message = read
            self._last = KafkaOffset.of(self._reader.task_of(message), assigned)
            yield self._last, message.value()  # type: ignore[misc]  # None for a tombstone, as the client has it

    def next_batch(self) -> YieldedBatch:
        """The next task that may be handed out. Raises EndOfSource when the generator returns."""
        while True:
            batch = self._advance()
            if batch is not None:
                return batch

    def close(self) -> None:
        """End the generator."""
        close = getattr(self._tasks, "close", None)
        if close is not None:
            close()

    def _advance(self) -> YieldedBatch | None:
        """What the generator yields next; None where its partition was taken away, or it is parked already."""
        if not self._is_running:
            self._tasks = iter(self._context.consumer.iterate_task())
            self._is_running = True
        try:
            yielded = next(self._tasks)
        except StopIteration:
            self._is_running = False
            raise self._reader.refusal or EndOfSource() from None
        except (UndecodableError, ValueError) as error:
            self._is_running = False
            return self._refused(error)
        number, record = parted(yielded)
        with self._state:
            return self._batch(number, record)

    def _batch(self, number: int, record: object) -> YieldedBatch | None:
        if isinstance(number, KafkaOffset) and number.assigned.is_leaving:
            return None  # it comes again, to whoever has the partition now
        at = self._position_of(number) if isinstance(number, KafkaOffset) else None
        if at is None or not isinstance(number, KafkaOffset):
            return self._of_unknown(number, record)
        task_id = number.task.id
        assert task_id is not None
        if at.yielded:
            task_id = TaskId(f"{task_id}#{at.yielded}")
        task = replace(number.task, id=task_id)
        at.yielded += 1
        if task_id in number.assigned.parked_ids:
            return None
        at.pending += 1
        return YieldedBatch(number.assigned, at, number, record, task)

    def _position_of(self, offset: KafkaOffset) -> Position | None:
        """The open position of this offset, opened where need be; None where the generator is past it."""
        assigned, end = offset.assigned, offset + 1
        opened = self._open
        if opened is not None and opened.end == end and opened.spans and opened.spans[0][0] is assigned:
            return opened
        if end <= assigned.ledger.taken_to:
            return None
        self._leave_open()
        self._open = Position([self._span(assigned, end, 1)], end)
        return self._open

    def _of_unknown(self, number: int, record: object) -> YieldedBatch:
        if not self._is_unknown_reported:
            self._is_unknown_reported = True
            then = "tasks finish in the order they are read; what iterate_task holds back is not safe"
            self._membership.emit(events.positions_unknown(topic=self._membership.topic, offset=int(number), then=then))
        unyielded = [assigned for assigned in self._membership.assigned.values() if assigned.has_unyielded]
        if unyielded or self._open is None:
            self._leave_open()
            self._open = Position([self._span(assigned, assigned.read_to, 1) for assigned in unyielded])
        self._open.pending += 1
        self._open.yielded += 1
        return YieldedBatch(None, self._open, number, record, self._unknown_task(number, record))

    def _unknown_task(self, number: int, record: object) -> Task:
        task_id = self._context.consumer.task_id
        found = self._context.worker.call_hook("task_id", lambda: task_id(record), None)
        task_id = None if found is None else TaskId(f"{self._context.name}:{found}")
        return Task(id=task_id, offset=number, source=self._context.name, shard=0, position=0, payload=b"")

    def _refused(self, error: Exception) -> YieldedBatch | None:
        """The message at which the generator raised, as a task that cannot be decoded. A new generator goes on."""
        last = self._last
        if last is None:
            raise SourceRefusedError(f"iterate_task raised before it read a message: {error}: mend it") from error
        with self._state:
            if last.assigned.is_leaving:
                return None
            at = self._position_of(last)
            if at is None:
                raise SourceRefusedError(f"iterate_task raised between messages: {error}: mend it") from error
            at.pending += 1
            at.yielded += 1
            batch = RefusedBatch(last.assigned, at, last, None, last.task)
            batch.decode = refuse(error)
            self._last = None
            return batch

    def _span(self, assigned: AssignedPartition, end: int, count: int) -> tuple[AssignedPartition, Span]:
        start = assigned.ledger.taken_to if assigned.ledger.taken_to > UNKNOWN else end - 1
        return assigned, assigned.ledger.take(start, end, count)

    def _leave(self) -> None:
        with self._state:
            self._leave_open()

    def _leave_open(self) -> None:
        if self._open is not None:
            self._open.leave()
            self._open = None
