"""Records between the client and the loop: split into runs of one partition, kept until they are asked for.

Whoever calls holds the source's state lock.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from itertools import groupby

from confluent_kafka import KafkaError, Message

from consumerd import events
from consumerd.clock import monotonic
from consumerd.model.ledger import UNKNOWN
from consumerd.sources.kafka.assigned import AssignedPartition
from consumerd.sources.kafka.losses import Losses
from consumerd.sources.kafka.membership import Membership

# The codes are constants of the C extension, out of reach for type stubs of other versions: read once.
END_OF_PARTITION = KafkaError._PARTITION_EOF  # noqa: SLF001 - the client's name for it


@dataclass(slots=True)
class Run:
    """Records of one partition in order, and the position after them: past gaps and transaction markers."""

    assigned: AssignedPartition
    messages: list[Message]
    end: int


class Arrivals:
    """The runs that have come and were not handed out, oldest first.

    Records of a partition that is not assigned are dropped: they come again to whoever has it now.
    """

    def __init__(self, membership: Membership, on_error: Callable[[KafkaError, int | None], None]) -> None:
        """on_error: is told of each error among the records, and of its partition."""
        self._membership = membership
        self._on_error = on_error
        self._runs: deque[Run] = deque()
        self.losses = Losses(membership)

    @property
    def has_any(self) -> bool:
        return bool(self._runs)

    def add(self, messages: list[Message]) -> None:
        """Keep what the client gave, in the order it gave it."""
        if not any(map(Message.error, messages)):
            self._add_records(messages)
        else:
            self._add_mixed(messages)

    def take(self, limit: int) -> Run | None:
        """The oldest run that may be handed out, at most `limit` records of it."""
        for index, run in enumerate(self._runs):
            if not run.assigned.is_held:
                del self._runs[index]
                first = _offset(run.messages[0]) if run.messages else run.end
                if run.messages and first < run.assigned.next_position:
                    self._go_back(run)
                elif first > run.assigned.next_position > UNKNOWN:
                    self.losses.note_gap(run.assigned.partition, run.assigned.next_position, first)
                return self._cut(run, limit, index)
        return None

    def first_of(self, assigned: AssignedPartition) -> Message | None:
        """The oldest record of a partition."""
        return next((run.messages[0] for run in self._runs if run.assigned is assigned and run.messages), None)

    def drop(self, assigned: AssignedPartition) -> None:
        """Forget the records of a partition that was taken away."""
        self._runs = deque(run for run in self._runs if run.assigned is not assigned)

    def _go_back(self, run: Run) -> None:
        """The position went back, after a truncation or because the topic was made anew: begin with another assignment.

        What was parked before says nothing of the records that have those offsets now.
        """
        old = run.assigned
        new = AssignedPartition(old.partition, UNKNOWN)
        new.topic_uuid = old.topic_uuid
        new.went_back_at = monotonic()
        old.fence()
        self._membership.assigned[old.partition] = new
        for other in (run, *self._runs):
            if other.assigned is old:
                other.assigned = new
        position = _offset(run.messages[0])
        topic, before = self._membership.topic, old.next_position
        fact = events.position_went_back(topic=topic, partition=old.partition, position=position, before=before)
        self._membership.emit(fact)

    def _find(self, message: Message) -> AssignedPartition | None:
        partition = message.partition()
        assert partition is not None  # what was received has its place
        found = self._membership.assigned.get(partition)
        return None if found is None or found.is_leaving else found

    def _cut(self, run: Run, limit: int, index: int) -> Run:
        if len(run.messages) <= limit:
            return run
        rest = run.messages[limit:]
        self._runs.insert(index, Run(run.assigned, rest, run.end))
        return Run(run.assigned, run.messages[:limit], _offset(rest[0]))

    def _add_mixed(self, messages: list[Message]) -> None:
        for is_record, group in groupby(messages, lambda message: message.error() is None):
            if is_record:
                self._add_records(list(group))
            else:
                self._note_errors(group)

    def _add_records(self, messages: list[Message]) -> None:
        if len(set(map(Message.partition, messages))) == 1:
            self._append(messages)
            return
        by_partition: dict[int | None, list[Message]] = {}
        for partition, group in groupby(messages, Message.partition):
            by_partition.setdefault(partition, []).extend(group)
        for gathered in by_partition.values():
            self._append(gathered)

    def _append(self, messages: list[Message]) -> None:
        assigned = self._find(messages[0])
        if assigned is None:
            return
        last = self._runs[-1] if self._runs else None
        if last is not None and last.assigned is assigned and last.end <= _offset(messages[0]):
            last.messages.extend(messages)
            last.end = _offset(messages[-1]) + 1
        else:
            self._runs.append(Run(assigned, messages, _offset(messages[-1]) + 1))

    def _note_errors(self, messages: Iterable[Message]) -> None:
        for message in messages:
            error = message.error()
            assert error is not None
            if error.code() != END_OF_PARTITION:
                self._on_error(error, message.partition())
            elif (assigned := self._find(message)) is not None:
                self._runs.append(Run(assigned, [], _offset(message)))


def _offset(message: Message) -> int:
    offset = message.offset()
    assert offset is not None  # a record that was received has its place
    return offset
