"""Records between the client and the loop: split into runs of one partition, kept until they are asked for.

Records of a partition that is not assigned are dropped: they come again to whoever has it now. Runs in workers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from itertools import groupby

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from consumerd import events
from consumerd.model.ledger import UNKNOWN
from consumerd.sources.kafka.batch import KafkaBatch
from consumerd.sources.kafka.membership import AssignedPartition, Membership

# The codes are constants of the C extension, out of reach for type stubs of other versions: read once.
END_OF_PARTITION = KafkaError._PARTITION_EOF  # noqa: SLF001 - the client's name for it

EARLIEST = -2
"""Kafka's word for the begin of a partition, in place of a time."""

LOOK_S = 30.0
"""Between two looks: where transactions or compaction leave gaps everywhere, each look costs the loop a request."""

ANSWER_S = 1.0


@dataclass(slots=True)
class Run:
    """Records of one partition in order, and the position after them: past gaps and transaction markers."""

    assigned: AssignedPartition
    messages: list[Message]
    end: int


class Arrivals:
    """The runs that have come and were not handed out, oldest first. Whoever calls holds the state lock."""

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._payload_limit_bytes = membership.context.payload_limit_bytes
        self._runs: deque[Run] = deque()
        self.losses = Losses(membership)

    @property
    def has_any(self) -> bool:
        return bool(self._runs)

    def add(self, messages: list[Message]) -> None:
        """Keep what the client gave, in the order it gave it."""
        self._membership.question.has_news = True
        if not any(map(Message.error, messages)):
            self._add_records(messages)
            return
        for is_record, group in groupby(messages, lambda message: message.error() is None):
            if is_record:
                self._add_records(list(group))
            else:
                self._note_errors(group)

    def next_batch(self, limit: int) -> KafkaBatch | None:
        """The oldest records that may be handed out, at most so many, as a batch that the loop has in hand.

        What is parked is left out: it is finished for the ledger as if it had never been.
        """
        identity = self._membership.question.identity
        while limit > 0 and (run := self.take(limit)) is not None:
            messages, assigned = run.messages, run.assigned
            if assigned.parked:
                messages = [each for each in messages if not assigned.has_parked(each, identity)]
            if messages:
                limit_bytes = self._payload_limit_bytes
                batch = KafkaBatch(assigned, messages, run.end, identity=identity, payload_limit_bytes=limit_bytes)
                self._membership.in_hand.append(batch)
                return batch
            assigned.ledger.skip_to(run.end)
        return None

    def take(self, limit: int) -> Run | None:
        """The oldest run that may be handed out, at most `limit` records of it."""
        for index, run in enumerate(self._runs):
            if not run.assigned.is_held:
                del self._runs[index]
                first, expected = _offset(run.messages[0]) if run.messages else run.end, run.assigned.next_position
                if run.messages and first < expected:
                    self._go_back(run)
                elif first > expected > UNKNOWN:
                    self.losses.note_gap(run.assigned.partition, expected, first)
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
        old, membership = run.assigned, self._membership
        new = AssignedPartition(old.partition, UNKNOWN)
        new.topic_uuid = old.topic_uuid
        new.went_back_at = membership.clock.monotonic()
        old.fence()
        membership.assigned[old.partition] = new
        for other in (run, *self._runs):
            if other.assigned is old:
                other.assigned = new
        position, before = _offset(run.messages[0]), old.next_position
        membership.emit(
            events.position_went_back(topic=membership.topic, partition=old.partition, position=position, before=before)
        )

    def _find(self, message: Message) -> AssignedPartition | None:
        found = self._membership.assigned.get(message.partition())  # type: ignore[arg-type]  # a received one has its place
        return None if found is None or found.is_leaving else found

    def _cut(self, run: Run, limit: int, index: int) -> Run:
        if len(run.messages) <= limit:
            return run
        rest = run.messages[limit:]
        self._runs.insert(index, Run(run.assigned, rest, run.end))
        return Run(run.assigned, run.messages[:limit], _offset(rest[0]))

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
                self._membership.health.note(error, message.partition())
            elif (assigned := self._find(message)) is not None:
                self._runs.append(Run(assigned, [], _offset(message)))


class Losses:
    """Records that were deleted before they were handled, because the topic's retention was quicker.

    A gap between two records of a partition says little: compaction and transaction markers leave such gaps too. It is
    a loss where the partition's log begins within the gap.
    """

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._gaps: dict[int, tuple[int, int]] = {}
        self._next_look = 0.0

    def note_gap(self, partition: int, expected: int, found: int) -> None:
        """A record came from `found`, where one from `expected` on might have come. Under the state lock."""
        self._gaps.setdefault(partition, (expected, found))

    @property
    def is_due(self) -> bool:
        """Whether there are gaps, and it is time to look."""
        return bool(self._gaps) and self._membership.clock.monotonic() >= self._next_look

    def look(self) -> None:
        """Ask where the partitions begin, and tell of the gaps that are losses. Under the client's lock."""
        member = self._membership
        self._next_look = member.clock.monotonic() + LOOK_S
        with member.state:
            gaps, self._gaps = self._gaps, {}
        places = [TopicPartition(member.topic, partition, EARLIEST) for partition in gaps]
        try:
            found = member.client.offsets_for_times(places, timeout=ANSWER_S)
        except KafkaException:
            return  # the loss stays untold, as it does where nobody may ask
        for place in found:
            expected, first = gaps[place.partition]
            if expected < place.offset <= first:
                self._tell(place.partition, expected, place.offset - expected)

    def _tell(self, partition: int, first: int, records: int) -> None:
        then = "they were never handled: keep the topic's records for longer, or add workers"
        topic = self._membership.topic
        fact = events.records_deleted(topic=topic, partition=partition, records=records, first=first, then=then)
        self._membership.emit(fact)


def _offset(message: Message) -> int:
    offset = message.offset()
    assert offset is not None  # a record that was received has its place
    return offset
