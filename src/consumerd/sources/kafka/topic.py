"""The topic as its brokers describe it, and what the group has committed, read by clients that join no group.

Runs in workers, the foreground and probes.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass

from confluent_kafka import Consumer, IsolationLevel, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, though not listed as such
    AdminClient,
    OffsetSpec,
    TopicDescription,
)

from consumerd.clock import monotonic
from consumerd.events.facts import Fact
from consumerd.sources.contract import ShardLag
from consumerd.sources.kafka.identity import UNKNOWN_UUID, Identity
from consumerd.sources.kafka.options import KafkaOptions, admin_settings, onlooker_settings
from consumerd.sources.kafka.questions import Questions, emitting_logger
from consumerd.sources.kafka.refusals import translate

DEADLINE_S = 5.0

_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # the client leaves it unannotated
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the same
_NO_UUID = "AAAAAAAAAAAAAAAAAAAAAA"

OPEN_LONG_S = 25.0
"""A transaction that is open for so long is told; brokers end those of most producers after a minute."""


@dataclass(frozen=True, slots=True)
class _Offsets:
    """Offsets of one partition. stable: records from there on wait for an open transaction; `end` where there is none.

    committed is below 0 where the group has none.
    """

    begin: int
    stable: int
    end: int
    committed: int


class Topic:
    """Reads about one topic. Each call raises SourceAwayError or SourceRefusedError, within DEADLINE_S."""

    def __init__(self, options: KafkaOptions, emit: Callable[[Fact], None] = lambda fact: None) -> None:
        self._options = options
        self._logger = emitting_logger(emit)
        self._questions = Questions(options)
        self._admin: AdminClient | None = None
        self._onlooker: Consumer | None = None
        self._transactions = OpenTransactions()
        self.uncommitted: frozenset[int] = frozenset()
        """The partitions in which tasks waited at the last measurement, and of which the group had no position."""

    def identity(self) -> Identity:
        """The topic's name and uuid; a topic that is deleted and made anew has another. Only the controller answers.

        Any thread may ask: the client is one of its own, whose threads and connections are not kept.
        """
        name, questions = self._options.topic_name, Questions(self._options)
        deadline = monotonic() + DEADLINE_S
        with self._new_client(questions) as client:  # left with its question open, it would end the process
            described = client.describe_topics(TopicCollection([name]), request_timeout=DEADLINE_S)[name]
            found: TopicDescription = questions.ask(client, described.result, deadline)
        readable = str(found.topic_id).rstrip("=").replace("+", "-").replace("/", "_")  # as Kafka's own tools write it
        return Identity(name, UNKNOWN_UUID if readable == _NO_UUID else readable)

    def lag(self, oldest_s: Callable[[int], float | None] = lambda _: None) -> tuple[ShardLag, ...]:
        """How far the group is behind in each partition; oldest_s: the age of a partition's oldest task."""
        offsets = self._offsets(monotonic() + DEADLINE_S)
        self.uncommitted = frozenset(number for number, at in offsets.items() if at.committed < 0 and at.end > at.begin)
        return tuple(self._shard_lag(partition, offsets[partition], oldest_s) for partition in sorted(offsets))

    def _shard_lag(self, partition: int, found: _Offsets, oldest_s: Callable[[int], float | None]) -> ShardLag:
        position = found.committed
        if position < 0:
            position = found.end if self._options.auto_offset_reset == "latest" else found.begin
        tasks = max(0, found.end - max(position, found.begin))
        is_blocked = found.stable < found.end and position >= found.stable
        complaint = self._transactions.complaint(
            self._options.topic_name, partition, stable=found.stable, end=found.end, now=monotonic()
        )
        oldest = oldest_s(partition) if tasks else 0.0
        return ShardLag(partition, tasks, oldest, position, complaint=complaint, is_blocked=is_blocked)

    def _offsets(self, deadline: float) -> dict[int, _Offsets]:
        partitions = self._partitions(deadline)
        begins = self._listed(partitions, _EARLIEST, deadline)
        ends = self._listed(partitions, _LATEST, deadline)
        stable = ends
        if self._options.properties.get("isolation.level") != "read_uncommitted":
            stable = self._listed(partitions, _LATEST, deadline, IsolationLevel.READ_COMMITTED)
        committed = self._committed(partitions, deadline)
        return {
            partition: _Offsets(begins[partition], stable[partition], ends[partition], committed.get(partition, -1))
            for partition in partitions
        }

    def _partitions(self, deadline: float) -> list[int]:
        """Any broker knows them: the controller may be away."""
        name, client = self._options.topic_name, self._client
        found = self._questions.ask(client, lambda patience_s: client.list_topics(name, timeout=patience_s), deadline)
        error = found.topics[name].error
        if error is not None:
            raise translate(error, self._options)
        return sorted(found.topics[name].partitions)

    def _listed(
        self,
        partitions: Iterable[int],
        spec: OffsetSpec,
        deadline: float,
        isolation: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
    ) -> dict[int, int]:
        wanted = {TopicPartition(self._options.topic_name, partition): spec for partition in partitions}
        client, ask, left_s = self._client, self._questions.ask, max(0.1, deadline - monotonic())
        futures = client.list_offsets(wanted, isolation_level=isolation, request_timeout=left_s)
        return {place.partition: ask(client, future.result, deadline).offset for place, future in futures.items()}

    def _committed(self, partitions: Iterable[int], deadline: float) -> dict[int, int]:
        """The offset of each partition that the broker tells of, below 0 where there is none.

        The admin client must not be asked for it: librdkafka ends the whole process where the answer comes after the
        question was given up (librdkafka issues 3663 and 4605), or is that another broker coordinates the group
        (issue 5040). So a client that belongs to the group and never joins it is.
        """
        if self._onlooker is None:
            self._onlooker = Consumer({**onlooker_settings(self._options), "error_cb": self._questions.note})
        client, places = self._onlooker, [TopicPartition(self._options.topic_name, number) for number in partitions]
        found = self._questions.ask(client, lambda patience_s: client.committed(places, timeout=patience_s), deadline)
        return {place.partition: place.offset for place in found if place.error is None}

    @property
    def _client(self) -> AdminClient:
        if self._admin is None:
            self._admin = self._new_client(self._questions)
        return self._admin

    def _new_client(self, questions: Questions) -> AdminClient:
        settings = {**admin_settings(self._options), "error_cb": questions.note}
        return AdminClient(settings, logger=self._logger)  # type: ignore[arg-type]  # callbacks


class OpenTransactions:
    """Transactions that are open for long, by what is measured of a topic now and then."""

    def __init__(self) -> None:
        self._since: dict[int, tuple[int, float]] = {}

    def complaint(self, topic: str, partition: int, *, stable: int, end: int, now: float) -> str:
        """A sentence on the open transaction of a partition; empty where there is none, or none for long.

        stable: where the oldest open transaction begins; end: the partition's, the same where none is open.
        """
        if stable == end:
            self._since.pop(partition, None)
            return ""
        at, since = self._since.get(partition, (stable, now))
        if at != stable:
            since = now
        self._since[partition] = stable, since
        if now - since < OPEN_LONG_S:
            return ""
        return (
            f"a transaction is open at offset {stable} of partition {partition} of {topic}, and {end - stable} records "
            "wait behind it: have its producer end it, or abort it (kafka-transactions.sh)"
        )
