"""The topic as its brokers describe it, read with a client that joins no group: identity, lag.

Runs in workers and the foreground; `probe` in processes of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import partial

from confluent_kafka import IsolationLevel, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, though not listed as such
    AdminClient,
    OffsetSpec,
    TopicDescription,
)

from consumerd.clock import monotonic
from consumerd.events.facts import Fact
from consumerd.sources.contract import ShardLag
from consumerd.sources.kafka.client_log import FactLogger
from consumerd.sources.kafka.identity import UNKNOWN_UUID, Identity
from consumerd.sources.kafka.options import KafkaOptions
from consumerd.sources.kafka.positions import Positions
from consumerd.sources.kafka.questions import Questions
from consumerd.sources.kafka.settings import admin_settings, reads_uncommitted
from consumerd.sources.kafka.transactions import OpenTransactions

DEADLINE_S = 5.0

_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # the client leaves it unannotated
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the same
_NO_UUID = "AAAAAAAAAAAAAAAAAAAAAA"


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
        self._logger = FactLogger(emit)
        self._questions = Questions(options)
        self._positions = Positions(options, self._questions)
        self._admin: AdminClient | None = None
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
            found: TopicDescription = questions.ask(described.result, partial(client.poll, 0), deadline)
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
        if not reads_uncommitted(self._options):
            stable = self._listed(partitions, _LATEST, deadline, IsolationLevel.READ_COMMITTED)
        committed = self._positions.committed(partitions, deadline)
        return {
            partition: _Offsets(begins[partition], stable[partition], ends[partition], committed.get(partition, -1))
            for partition in partitions
        }

    def _partitions(self, deadline: float) -> list[int]:
        """Any broker knows them: the controller may be away."""
        name, client = self._options.topic_name, self._client
        serve = partial(client.poll, 0)
        found = self._questions.ask(lambda patience_s: client.list_topics(name, timeout=patience_s), serve, deadline)
        error = found.topics[name].error
        if error is not None:
            raise self._questions.translated(error)
        return sorted(found.topics[name].partitions)

    def _listed(
        self,
        partitions: Iterable[int],
        spec: OffsetSpec,
        deadline: float,
        isolation: IsolationLevel = IsolationLevel.READ_UNCOMMITTED,
    ) -> dict[int, int]:
        wanted = {TopicPartition(self._options.topic_name, partition): spec for partition in partitions}
        futures = self._client.list_offsets(wanted, isolation_level=isolation, request_timeout=_left(deadline))
        ask, serve = self._questions.ask, partial(self._client.poll, 0)
        return {place.partition: ask(future.result, serve, deadline).offset for place, future in futures.items()}

    @property
    def _client(self) -> AdminClient:
        if self._admin is None:
            self._admin = self._new_client(self._questions)
        return self._admin

    def _new_client(self, questions: Questions) -> AdminClient:
        settings = {**admin_settings(self._options), "error_cb": questions.note}
        return AdminClient(settings, logger=self._logger)  # type: ignore[arg-type]  # callbacks


def probe(options: KafkaOptions) -> tuple[ShardLag, ...]:
    """The lag of all partitions, read without joining the group. Raises as `Topic` does."""
    return Topic(options).lag()


def _left(deadline: float) -> float:
    return max(0.1, deadline - monotonic())
