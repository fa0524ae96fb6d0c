"""What people ask of a topic: how far the group is with a record, which records come next, to produce one.

The client that reads is assigned its partitions and never subscribes: the group does not see it. Runs in probes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from itertools import chain, zip_longest

from confluent_kafka import Consumer, KafkaError, Message, TopicPartition

from consumerd.clock import iso, monotonic
from consumerd.errors import SourceAwayError, SourceRefusedError, UsageError
from consumerd.model.task import TaskId
from consumerd.sources import askable
from consumerd.sources.askable import AskContext, TaskState, Upcoming, Whereabouts
from consumerd.sources.kafka.health import translate
from consumerd.sources.kafka.identity import UNKNOWN_UUID, Identity
from consumerd.sources.kafka.options import KafkaOptions, consumer_settings
from consumerd.sources.kafka.sending import Sending
from consumerd.sources.kafka.topic import DEADLINE_S, Extent, Topic

_READ_AT_ONCE = 100
_SLICE_S = 0.2
_PLACE = re.compile(r"(?:(?P<partition>\d{1,9}):)?(?P<offset>\d{1,18})(?:@\d+)?")
_FORM = "name the task by partition:offset, or by its id, topic:uuid:partition:offset"


class AskedTopic:
    """One topic, as its group stands."""

    def __init__(self, context: AskContext) -> None:
        self._options: KafkaOptions = context.options
        self._topic = Topic(self._options)

    def where(self, task: str) -> Whereabouts:
        """By the committed offset: what lies below it is finished, or parked."""
        extents = self._topic.extents()
        uuid, partition, offset = self._place(task, extents)
        identity, extent = self._identity(), extents[partition]
        facts: dict[str, object] = {"partition": partition, "offset": offset, "committed": extent.committed}
        facts |= {"begins_at": extent.begin, "ends_at": extent.end}
        if uuid not in ("", UNKNOWN_UUID, identity.uuid):
            earlier = TaskId(f"{Identity(identity.topic, uuid).start(partition)}{offset}")
            told = f"it is of an earlier topic {identity.topic}; that of today has the uuid {identity.uuid}"
            return Whereabouts(TaskState.UNKNOWN, told, (earlier,), facts)
        ids = [TaskId(f"{identity.start(partition)}{offset}")]
        record = self._record_at(partition, offset) if extent.begin <= offset < extent.end else None
        if record is not None:
            ids.append(Identity(identity.topic, UNKNOWN_UUID).task_id(record))
            facts["produced_at"] = record.timestamp()[1] / 1000
        state, told = self._judged(partition, offset, extent, is_there=record is not None)
        if state is TaskState.PENDING:
            facts["before"] = offset - max(extent.begin, extent.position(self._options))
        return Whereabouts(state, told, tuple(ids), facts)

    def peek(self, limit: int) -> Sequence[Upcoming]:
        """The first records of each partition, in turn: partitions are read beside each other."""
        extents, identity = self._topic.extents(), self._identity()
        begins = {each: max(found.begin, found.position(self._options)) for each, found in extents.items()}
        found = self._records({each: begin for each, begin in begins.items() if begin < extents[each].end}, limit)
        in_turn = chain.from_iterable(zip_longest(*found.values()))
        return [_upcoming(record, identity) for record in in_turn if record is not None][:limit]

    def send(self, messages: Sequence[askable.Message]) -> Sequence[str | None]:
        """Produce them, and wait until the brokers have confirmed each."""
        self._topic.extents()  # else a broker may make a topic that is not there
        return Sending(self._options, messages).send()

    def _judged(self, partition: int, offset: int, extent: Extent, *, is_there: bool) -> tuple[TaskState, str]:
        """How far the group is with an offset, and the sentence. is_there: a record can be read at it."""
        group, name = self._options.consumer_group, f"partition {partition} of {self._options.topic_name}"
        position = max(extent.begin, extent.position(self._options))
        if offset >= extent.end:
            return TaskState.ABSENT, f"{name} ends at {extent.end}: nothing was produced at {offset} yet"
        if extent.committed is not None and offset < extent.committed:
            return (
                TaskState.DONE,
                f"offset {offset} lies below {extent.committed}, which {group} has committed of {name}",
            )
        if offset < position:
            return TaskState.ABSENT, f"{group} reads {name} from {position} on, and was never given offset {offset}"
        if not is_there:
            return TaskState.ABSENT, f"{name} has no record at {offset}: it was compacted, or marks a transaction"
        before = offset - position
        told = (
            f"offset {offset} of {name} is not committed; {group} stands at {position}, so at most {before} come before"
        )
        return TaskState.PENDING, told

    def _place(self, task: str, extents: Mapping[int, Extent]) -> tuple[str, int, int]:
        """The uuid, where the task is named by its id, the partition and the offset."""
        name = self._options.topic_name
        uuid, rest = "", task
        if task.startswith(f"{name}:"):
            uuid, _, rest = task.removeprefix(f"{name}:").partition(":")
        match = _PLACE.fullmatch(rest)
        if match is None:
            told = "a topic is not searched by key or content; consumerd parked list --text looks into what is parked"
            raise UsageError(f"{task!r} is no place in {name}: {_FORM}; {told}")
        if match["partition"] is None and len(extents) > 1:
            raise UsageError(f"{name} has {len(extents)} partitions: {_FORM}")
        partition = min(extents) if match["partition"] is None else int(match["partition"])
        if partition not in extents:
            raise UsageError(f"{name} has no partition {partition}: it has {', '.join(map(str, extents))}")
        return uuid, partition, int(match["offset"])

    def _identity(self) -> Identity:
        """With no uuid where no controller tells one, as workers do."""
        try:
            return self._topic.identity()
        except SourceAwayError:
            return Identity(self._options.topic_name, UNKNOWN_UUID)

    def _record_at(self, partition: int, offset: int) -> Message | None:
        found = self._records({partition: offset}, 1)[partition]
        return found[0] if found and found[0].offset() == offset else None

    def _records(self, begins: Mapping[int, int], limit: int) -> dict[int, list[Message]]:
        """So many records of each partition from an offset on, or fewer where it ends."""
        found: dict[int, list[Message]] = {partition: [] for partition in begins}
        unread, deadline = set(begins), monotonic() + DEADLINE_S
        client = Consumer({**consumer_settings(self._options, member=None), "log_level": 0})
        try:
            client.assign([TopicPartition(self._options.topic_name, each, at) for each, at in begins.items()])
            while unread and monotonic() < deadline:
                for record in client.consume(_READ_AT_ONCE, _SLICE_S):
                    self._note(record, found, unread, limit)
        finally:
            client.close()
        if unread:
            raise SourceAwayError(f"partitions {sorted(unread)} of {self._options.topic_name} gave no records in time")
        return found

    def _note(self, record: Message, found: dict[int, list[Message]], unread: set[int], limit: int) -> None:
        """Keep a record, or learn from an error: that a partition is at its end, or that the broker refuses."""
        error, partition = record.error(), record.partition()
        if error is not None and error.code() != KafkaError._PARTITION_EOF:  # noqa: SLF001 - a public constant
            judged = translate(error, self._options)
            if isinstance(judged, SourceRefusedError):
                raise judged
        elif partition is not None:
            if error is None and len(found[partition]) < limit:
                found[partition].append(record)
            if error is not None or len(found[partition]) >= limit:
                unread.discard(partition)


def _upcoming(record: Message, identity: Identity) -> Upcoming:
    _, milliseconds = record.timestamp()
    place, payload = f"{record.partition()}:{record.offset()}", record.value()
    note = f"produced {iso(milliseconds / 1000)}" + (", a tombstone" if payload is None else "")
    return Upcoming(place, identity.task_id(record), payload or b"", record.key(), note)
