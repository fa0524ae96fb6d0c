"""The topic as its brokers describe it, read with a client that joins no group: identity, lag.

Runs in workers and the foreground; `probe` in processes of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeoutError
from dataclasses import dataclass
from typing import TypeVar

from confluent_kafka import (
    IsolationLevel,
    KafkaError,
    KafkaException,
    TopicCollection,
    TopicPartition,
)
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, though not listed as such
    AdminClient,
    OffsetSpec,
    TopicDescription,
)

from consumerd.clock import monotonic
from consumerd.errors import SourceAwayError, SourceError, SourceRefusedError
from consumerd.events.facts import Fact
from consumerd.sources.contract import ShardLag
from consumerd.sources.kafka.batch import Identity
from consumerd.sources.kafka.client_log import FactLogger
from consumerd.sources.kafka.health import translate
from consumerd.sources.kafka.options import KafkaOptions
from consumerd.sources.kafka.positions import Positions
from consumerd.sources.kafka.settings import admin_settings, reads_uncommitted

DEADLINE_S = 5.0
SETTLE_S = 1.0
"""How long a probe still waits when the client has found all brokers down."""

POLL_S = 0.02
_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # the client leaves it unannotated
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the same
_NO_UUID = "AAAAAAAAAAAAAAAAAAAAAA"

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class _Offsets:
    """Offsets of one partition; committed is below 0 where the group has none."""

    begin: int
    end: int
    committed: int


class Topic:
    """Reads about one topic. Each call raises SourceAwayError or SourceRefusedError, within DEADLINE_S."""

    def __init__(self, options: KafkaOptions, emit: Callable[[Fact], None] = lambda fact: None) -> None:
        self._options = options
        self._logger = FactLogger(emit)
        self._positions = Positions(options)
        self._admin: AdminClient | None = None

    def identity(self) -> Identity:
        """The topic's name and uuid; a topic that is deleted and made anew has another."""
        was_open = self._admin is not None
        uuid = str(self._description(monotonic() + DEADLINE_S).topic_id).rstrip("=")
        if not was_open:
            self._admin = None  # asked once an assignment: its threads and connections are not kept for that
        readable = uuid.replace("+", "-").replace("/", "_")  # as Kafka's own tools write it
        return Identity(self._options.topic_name, "-" if readable == _NO_UUID else readable)

    def lag(self, oldest_s: Callable[[int], float | None] = lambda _: None) -> tuple[ShardLag, ...]:
        """How far the group is behind in each partition; oldest_s: the age of a partition's oldest task."""
        offsets = self._offsets(monotonic() + DEADLINE_S)
        return tuple(self._shard_lag(partition, offsets[partition], oldest_s) for partition in sorted(offsets))

    def _shard_lag(self, partition: int, found: _Offsets, oldest_s: Callable[[int], float | None]) -> ShardLag:
        position = found.committed
        if position < 0:
            position = found.end if self._options.auto_offset_reset == "latest" else found.begin
        tasks = max(0, found.end - max(position, found.begin))
        return ShardLag(partition, tasks, oldest_s(partition) if tasks else 0.0, position)

    def _offsets(self, deadline: float) -> dict[int, _Offsets]:
        partitions = [partition.id for partition in self._description(deadline).partitions]
        begins = self._listed(partitions, _EARLIEST, deadline)
        ends = self._listed(partitions, _LATEST, deadline)
        committed = self._committed(partitions, deadline)
        return {
            partition: _Offsets(begins[partition], ends[partition], committed.get(partition, -1))
            for partition in partitions
        }

    def _description(self, deadline: float) -> TopicDescription:
        name = self._options.topic_name
        futures = self._client.describe_topics(TopicCollection([name]), request_timeout=_left(deadline))
        description: TopicDescription = self._answer(futures[name], deadline)
        return description

    def _listed(self, partitions: Iterable[int], spec: OffsetSpec, deadline: float) -> dict[int, int]:
        wanted = {TopicPartition(self._options.topic_name, partition): spec for partition in partitions}
        isolation = (
            IsolationLevel.READ_UNCOMMITTED if reads_uncommitted(self._options) else IsolationLevel.READ_COMMITTED
        )
        futures = self._client.list_offsets(wanted, isolation_level=isolation, request_timeout=_left(deadline))
        return {place.partition: self._answer(future, deadline).offset for place, future in futures.items()}

    def _committed(self, partitions: Iterable[int], deadline: float) -> dict[int, int]:
        try:
            return self._positions.committed(partitions, _left(deadline))
        except KafkaException as error:
            raise self._translated(error) from error

    def _answer(self, future: Future[ResultT], deadline: float) -> ResultT:
        try:
            return future.result(_left(deadline))
        except FutureTimeoutError as error:
            raise SourceAwayError(
                f"the brokers at {self._options.brokers} did not answer in {DEADLINE_S:g} s"
            ) from error
        except KafkaException as error:
            raise self._translated(error) from error

    def _translated(self, error: KafkaException) -> SourceError:
        return translate(error.args[0], topic=self._options.topic_name, brokers=self._options.brokers)

    @property
    def _client(self) -> AdminClient:
        if self._admin is None:
            self._admin = AdminClient(admin_settings(self._options), logger=self._logger)
        return self._admin


def probe(options: KafkaOptions) -> tuple[ShardLag, ...]:
    """The lag of all partitions, read without joining the group. Raises as `Topic` does."""
    _Knock(options).wait()
    return Topic(options).lag()


class _Knock:
    """Waits for a first answer, with a client that tells of failing connections at once: `Topic` hears the deadline."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._gives_up_at = monotonic() + DEADLINE_S
        self._refusal: SourceRefusedError | None = None

    def wait(self) -> None:
        """Until the brokers have answered, whatever they did. Raises SourceAwayError or SourceRefusedError."""
        settings = {**admin_settings(self._options), "error_cb": self._note}
        topics = TopicCollection([self._options.topic_name])
        # Closed here, with its question open or not: librdkafka ends a process whose garbage collector closes it.
        with AdminClient(settings, logger=FactLogger(lambda fact: None)) as client:  # type: ignore[arg-type]  # callbacks
            future = client.describe_topics(topics, request_timeout=2 * DEADLINE_S)[self._options.topic_name]
            while not future.done():
                if self._refusal is not None:
                    raise self._refusal
                if monotonic() >= self._gives_up_at:
                    raise SourceAwayError(f"none of the brokers at {self._options.brokers} answers")
                client.poll(POLL_S)

    def _note(self, error: KafkaError) -> None:
        """All are down where the first address of a name refuses: its others get SETTLE_S more."""
        judged = translate(error, topic=self._options.topic_name, brokers=self._options.brokers)
        if isinstance(judged, SourceRefusedError):
            self._refusal = judged
        elif error.code() == KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - a public constant of the client
            self._gives_up_at = min(self._gives_up_at, monotonic() + SETTLE_S)


def _left(deadline: float) -> float:
    return max(0.1, deadline - monotonic())
