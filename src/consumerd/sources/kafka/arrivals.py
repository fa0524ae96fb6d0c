"""Records between the client and the loop: kept by partition until the loop asks for them.

Records of a partition that is not assigned are dropped: they come again to whoever has it now. Runs in workers.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable
from itertools import groupby

from confluent_kafka import KafkaError, KafkaException, Message, TopicPartition

from consumerd import events
from consumerd.errors import StoreAwayError
from consumerd.model.ledger import UNKNOWN
from consumerd.model.task import TaskId
from consumerd.sources.kafka.membership import Membership
from consumerd.sources.kafka.partition import AssignedPartition, KafkaBatch

# The codes are constants of the C extension, out of reach for type stubs of other versions: read once.
END_OF_PARTITION = KafkaError._PARTITION_EOF  # noqa: SLF001 - the client's name for it

EARLIEST = -2
"""Kafka's word for the begin of a partition, in place of a time."""

LOOK_S = 30.0
"""Between two looks: where transactions or compaction leave gaps everywhere, each look costs the loop a request."""

ANSWER_S = 1.0

ASK_AGAIN_S = 1.0
"""Between two questions to a parking store that does not answer."""


class Arrivals:
    """What has come of all partitions and was not handed out. Whoever calls holds the state lock, but for `ask_store`.

    Nothing of a new assignment is handed out before it is known what of it is parked: till then it is held.
    losses: the gaps in it.
    """

    def __init__(self, membership: Membership) -> None:
        self._membership = membership
        self._payload_limit_bytes = membership.context.payload_limit_bytes
        self._waiting: deque[AssignedPartition] = deque()
        self._ask_store_at = 0.0
        self.losses = Losses(membership)

    @property
    def has_any(self) -> bool:
        """Whether records wait, or the end of a partition does."""
        return bool(self._waiting)

    def add(self, messages: list[Message]) -> None:
        """Keep what the client gave, in the order it gave it."""
        self._membership.question.has_news = True
        for partition, came in _by_partition(messages):
            if not any(map(Message.error, came)):
                self._add_records(partition, came)
                continue
            for is_record, alike in groupby(came, lambda message: message.error() is None):
                if is_record:
                    self._add_records(partition, list(alike))
                else:
                    self._note_errors(partition, alike)

    def next_batch(self, limit: int) -> KafkaBatch | None:
        """The oldest records that may be handed out, at most so many, as a batch that the loop has in hand.

        What is parked is left out: it is finished for the ledger as if it had never been.
        """
        identity = self._membership.question.identity
        while limit > 0 and (taken := self.take(limit)) is not None:
            assigned, messages, end = taken
            if assigned.parked:
                messages = [each for each in messages if not assigned.has_parked(each, identity)]
            if messages:
                limit_bytes = self._payload_limit_bytes
                return KafkaBatch(assigned, messages, end, identity=identity, payload_limit_bytes=limit_bytes)
            assigned.ledger.skip_to(end)
        return None

    def ask_store(self) -> None:
        """Ask what is parked of the partitions whose records wait for that. Under no lock; the loop's thread.

        They are paused while the parking store does not answer, so that no more piles up here.
        """
        member = self._membership
        with member.state:
            held = [assigned for assigned in self._waiting if assigned.is_held and not assigned.is_leaving]
        if not held or member.clock.monotonic() < self._ask_store_at:
            return
        member.store_away = None
        try:
            for assigned in held:
                self._free(assigned)
        except StoreAwayError as error:
            member.store_away, self._ask_store_at = error, member.clock.monotonic() + ASK_AGAIN_S
        with member.client_lock:
            member.switch(member.client.resume, [assigned for assigned in held if not assigned.is_held])
            member.switch(member.client.pause, [assigned for assigned in held if assigned.is_held])

    def take(self, limit: int) -> tuple[AssignedPartition, list[Message], int] | None:
        """At most `limit` records of the partition that has waited longest, and the position after them.

        No record where the end of the partition has come.
        """
        for assigned in tuple(self._waiting):
            if assigned.is_leaving:
                self._waiting.remove(assigned)
            elif not assigned.is_held:
                came, end = assigned.arrived, assigned.end
                messages, rest = (came, []) if len(came) <= limit else (came[:limit], came[limit:])
                assigned.arrived = rest
                if messages:
                    end = _offset(rest[0]) if rest else _offset(messages[-1]) + 1
                if end == assigned.end:
                    self._waiting.remove(assigned)
                return assigned, messages, end
        return None

    def _free(self, assigned: AssignedPartition) -> None:
        member, ids = self._membership, frozenset[TaskId]()
        identity, position = member.question.awaited(), max(assigned.durable, UNKNOWN + 1)
        if not assigned.went_back_at:
            ids = member.context.parked.parked_from(identity.topic, assigned.partition, position)
        with member.state:
            assigned.topic_uuid = identity.uuid if identity.is_known else ""
            assigned.parked_ids = ids
            if not member.is_iterated:  # there it is not positions that are skipped, but tasks yielded
                assigned.parked = identity.positions(assigned.partition, ids)
            assigned.is_held = False

    def _find(self, partition: int | None) -> AssignedPartition | None:
        found = self._membership.assigned.get(partition)  # type: ignore[arg-type]  # a received message has its place
        return None if found is None or found.is_leaving else found

    def _add_records(self, partition: int | None, messages: list[Message]) -> None:
        assigned = self._find(partition)
        if assigned is None:
            return
        first = _offset(messages[0])
        if first < assigned.end:
            assigned = self._go_back(assigned, first)
        self._reach(assigned, first)
        if assigned.arrived:
            assigned.arrived += messages
        else:
            assigned.arrived = messages
        assigned.end = _offset(messages[-1]) + 1

    def _reach(self, assigned: AssignedPartition, position: int) -> None:
        """Something of the partition came, and nothing before this position."""
        if position > assigned.end:
            if assigned.end > UNKNOWN:
                self.losses.note_gap(assigned.partition, assigned.end, position)
            assigned.end = position
        if assigned not in self._waiting:
            self._waiting.append(assigned)

    def _note_errors(self, partition: int | None, messages: Iterable[Message]) -> None:
        for message in messages:
            error = message.error()
            assert error is not None
            if error.code() != END_OF_PARTITION:
                self._membership.health.note(error, partition)
            elif (assigned := self._find(partition)) is not None:
                self._reach(assigned, _offset(message))

    def _go_back(self, old: AssignedPartition, position: int) -> AssignedPartition:
        """The position went back, after a truncation or because the topic was made anew: begin with another assignment.

        What was parked before says nothing of the records that have those offsets now.
        """
        membership = self._membership
        new = AssignedPartition(old.partition, UNKNOWN)
        new.topic_uuid, new.is_held = old.topic_uuid, old.is_held
        new.went_back_at = membership.clock.monotonic()
        before = old.end
        old.leave()
        membership.assigned[old.partition] = new
        membership.emit(
            events.position_went_back(topic=membership.topic, partition=old.partition, position=position, before=before)
        )
        return new


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
        then = "they were never handled: keep the topic's records for longer, or add workers"
        for place in found:
            partition, (first, came) = place.partition, gaps[place.partition]
            if first < place.offset <= came:
                lost = place.offset - first
                member.emit(
                    events.records_deleted(
                        topic=member.topic, partition=partition, records=lost, first=first, then=then
                    )
                )


def _by_partition(messages: list[Message]) -> Iterable[tuple[int | None, list[Message]]]:
    """The runs of one partition; most often there is one, which is seen the quicker way."""
    if len(set(map(Message.partition, messages))) == 1:
        return ((messages[0].partition(), messages),)
    return ((partition, list(run)) for partition, run in groupby(messages, Message.partition))


def _offset(message: Message) -> int:
    offset = message.offset()
    assert offset is not None  # a record that was received has its place
    return offset
