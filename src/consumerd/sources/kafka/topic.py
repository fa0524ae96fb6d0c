"""The topic as its brokers describe it, and what the group has committed, read by clients that join no group.

An answer that does not come says nothing of its reason: refused credentials, an address at which nobody listens, a
group that may not be read are told by the client's callback alone, and some of it once. So a question is put in
slices, and between two of them the callback is served. Runs in workers, the foreground and probes.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cached_property
from typing import Any, TypeVar

from confluent_kafka import Consumer, IsolationLevel, KafkaError, KafkaException, TopicCollection, TopicPartition
from confluent_kafka.admin import (  # type: ignore[attr-defined]  # public, though not listed as such
    AdminClient,
    OffsetSpec,
    TopicDescription,
)

from consumerd import events
from consumerd.clock import monotonic
from consumerd.errors import SourceAwayError, SourceError, SourceRefusedError
from consumerd.events.facts import Fact
from consumerd.sources.contract import ShardLag
from consumerd.sources.kafka.assignment import assigned_partitions
from consumerd.sources.kafka.health import translate
from consumerd.sources.kafka.identity import UNKNOWN_UUID, Identity
from consumerd.sources.kafka.options import KafkaOptions, admin_settings, onlooker_settings

DEADLINE_S = 5.0

_EARLIEST: OffsetSpec = OffsetSpec.earliest()  # type: ignore[no-untyped-call]  # the client leaves it unannotated
_LATEST: OffsetSpec = OffsetSpec.latest()  # type: ignore[no-untyped-call]  # the same
_NO_UUID = "AAAAAAAAAAAAAAAAAAAAAA"

OPEN_LONG_S = 25.0
"""A transaction that is open for so long is told; brokers end those of most producers after a minute."""

SLICE_S = 0.2
"""The first wait for an answer. Each is twice as long as the one before: brokers may be far away."""

SETTLE_S = 1.0
"""How long to wait on when the client has found all brokers down: other addresses of the first name may answer."""

_LISTENED_AT_ONCE = 100

AnswerT = TypeVar("AnswerT")


@dataclass(frozen=True, slots=True)
class Extent:
    """Where a partition begins and ends, and the offset that the group has committed; None where it has none."""

    begin: int
    end: int
    committed: int | None

    def position(self, options: KafkaOptions) -> int:
        """Where the group reads on."""
        unread = self.end if options.auto_offset_reset == "latest" else self.begin
        return unread if self.committed is None else self.committed


class Topic:
    """Reads about one topic. Each call raises SourceAwayError or SourceRefusedError, within DEADLINE_S."""

    def __init__(self, options: KafkaOptions, emit: Callable[[Fact], None] = lambda fact: None) -> None:
        self._options = options
        self._logger = emitting_logger(emit)
        self._questions = Questions(options)
        self._transactions = OpenTransactions()

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
        extents, options = self.extents(), self._options
        ends = stable = {each: found.end for each, found in extents.items()}
        if options.properties.get("isolation.level") != "read_uncommitted":  # where records wait for transactions
            stable = self._listed(extents, _LATEST, monotonic() + DEADLINE_S, IsolationLevel.READ_COMMITTED)
        lags = []
        for each, found in extents.items():
            end, position = ends[each], found.position(options)
            tasks = max(0, end - max(position, found.begin))
            complaint = self._transactions.complaint(
                options.topic_name, each, stable=stable[each], end=end, now=monotonic()
            )
            oldest = oldest_s(each) if tasks else 0.0
            is_blocked = stable[each] < end and position >= stable[each]
            lags.append(ShardLag(each, tasks, oldest, position, complaint=complaint, is_blocked=is_blocked))
        return tuple(lags)

    def extents(self) -> dict[int, Extent]:
        """Of each partition where it begins and ends, and how far the group has come."""
        deadline = monotonic() + DEADLINE_S
        partitions = self._partitions(deadline)
        begins = self._listed(partitions, _EARLIEST, deadline)
        ends = self._listed(partitions, _LATEST, deadline)
        committed = self._committed(partitions, deadline)
        return {each: Extent(begins[each], ends[each], committed.get(each)) for each in partitions}

    def owned(self) -> frozenset[int] | None:
        """The partitions that the members of the group have, wherever they run; None while it divides them, and where
        no broker tells.

        By librdkafka's older question, which is called deprecated in favour of `describe_consumer_groups`: that one
        ends the whole process where the answer comes too late (librdkafka issue 4605).
        """
        warnings.filterwarnings("ignore", r"list_groups\(\) is deprecated", DeprecationWarning)
        topic, group, client = self._options.topic_name, self._options.consumer_group, self._client
        deadline = monotonic() + DEADLINE_S
        try:
            found: list[Any] = self._questions.ask(  # annotated as if all of it were None
                client, lambda patience_s: client.list_groups(group=group, timeout=patience_s), deadline
            )
        except SourceError:
            return None
        for each in found:
            if each.id == group and each.state == "Stable":
                return frozenset().union(*(assigned_partitions(member.assignment, topic) for member in each.members))
        return None

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
        """The offset of each partition of which the broker tells one.

        The admin client must not be asked for it: librdkafka ends the whole process where the answer comes after the
        question was given up (librdkafka issues 3663 and 4605), or is that another broker coordinates the group
        (issue 5040). So a client that belongs to the group and never joins it is.
        """
        client, places = self._onlooker, [TopicPartition(self._options.topic_name, number) for number in partitions]
        found = self._questions.ask(client, lambda patience_s: client.committed(places, timeout=patience_s), deadline)
        return {place.partition: place.offset for place in found if place.error is None and place.offset >= 0}

    @cached_property
    def _client(self) -> AdminClient:
        return self._new_client(self._questions)

    @cached_property
    def _onlooker(self) -> Consumer:
        settings = {**onlooker_settings(self._options), "error_cb": self._questions.note}
        return Consumer(settings, logger=self._logger)

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


class Questions:
    """Asks by a deadline; raises SourceAwayError or SourceRefusedError, with what the clients have told meanwhile."""

    def __init__(self, options: KafkaOptions) -> None:
        self._options = options
        self._refusal: SourceRefusedError | None = None
        self._words = ""
        self._down_at: float | None = None

    def note(self, error: KafkaError) -> None:
        """A client's error callback."""
        judged = translate(error, self._options)
        if isinstance(judged, SourceRefusedError):
            self._refusal = judged
        elif error.code() != KafkaError._ALL_BROKERS_DOWN:  # noqa: SLF001 - a public constant of the client
            self._words = f" (the client says: {error.str()})"
        elif self._down_at is None:
            self._down_at = monotonic()

    def ask(self, client: AdminClient | Consumer, question: Callable[[float], AnswerT], deadline: float) -> AnswerT:
        """The answer of the client. question: waits so many seconds for it; raises KafkaException or TimeoutError."""
        self._listen(client)
        patience_s = SLICE_S
        while True:
            try:
                answer = question(patience_s)
            except (KafkaException, TimeoutError) as error:
                self._listen(client)
                self._give_up(error, deadline)
                patience_s = max(SLICE_S, min(2 * patience_s, deadline - monotonic()))
            else:
                self._refusal, self._words, self._down_at = None, "", None
                return answer

    def _listen(self, client: AdminClient | Consumer) -> None:
        """Run the callbacks. No record comes to a consumer that is assigned nothing, but what its group says comes as
        a record's error."""
        if isinstance(client, AdminClient):
            client.poll(0)
            return
        for message in client.consume(_LISTENED_AT_ONCE, 0):
            error = message.error()
            if error is not None:
                self.note(error)

    def _give_up(self, error: Exception, deadline: float) -> None:
        """Raise where it is of no use to ask on."""
        judged = translate(error.args[0], self._options) if isinstance(error, KafkaException) else None
        refusal = self._refusal or (judged if isinstance(judged, SourceRefusedError) else None)
        if refusal is not None:
            raise refusal from error
        down_at = self._down_at
        if monotonic() >= (deadline if down_at is None else min(deadline, down_at + SETTLE_S)):
            whom = f"the brokers at {self._options.brokers} did not answer in time"
            if down_at is not None:
                whom = f"none of the brokers at {self._options.brokers} answers"
            self._down_at = None
            raise SourceAwayError(f"{whom}{self._words}") from error


class ClientLogger(logging.Logger):
    """Gives librdkafka's own log lines to `note`: it would write them on stderr otherwise."""

    def __init__(self, note: Callable[[str], None]) -> None:
        super().__init__("librdkafka")
        self.propagate = False
        self._note = note

    def handle(self, record: logging.LogRecord) -> None:
        """Give the line."""
        self._note(record.getMessage())


def emitting_logger(emit: Callable[[Fact], None]) -> ClientLogger:
    """Makes a debug fact of each line."""
    return ClientLogger(lambda line: emit(events.client_logged(line=line)))
