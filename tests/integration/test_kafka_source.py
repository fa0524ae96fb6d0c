"""The Kafka source against a real broker."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import threading
import uuid
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest
from confluent_kafka import Consumer, KafkaError, KafkaException, Producer, TopicPartition
from confluent_kafka.admin import AdminClient, NewPartitions, NewTopic  # type: ignore[attr-defined]  # public

from consumerd.clock import monotonic, wall
from consumerd.consumers import KafkaBaseConsumer
from consumerd.errors import SourceAwayError, SourceRefusedError, StoreAwayError, UndecodableError
from consumerd.model.outcome import DONE, Dead
from consumerd.model.task import TaskId
from consumerd.sources.contract import Batch, EndOfSource, Settlement, Source, SourceContext
from consumerd.sources.kafka import KIND
from consumerd.sources.kafka.source import KafkaSource
from consumerd.testing.source_context import NothingParked, StandInWorker
from consumerd.testing.source_contract import SourceContract
from integration.scenarios.kafka_member import Member, Seat
from integration.scenarios.late_coordinator import LateCoordinator
from integration.scenarios.observer import GroupObserver
from servers.kafka import PASSWORD, USER, KafkaServer, TopicFactory
from servers.waiting import wait_until

TESTS = Path(__file__).parents[1]
PATIENCE_S = 60.0


# What tests do to a topic and ask of it, with clients of their own


def produce(brokers: str, topic: str, records: Iterable[tuple[int, bytes | None]], **settings: object) -> None:
    """Send (partition, value) pairs and wait until the broker has them."""
    producer = Producer({"bootstrap.servers": brokers, "log_level": 0, **settings})
    for partition, value in records:
        producer.produce(topic, value, partition=partition)
    assert producer.flush(PATIENCE_S) == 0


def numbered(count: int, partitions: int = 1) -> list[tuple[int, bytes]]:
    return [(number % partitions, b'{"number": %d}' % number) for number in range(count)]


def committed(brokers: str, topic: str, group: str) -> dict[int, int]:
    """The group's committed offset of each partition that has one; none while a broker that has just started loads.

    A consumer that never joins is asked: librdkafka's admin client may end the process over it, see `Positions`.
    """
    client = Consumer({"bootstrap.servers": brokers, "group.id": group, "enable.auto.commit": False, "log_level": 0})
    try:
        partitions = client.list_topics(topic, timeout=PATIENCE_S).topics[topic].partitions
        found = client.committed([TopicPartition(topic, number) for number in partitions], timeout=PATIENCE_S)
    except KafkaException as error:
        if error.args[0].code() in (KafkaError.COORDINATOR_LOAD_IN_PROGRESS, KafkaError.NOT_COORDINATOR):
            return {}
        raise
    finally:
        client.close()
    return {place.partition: place.offset for place in found if place.error is None and place.offset >= 0}


def next_batch(source: KafkaSource, limit: int = 500) -> Batch:
    """The next batch, waited for."""
    batch: Batch | None = wait_until(lambda: source.fetch(limit, 0.2), PATIENCE_S, "no batch came")
    assert batch is not None
    return batch


def settle_all(source: KafkaSource, batch: Batch, *, is_due: bool = False) -> None:
    source.settle([Settlement(batch, 0, len(batch.raws), DONE)], is_due=is_due)
    source.release(batch, ())


def until_settled(source: KafkaSource) -> None:
    """Wait until the broker has confirmed everything that is finished."""
    source.settle((), is_due=True)
    wait_until(lambda: source.fetch(0, 0.05) is None and not source.unsettled(), PATIENCE_S, "not settled")


def fetch_if_there(source: KafkaSource, limit: int) -> Batch | None:
    """A batch; None as well while the brokers are away."""
    try:
        return source.fetch(limit, 0.1)
    except SourceAwayError:
        return None


def until_away(source: KafkaSource, reason: str) -> None:
    """Fetch until the source says that it is away for this reason."""

    def is_away() -> bool:
        try:
            source.fetch(1, 0.1)
        except SourceAwayError as error:
            return reason in str(error)
        return False

    wait_until(is_away, PATIENCE_S, lambda: f"not away because of: {reason}")


def drain(source: KafkaSource) -> int | None:
    """Handle what there is now; the partition that it was of."""
    batch = source.fetch(500, 0.1)
    if batch is None:
        return None
    settle_all(source, batch, is_due=True)
    return batch.shard


def drain_one(source: KafkaSource) -> None:
    """Handle one record, if there is one."""
    batch = fetch_if_there(source, 1)
    if batch is not None:
        settle_all(source, batch, is_due=True)


def offsets(batch: Batch) -> list[int]:
    return [batch.offset(raw) for raw in batch.raws]


@pytest.fixture
def group() -> str:
    return f"group-{uuid.uuid4().hex[:8]}"


class KafkaFeed:
    """The world of the contract suite: one topic with one partition, and what to close at the end."""

    def __init__(self, seat: Seat) -> None:
        self._seat = seat
        self._sources: list[Source] = []

    def produce(self, records: Sequence[dict[str, object]]) -> None:
        produce(self._seat.brokers, self._seat.topic, [(0, json.dumps(record).encode()) for record in records])

    def open(self, context: SourceContext) -> Source:
        source = KafkaSource()
        source.open(replace(context, options=self._seat.options))
        self._sources.append(source)
        return source

    def close(self) -> None:
        for source in self._sources:
            source.close(monotonic() + PATIENCE_S)


class TestKafkaSource(SourceContract):
    """What every source must do."""

    @pytest.fixture
    def feed(self, kafka: KafkaServer, kafka_topic: TopicFactory, group: str) -> Iterator[KafkaFeed]:
        feed = KafkaFeed(Seat(kafka.brokers, kafka_topic(), group))
        yield feed
        feed.close()


@pytest.fixture
def seat(kafka: KafkaServer, kafka_topic: TopicFactory, group: str) -> Seat:
    """A seat at a fresh topic of one partition."""
    return Seat(kafka.brokers, kafka_topic(), group)


@pytest.fixture
def opened(seat: Seat) -> Iterator[Callable[[], KafkaSource]]:
    """Opens the seat's source; whatever was opened is closed at the end."""
    sources: list[KafkaSource] = []

    def open_source() -> KafkaSource:
        sources.append(seat.open())
        return sources[-1]

    yield open_source
    for source in sources:
        source.close(monotonic() + PATIENCE_S)


Opened = Callable[[], KafkaSource]


# Positions


def test_the_committed_offset_never_passes_a_task_left_out(seat: Seat, opened: Opened):
    produce(seat.brokers, seat.topic, numbered(10))
    source = opened()
    batch = next_batch(source)
    assert len(batch.raws) == 10
    source.settle([Settlement(batch, 0, 3, DONE), Settlement(batch, 4, 10, DONE)], is_due=True)
    wait_until(lambda: source.fetch(0, 0.05) or source.unsettled() == 7, PATIENCE_S, "three are not settled")
    assert committed(seat.brokers, seat.topic, seat.group) == {0: 3}
    source.settle([Settlement(batch, 3, 4, Dead("parked"))], is_due=True)
    until_settled(source)
    assert committed(seat.brokers, seat.topic, seat.group) == {0: 10}


def test_a_commit_goes_out_when_half_of_max_unsettled_is_outstanding(seat: Seat, opened: Opened):
    seat.max_unsettled = 20
    produce(seat.brokers, seat.topic, numbered(10))
    source = opened()
    settle_all(source, next_batch(source))
    wait_until(lambda: source.fetch(0, 0.05) or not source.unsettled(), PATIENCE_S, "no commit was sent")
    assert committed(seat.brokers, seat.topic, seat.group) == {0: 10}


def test_transaction_markers_at_the_end_leave_no_lag(seat: Seat, opened: Opened):
    producer = Producer({"bootstrap.servers": seat.brokers, "transactional.id": seat.topic, "log_level": 0})
    producer.init_transactions(PATIENCE_S)
    for is_kept in (True, False):
        producer.begin_transaction()
        producer.produce(seat.topic, b'{"number": 0}')
        producer.flush(PATIENCE_S)
        producer.commit_transaction() if is_kept else producer.abort_transaction()
    source = opened()
    batch = next_batch(source)
    assert offsets(batch) == [0]
    settle_all(source, batch)

    def lag_is_gone() -> bool:
        source.fetch(500, 0.1)
        source.settle((), is_due=True)
        return [lag.tasks for lag in source.lag()] == [0]

    wait_until(lag_is_gone, PATIENCE_S, "the markers count as lag")
    assert committed(seat.brokers, seat.topic, seat.group) == {0: 4}


def test_what_waits_behind_an_open_transaction_is_lag_for_which_no_worker_is_to_blame(seat: Seat, opened: Opened):
    producer = Producer({"bootstrap.servers": seat.brokers, "transactional.id": seat.topic, "log_level": 0})
    producer.init_transactions(PATIENCE_S)
    producer.begin_transaction()
    producer.produce(seat.topic, b'{"number": 0}')
    producer.flush(PATIENCE_S)
    produce(seat.brokers, seat.topic, numbered(4))
    source = opened()
    wait_until(lambda: source.fetch(1, 0.1) or seat.told("partitions_assigned"), PATIENCE_S, "no assignment")
    assert [(lag.tasks, lag.is_blocked) for lag in source.lag()] == [(5, True)]
    producer.commit_transaction()
    came: list[int] = []
    wait_until(lambda: came.extend(offsets(next_batch(source))) or len(came) == 5, PATIENCE_S, "they do not come")  # type: ignore[func-returns-value]
    assert [(lag.tasks, lag.is_blocked) for lag in source.lag()] == [(6, False)]


def test_a_topic_that_grew_while_its_only_member_was_away_is_read_whole(seat: Seat, opened: Opened):
    seat.member, seat.keys = "0.test.m.0", {"session_timeout": 45}
    member = Member(seat).start()
    wait_until(lambda: member.partitions, PATIENCE_S, "no assignment")
    member.stop()
    admin = AdminClient({"bootstrap.servers": seat.brokers, "log_level": 0})
    admin.create_partitions([NewPartitions(seat.topic, 2)])[seat.topic].result(PATIENCE_S)
    produce(seat.brokers, seat.topic, [(1, b"{}")])
    source = opened()

    def came() -> Batch | None:
        source.lag()
        return source.fetch(10, 0.2)

    batch = wait_until(came, PATIENCE_S, "nobody reads the new partition")
    assert batch.shard == 1
    assert len(seat.told("group_joined_anew")) == 1


def test_a_topic_made_anew_between_two_polls_loses_none_of_its_records(seat: Seat, opened: Opened):
    produce(seat.brokers, seat.topic, numbered(5))
    source = opened()
    settle_all(source, next_batch(source), is_due=True)
    admin = AdminClient({"bootstrap.servers": seat.brokers, "log_level": 0})
    admin.delete_topics([seat.topic])[seat.topic].result(PATIENCE_S)
    wait_until(lambda: is_made(admin, seat.topic), PATIENCE_S, "the topic is not made anew")
    wait_until(lambda: is_produced(seat, 9), PATIENCE_S, "nothing can be written to it")
    seen: list[int] = []

    def has_all() -> bool:
        seat.clock.shift_s += 1
        source.tick()
        if (batch := source.fetch(500, 0.1)) is not None:
            seen.extend(offsets(batch))
            settle_all(source, batch, is_due=True)
        return set(seen) == set(range(9)) and committed(seat.brokers, seat.topic, seat.group) == {0: 9}

    wait_until(has_all, PATIENCE_S, lambda: f"only {seen} came: {seat.facts[-5:]}")
    assert Counter(seen).most_common(1)[0][1] <= 2


def is_made(admin: AdminClient, topic: str) -> bool:
    """Whether the topic, just deleted, could be made again."""
    try:
        admin.create_topics([NewTopic(topic, 1, 1)])[topic].result(PATIENCE_S)
    except KafkaException:
        return False
    return True


def is_produced(seat: Seat, count: int) -> bool:
    """Whether so many records could be written; by a client of its own, which knows the new topic."""
    try:
        produce(seat.brokers, seat.topic, numbered(count))
    except KafkaException:
        return False
    return True


def test_a_batch_knows_when_its_messages_were_written(seat: Seat, opened: Opened):
    began_at = wall()
    produce(seat.brokers, seat.topic, numbered(3))
    source = opened()
    first, last = source.due_between(next_batch(source)) or (0.0, 0.0)
    assert began_at - 1 <= first <= last <= wall() + 1


def test_an_empty_partition_is_committed_at_its_end(seat: Seat, opened: Opened):
    source = opened()
    wait_until(
        lambda: (
            source.fetch(10, 0.1) or source.settle((), is_due=True) or committed(seat.brokers, seat.topic, seat.group)
        ),
        PATIENCE_S,
        "nothing is committed",
    )
    assert committed(seat.brokers, seat.topic, seat.group) == {0: 0}


def test_a_position_beyond_the_end_goes_back_and_is_committed_anew(seat: Seat, opened: Opened):
    produce(seat.brokers, seat.topic, numbered(5))
    other = Consumer({"bootstrap.servers": seat.brokers, "group.id": seat.group, "log_level": 0})
    other.commit(offsets=[TopicPartition(seat.topic, 0, 1000)], asynchronous=False)
    other.close()
    source = opened()
    batch = next_batch(source)
    assert offsets(batch) == [0, 1, 2, 3, 4]
    settle_all(source, batch)
    until_settled(source)
    assert committed(seat.brokers, seat.topic, seat.group) == {0: 5}
    assert [fact.fields["before"] for fact in seat.told("position_went_back")] == [1000]


def test_lag_is_of_all_partitions_also_of_those_that_others_have(
    kafka: KafkaServer, kafka_topic: TopicFactory, group: str
):
    seat = Seat(kafka.brokers, kafka_topic(partitions=3), group)
    produce(seat.brokers, seat.topic, numbered(30, 3))
    keys = {"brokers": seat.brokers, "topic_name": seat.topic, "consumer_group": group}
    assert [(lag.shard, lag.tasks, lag.position) for lag in KIND.probe(keys)] == [(0, 10, 0), (1, 10, 0), (2, 10, 0)]
    source = seat.open()
    batch = next_batch(source, limit=4)
    source.settle([Settlement(batch, 0, 4, DONE)], is_due=True)
    wait_until(lambda: source.fetch(0, 0.05) or not source.unsettled(), PATIENCE_S, "not settled")
    by_shard = {lag.shard: lag for lag in source.lag()}
    assert by_shard[batch.shard].tasks == 6
    assert by_shard[batch.shard].position == 4
    assert by_shard[batch.shard].oldest_s is not None
    source.close(monotonic() + PATIENCE_S)


@pytest.fixture
def late_coordinator() -> Iterator[LateCoordinator]:
    between = LateCoordinator()
    yield between
    between.close()


@pytest.fixture
def broker_behind(late_coordinator: LateCoordinator, kafka: KafkaServer) -> Iterator[KafkaServer]:
    """A broker of its own that is reached through `late_coordinator`."""
    if not kafka.is_ours:
        pytest.skip("where brokers are given, no other is started")
    advertised = f"BROKER://127.0.0.1:{late_coordinator.port}"
    broker = KafkaServer.launch({"advertised.listeners": advertised})
    late_coordinator.forward_to(int(broker.brokers.rpartition(":")[2]))
    yield broker
    broker.close()


def test_a_lag_whose_coordinator_answers_too_late_is_measured_the_next_time_by_the_same_process(
    late_coordinator: LateCoordinator, broker_behind: KafkaServer
):
    broker_behind.create_topic("topic", 2)
    brokers = f"127.0.0.1:{late_coordinator.port}"
    command = [sys.executable, "-m", "integration.scenarios.lag_asker", brokers, "topic", "group"]
    environment = {**os.environ, "PYTHONPATH": str(TESTS)}
    with subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) as asker:
        assert asker.stdout is not None
        assert asker.stdout.readline() == "away\n"
        late_coordinator.letting_go.set()
        assert asker.stdout.read().endswith("answered\n")
        assert asker.wait(PATIENCE_S) == 0


def test_a_close_past_its_deadline_returns_and_says_so(seat: Seat):
    source = seat.open()
    source.close(monotonic())
    assert seat.told("source_close_overdue")


# Records


def test_a_record_over_the_payload_limit_arrives_whole_and_is_undecodable(
    kafka: KafkaServer, kafka_topic: TopicFactory, group: str
):
    topic = kafka_topic(config={"max.message.bytes": str(18 * 1024 * 1024)})
    large = json.dumps({"blob": "x" * (17 * 1024 * 1024)}).encode()
    values = [b'{"number": 0}', large, b'{"number": 2}']
    produce(kafka.brokers, topic, [(0, value) for value in values], **{"message.max.bytes": 18 * 1024 * 1024})
    source = Seat(kafka.brokers, topic, group).open()
    seen: list[bytes] = []
    refused: list[str] = []
    while len(seen) < 3:
        batch = next_batch(source)
        for index, raw in enumerate(batch.raws):
            seen.append(batch.task(index).payload)
            try:
                batch.decode(batch.payload(raw))
            except UndecodableError as error:
                refused.append(str(error))
        settle_all(source, batch)
    assert seen == values
    assert refused == [f"the payload of {len(large)} bytes is over payload_limit (1048576 bytes)"]
    source.close(monotonic() + PATIENCE_S)


def test_a_tombstone_is_a_task_with_its_key_and_no_payload(seat: Seat, opened: Opened):
    producer = Producer({"bootstrap.servers": seat.brokers})
    producer.produce(seat.topic, None, key=b"uid-7", headers=[("trace", b"\x00\xff"), ("empty", None)])
    producer.flush(PATIENCE_S)
    source = opened()
    batch = next_batch(source)
    task = batch.task(0)
    assert (task.payload, task.key, task.headers) == (b"", b"uid-7", (("trace", b"\x00\xff"), ("empty", None)))
    with pytest.raises(ValueError, match="Input must be bytes"):
        batch.decode(batch.payload(batch.raws[0]))
    with pytest.raises(UndecodableError, match="tombstone"):
        source.decode(task.payload)


def test_a_task_id_carries_the_uuid_that_the_brokers_tools_show(seat: Seat, opened: Opened):
    produce(seat.brokers, seat.topic, numbered(1))
    source = opened()
    topic, topic_uuid, partition, offset = str(next_batch(source).task(0).id).split(":")
    assert (topic, partition, offset) == (seat.topic, "0", "0")
    assert len(topic_uuid) == 22
    assert not set(topic_uuid) & set("+/=")


def test_a_cluster_without_a_controller_that_answers_is_read_all_the_same():
    """librdkafka's own mock cluster is one."""
    mock = Producer({"test.mock.num.brokers": 1, "log_level": 0})
    brokers = ",".join(f"{each.host}:{each.port}" for each in mock.list_topics(timeout=PATIENCE_S).brokers.values())
    produce(brokers, "mocked", [(0, value) for _, value in numbered(10)])
    seat = Seat(brokers, "mocked", "group")
    source = seat.open()
    batch = next_batch(source)
    assert offsets(batch) == list(range(10))
    milliseconds = batch.raws[0].timestamp()[1]
    assert batch.task(0).id == f"mocked:-:0:0@{milliseconds}"
    settle_all(source, batch)
    until_settled(source)
    assert sum(lag.tasks for lag in source.lag()) == 0
    source.close(monotonic() + PATIENCE_S)


# The parking store


def _parked_at(source: KafkaSource, batch: Batch, positions: Iterable[int]) -> set[TaskId]:
    return {
        task.id for index in range(len(batch.raws)) if (task := batch.task(index)).position in positions and task.id
    }


def test_what_is_parked_is_skipped_at_the_next_assignment(seat: Seat):
    produce(seat.brokers, seat.topic, numbered(10))
    first = seat.open()
    batch = next_batch(first)
    seat.parked.ids = _parked_at(first, batch, {0, 4, 5, 9}) | {TaskId(f"{seat.topic}:another-topic:0:7")}
    first.release(batch, range(len(batch.raws)))
    first.close(monotonic() + PATIENCE_S)
    second = seat.open()
    batch = next_batch(second)
    assert offsets(batch) == [1, 2, 3, 6, 7, 8]
    settle_all(second, batch)
    until_settled(second)
    assert committed(seat.brokers, seat.topic, seat.group) == {0: 10}
    second.close(monotonic() + PATIENCE_S)


class StoreThatComesBack(NothingParked):
    """A parking store that does not answer until the test lets it."""

    is_away = True

    def parked_from(self, source: str, shard: int, position: int) -> frozenset[TaskId]:
        if self.is_away:
            raise StoreAwayError("the store does not answer")
        return super().parked_from(source, shard, position)


def test_nothing_is_handed_out_before_the_parking_store_has_answered(seat: Seat, opened: Opened):
    seat.parked = store = StoreThatComesBack()
    produce(seat.brokers, seat.topic, numbered(10))
    source = opened()

    def refuses() -> bool:
        try:
            assert source.fetch(100, 0.1) is None
        except StoreAwayError:
            return True
        return False

    wait_until(refuses, PATIENCE_S, "the store was not asked")
    assert all(refuses() for _ in range(5))
    store.is_away = False
    seat.clock.shift_s += 5
    assert offsets(next_batch(source)) == list(range(10))


# Members of one group


def test_a_killed_members_partitions_return_to_its_slot_at_once(
    kafka: KafkaServer, kafka_topic: TopicFactory, group: str, state_dir: Path
):
    topic = kafka_topic(partitions=4)
    history = state_dir / "history"
    other = Member(Seat(kafka.brokers, topic, group, "0.test.m.1", {"session_timeout": 45})).start()

    def spawn() -> subprocess.Popen[bytes]:
        command = [
            sys.executable,
            "-m",
            "integration.scenarios.kafka_member",
            kafka.brokers,
            topic,
            group,
            "0.test.m.0",
            str(history),
        ]
        return subprocess.Popen(command, env={**os.environ, "PYTHONPATH": str(TESTS)})

    def handled() -> set[tuple[int, int]]:
        lines = history.read_text().splitlines() if history.exists() else []
        return {(int(partition), int(offset)) for partition, offset in map(str.split, lines)} | set(other.handled)

    process = spawn()
    try:
        wait_until(lambda: len(other.partitions) == 2 and history.exists(), PATIENCE_S, "the group did not settle")
        produce(kafka.brokers, topic, numbered(40, 4))
        wait_until(lambda: len(handled()) == 40, PATIENCE_S, "the first 40 were not handled")
        before = len(other.seat.told("partitions_revoked")), other.partitions
        process.send_signal(signal.SIGKILL)
        process.wait()
        produce(kafka.brokers, topic, numbered(40, 4))
        killed_at = monotonic()
        process = spawn()
        wait_until(lambda: len(handled()) == 80, 40, lambda: f"{len(handled())} of 80 were handled")
        assert monotonic() - killed_at < 40  # the session of the killed one would have lasted 45 s
        assert (len(other.seat.told("partitions_revoked")), other.partitions) == before
    finally:
        process.kill()
        process.wait()
        other.stop()


def test_a_member_that_is_killed_before_it_lets_go_of_partitions_leaves_none_to_nobody(
    kafka: KafkaServer, kafka_topic: TopicFactory, group: str, state_dir: Path
):
    topic, slot = kafka_topic(partitions=4), "0.test.m.0"
    histories = [state_dir / "first", state_dir / "second"]
    observer = GroupObserver(kafka.clerk, topic=topic, group=group)
    seat = Seat(kafka.brokers, topic, group, "0.test.m.1", {"session_timeout": 45}, measures_lag=True)
    other = Member(seat)

    def spawn(*arguments: object) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "integration.scenarios.kafka_member", kafka.brokers, topic, group, slot]
        return subprocess.Popen([*command, *map(str, arguments)], env={**os.environ, "PYTHONPATH": str(TESTS)})

    def is_to_let_go() -> bool:
        """Whether the group has divided the partitions, and given to nobody what the first member has still."""
        held = {member.instance: len(member.partitions) for member in observer.members()}
        return held == {slot: 2, "0.test.m.1": 0}

    def read() -> set[int]:
        lines = histories[1].read_text().splitlines() if histories[1].exists() else []
        return {int(line.split()[0]) for line in lines} | {partition for partition, _ in list(other.handled)}

    produce(kafka.brokers, topic, [(0, b"{}")])
    process = spawn(histories[0], "stuck")
    try:
        wait_until(lambda: histories[0].exists() and histories[0].read_bytes(), PATIENCE_S, "it does not handle")
        other.start()
        wait_until(is_to_let_go, PATIENCE_S, "the group does not divide the partitions")
        process.kill()
        process.wait()
        process = spawn(histories[1])
        produce(kafka.brokers, topic, numbered(4, 4))
        wait_until(lambda: read() == {0, 1, 2, 3}, PATIENCE_S, lambda: f"only {read()} are read: {observer.members()}")
        assert len(seat.told("group_joined_anew")) == 1
    finally:
        process.kill()
        process.wait()
        other.stop()


def test_partitions_change_hands_without_a_loss_or_a_duplicate(
    kafka: KafkaServer, kafka_topic: TopicFactory, group: str
):
    topic, total = kafka_topic(partitions=4), 4_000
    produce(kafka.brokers, topic, numbered(total, 4))
    pause = threading.Event()

    def handle_slowly(partition: int, offset: int, payload: bytes) -> None:
        pause.wait(0.001)

    members = [Member(Seat(kafka.brokers, topic, group, f"0.test.m.{slot}"), handle_slowly) for slot in range(3)]
    for count, member in enumerate(members, 1):
        member.start()
        wait_until(lambda: sum(bool(each.partitions) for each in members) >= count, PATIENCE_S, "no partition came")  # noqa: B023
    all_handled = lambda: [record for member in members for record in member.handled]  # noqa: E731
    wait_until(lambda: len(all_handled()) >= total, PATIENCE_S, lambda: f"{len(all_handled())} of {total}")
    for member in members:
        member.stop()
    repeated = {record: times for record, times in Counter(all_handled()).items() if times > 1}
    assert repeated == {}
    assert len(all_handled()) == total
    assert committed(kafka.brokers, topic, group) == dict.fromkeys(range(4), total // 4)
    assert any(member.seat.told("partitions_revoked") for member in members)


def test_a_revoke_waits_until_the_loop_has_left_the_batch(kafka: KafkaServer, kafka_topic: TopicFactory, group: str):
    topic = kafka_topic(partitions=2)
    produce(kafka.brokers, topic, numbered(20, 2))
    seat = Seat(kafka.brokers, topic, group)
    source = seat.open()
    batch = next_batch(source)
    seat.clock.shift_s += 2  # the keeper takes the loop for busy
    newcomer = Member(Seat(kafka.brokers, topic, group)).start()
    stop = threading.Event()

    def keep() -> None:
        while not stop.wait(0.05):
            seat.clock.shift_s += 1
            source.tick()

    keeper = threading.Thread(target=keep, daemon=True)
    keeper.start()
    # Either partition may go; give away the one in hand by waiting for the interrupt, or fetch the other.
    wait_until(lambda: seat.told("partitions_revoked") or seat.worker.interrupts, PATIENCE_S, "no revoke")
    if seat.worker.interrupts:
        assert not seat.told("partitions_revoked")
        assert not source.keeps(batch)
        source.settle([Settlement(batch, 0, 4, DONE)], is_due=False)
        source.release(batch, range(4, len(batch.raws)))
        wait_until(lambda: seat.told("partitions_revoked"), PATIENCE_S, "the revoke did not end")
        newcomer.until_handled(6)
        assert newcomer.handled[0] == (batch.shard, 4)
    else:
        assert source.keeps(batch)
        newcomer.until_handled(10)
        assert {partition for partition, _ in newcomer.handled} == {1 - batch.shard}
    stop.set()
    keeper.join()
    source.close(monotonic() + PATIENCE_S)
    newcomer.stop()


def test_a_partition_that_left_while_it_was_paused_is_read_when_it_comes_back(
    kafka: KafkaServer, kafka_topic: TopicFactory, group: str
):
    topic = kafka_topic(partitions=2)
    produce(kafka.brokers, topic, numbered(200, 2))
    seat = Seat(kafka.brokers, topic, group)
    source = seat.open()
    settle_all(source, next_batch(source, limit=1))
    for _ in range(20):
        source.fetch(0, 0.1)  # the loop takes nothing: soon enough is kept, and the partitions are paused
    newcomer = Member(Seat(kafka.brokers, topic, group)).start()
    wait_until(lambda: source.fetch(0, 0.1) or seat.told("partitions_revoked"), PATIENCE_S, "no revoke")
    newcomer.until_handled(99)
    settle_all(source, next_batch(source), is_due=True)
    newcomer.stop()
    came = {partition for partition, _ in newcomer.handled}
    back = lambda: drain(source) in came or len(seat.told("partitions_assigned")) > 1  # noqa: E731
    wait_until(back, PATIENCE_S, "it did not come back")
    produce(kafka.brokers, topic, numbered(20, 2))
    wait_until(lambda: drain(source) in came, PATIENCE_S, "nothing of the partition that came back is read")
    source.close(monotonic() + PATIENCE_S)


def test_a_busy_members_keeper_keeps_it_in_the_group_and_loses_no_record(seat: Seat, opened: Opened):
    seat.keys = {"session_timeout": 6, "max_poll_interval": 6}
    produce(seat.brokers, seat.topic, numbered(100))
    source = opened()
    batch = next_batch(source, limit=1)
    started = monotonic()
    while monotonic() - started < 8:  # the handler's time, longer than max_poll_interval
        seat.clock.shift_s += 1
        source.tick()
        threading.Event().wait(0.05)
    assert source.keeps(batch)
    settle_all(source, batch)
    seen = offsets(batch)
    while len(seen) < 100:
        batch = next_batch(source)
        seen += offsets(batch)
        settle_all(source, batch)
    assert seen == list(range(100))
    assert not seat.told("partitions_lost")


def test_a_member_that_lost_its_partitions_starts_and_settles_nothing_of_them(seat: Seat, opened: Opened):
    seat.keys = {"session_timeout": 6, "max_poll_interval": 6}
    produce(seat.brokers, seat.topic, numbered(10))
    source = opened()
    batch = next_batch(source, limit=5)
    successor = Member(Seat(seat.brokers, seat.topic, seat.group)).start()
    successor.until_handled(10)  # nobody polled for the first member
    assert [offset for _, offset in successor.handled] == list(range(10))

    def is_told() -> bool:
        with suppress(SourceAwayError):  # a member without its session is away
            source.fetch(0, 0.1)
        return bool(seat.told("partitions_lost"))

    wait_until(is_told, PATIENCE_S, "the loss was not told")
    assert not source.keeps(batch)
    source.settle([Settlement(batch, 0, 2, DONE)], is_due=True)
    assert source.unsettled() == 0
    successor.stop()
    assert committed(seat.brokers, seat.topic, seat.group) == {0: 10}


def test_a_member_whose_identity_another_process_has_goes_on_without_one(seat: Seat, opened: Opened):
    seat.member = "0.test.m.0"
    first = opened()
    wait_until(lambda: first.fetch(1, 0.1) or seat.told("partitions_assigned"), PATIENCE_S, "no assignment")
    other = replace(seat, facts=[], worker=StandInWorker())
    second = other.open()
    wait_until(
        lambda: second.fetch(1, 0.05) or first.fetch(1, 0.05) or seat.told("identity_taken"),
        PATIENCE_S,
        "the first does not say that it was fenced",
    )
    assert seat.told("identity_taken")[0].fields["member"] == "0.test.m.0"
    other.worker.has_successor = False
    second.close(monotonic() + PATIENCE_S)
    produce(seat.brokers, seat.topic, numbered(3))
    assert offsets(next_batch(first)) == [0, 1, 2]
    assert len(seat.told("identity_taken")) == 1
    assert len(seat.told("group_joined_anew")) == 2  # once with its identity, then without
    assert not other.told("identity_taken")


@pytest.mark.parametrize("is_replaced", [False, True])
def test_a_member_leaves_its_group_where_no_process_takes_over(
    kafka: KafkaServer, kafka_topic: TopicFactory, group: str, is_replaced: bool
):
    seat = Seat(kafka.brokers, kafka_topic(), group, "0.test.m.0", {"session_timeout": 45})
    seat.worker.has_successor = is_replaced
    member = Member(seat).start()
    wait_until(lambda: member.partitions, PATIENCE_S, "no assignment")
    member.stop()
    onlooker = AdminClient({"bootstrap.servers": kafka.brokers, "log_level": 0})
    found = onlooker.describe_consumer_groups([group])[group].result(PATIENCE_S)
    assert [each.group_instance_id for each in found.members] == (["0.test.m.0"] if is_replaced else [])


# A user's own iterate_task


class Even(KafkaBaseConsumer):
    """Yields every other record on."""

    def iterate_task(self) -> Iterator[tuple[int, object]]:
        for offset, value in self.consume_client.consume():
            record = json.loads(value)
            if record["number"] % 2 == 0:
                yield offset, record


def iterated(seat: Seat) -> KafkaSource:
    """The seat's source, opened for a consumer with an `iterate_task` of its own."""
    consumer = Even(0)
    seat.consumer = consumer
    source = seat.open()
    consumer.consume_client = source.facade
    return source


def test_a_seed_style_iterate_task_keeps_its_positions(seat: Seat):
    produce(seat.brokers, seat.topic, numbered(10))
    source = iterated(seat)
    seen = []
    for _ in range(5):
        batch = next_batch(source)
        seen.append(batch.decode(batch.payload(batch.raws[0])))
        settle_all(source, batch)
    assert seen == [{"number": number} for number in (0, 2, 4, 6, 8)]
    seat.worker.is_stopping = True
    with pytest.raises(EndOfSource):
        source.fetch(1, 0.1)
    source.close(monotonic() + PATIENCE_S)
    assert committed(seat.brokers, seat.topic, seat.group) == {0: 9}  # 9 was read, and nothing after it is finished


def test_an_iterate_task_is_not_given_what_is_parked(seat: Seat):
    produce(seat.brokers, seat.topic, numbered(10))
    first = iterated(seat)
    batch = next_batch(first)
    parked_id = batch.task(0).id
    assert parked_id is not None
    seat.parked.ids = {parked_id}
    first.close(monotonic() + PATIENCE_S)
    second = iterated(seat)
    assert offsets(next_batch(second)) == [2]
    second.close(monotonic() + PATIENCE_S)


# Away and refused


def test_a_restarted_broker_costs_a_pause_and_no_task(
    restartable_kafka: KafkaServer, kafka_topic: TopicFactory, group: str
):
    topic = kafka_topic(partitions=2)
    produce(restartable_kafka.brokers, topic, numbered(100, 2))
    member = Member(Seat(restartable_kafka.brokers, topic, group, "0.test.m.0")).start()
    member.until_handled(100)
    restartable_kafka.stop()
    wait_until(lambda: member.away, PATIENCE_S, "the source was not away")
    assert isinstance(member.away[0], SourceAwayError)
    restartable_kafka.start()
    produce(restartable_kafka.brokers, topic, numbered(100, 2))
    member.until_handled(200)
    ends = {0: 100, 1: 100}  # soon after the last record: what was lost to the session comes again
    wait_until(lambda: committed(restartable_kafka.brokers, topic, group) == ends, PATIENCE_S, "not all is committed")
    member.stop()
    assert set(member.handled) == set(itertools.product(range(2), range(100)))


def test_a_member_lives_through_a_restart_that_outlasts_its_session(
    restartable_kafka: KafkaServer, kafka_topic: TopicFactory, group: str
):
    """librdkafka keeps the commit until the broker is back, and is fenced by its answer: it has another id by then."""
    topic = kafka_topic()
    produce(restartable_kafka.brokers, topic, numbered(100))
    keys = {"session_timeout": 20, "heartbeat.interval.ms": 19_000}
    seat = Seat(restartable_kafka.brokers, topic, group, "0.test.m.0", keys)
    source = seat.open()
    batch = next_batch(source, limit=10)
    joined_at = monotonic()
    while monotonic() - joined_at < 12:  # the session ends well before the commit's patience
        fetch_if_there(source, 0)
    restartable_kafka.kill()
    settle_all(source, batch, is_due=True)
    wait_until(lambda: fetch_if_there(source, 0) or seat.told("partitions_lost"), PATIENCE_S, "nothing was lost")
    restartable_kafka.start()
    seen: set[int] = set()

    def handle_more() -> bool:
        found = fetch_if_there(source, 500)
        if found is not None:
            seen.update(offsets(found))
            settle_all(source, found, is_due=True)
        return max(seen, default=0) == 99

    wait_until(handle_more, PATIENCE_S, lambda: f"{len(seen)} records came: {seat.facts[-5:]}")
    until_settled(source)
    assert committed(restartable_kafka.brokers, topic, group) == {0: 100}
    source.close(monotonic() + PATIENCE_S)


def test_the_source_is_away_until_its_broker_is_back_also_when_no_record_comes(
    restartable_kafka: KafkaServer, kafka_topic: TopicFactory, group: str
):
    member = Member(Seat(restartable_kafka.brokers, kafka_topic(), group)).start()
    wait_until(lambda: member.partitions, PATIENCE_S, "no assignment")
    restartable_kafka.stop()
    wait_until(lambda: member.away, PATIENCE_S, "the source was not away")
    restartable_kafka.start()

    def is_back() -> bool:
        seen = len(member.away)
        threading.Event().wait(1)
        return len(member.away) == seen

    wait_until(is_back, PATIENCE_S, "the source stayed away")
    member.stop()


def test_an_unknown_topic_is_refused_after_a_grace(seat: Seat, opened: Opened):
    seat.topic = "no-such-topic"
    source = opened()
    until_away(source, "there is no topic no-such-topic")
    seat.clock.shift_s += 60
    with pytest.raises(SourceRefusedError, match=r"there is no topic no-such-topic at .*: create it, or correct"):
        source.fetch(1, 0.1)


def test_a_topic_that_is_made_within_the_grace_is_read(seat: Seat, opened: Opened, kafka: KafkaServer):
    seat.topic = f"late-{uuid.uuid4().hex[:8]}"
    seat.keys = {"topic.metadata.refresh.interval.ms": 500}
    source = opened()
    until_away(source, "there is no topic late-")
    kafka.create_topic(seat.topic)
    produce(seat.brokers, seat.topic, numbered(3))
    batch = wait_until(lambda: fetch_if_there(source, 1), PATIENCE_S, "nothing came")
    assert batch is not None
    assert offsets(batch)[0] == 0
    assert source.trouble() is None


def guarded(kafka: KafkaServer, topic: str, group: str) -> Seat:
    """A seat of somebody who may do nothing, at an address where rights are needed."""
    if not kafka.is_ours:
        pytest.skip("the rights at brokers that are given are not ours to set")
    keys = {"security.protocol": "SASL_PLAINTEXT", "sasl.mechanism": "PLAIN"}
    return Seat(kafka.guarded, topic, group, keys={**keys, "sasl.username": USER, "sasl.password": PASSWORD})


def first_batch(source: KafkaSource) -> Batch:
    """The next batch, waited for though the source says that it is away."""
    batch = wait_until(lambda: fetch_if_there(source, 500), PATIENCE_S, "nothing came")
    assert batch is not None
    return batch


def probe_refusal(seat: Seat) -> str:
    with pytest.raises(SourceRefusedError) as refused:
        KIND.probe(seat.options.model_dump())
    return str(refused.value)


def test_read_on_the_topic_and_the_group_is_all_that_consuming_needs(
    kafka: KafkaServer, kafka_topic: TopicFactory, group: str
):
    seat = guarded(kafka, kafka_topic(), group)
    produce(kafka.brokers, seat.topic, numbered(10))
    kafka.allow("TOPIC", seat.topic)
    kafka.allow("GROUP", group)
    assert [lag.tasks for lag in KIND.probe(seat.options.model_dump())] == [10]
    source = seat.open()
    batch = next_batch(source)
    assert len(str(batch.task(0).id).split(":")[1]) == 22
    settle_all(source, batch)
    until_settled(source)
    assert [lag.tasks for lag in source.lag()] == [0]
    source.close(monotonic() + PATIENCE_S)
    assert committed(kafka.brokers, seat.topic, group) == {0: 10}


@pytest.mark.parametrize(
    ("has", "lacks", "sentence"),
    [
        ("TOPIC", "GROUP", "reading as the group {group} is not allowed at {brokers}: grant Read on it"),
        ("GROUP", "TOPIC", "reading the topic {topic} at {brokers} is not allowed: grant Read on it"),
    ],
)
def test_a_right_that_lacks_is_named_and_the_topic_read_once_it_is_granted(
    kafka: KafkaServer, kafka_topic: TopicFactory, group: str, has: str, lacks: str, sentence: str
):
    seat = guarded(kafka, kafka_topic(), group)
    names = {"TOPIC": seat.topic, "GROUP": group}
    produce(kafka.brokers, seat.topic, numbered(10))
    kafka.allow(has, names[has])
    expected = sentence.format(topic=seat.topic, group=group, brokers=seat.brokers)
    assert expected in probe_refusal(seat)
    source = seat.open()
    until_away(source, expected)
    with pytest.raises(SourceAwayError, match="is not allowed"):
        source.lag()
    kafka.allow(lacks, names[lacks])
    assert offsets(first_batch(source)) == list(range(10))
    assert source.trouble() is None
    source.close(monotonic() + PATIENCE_S)


@pytest.mark.parametrize(
    ("key", "value"),
    [("sasl.password", "not-to-be-shown"), ("sasl.mechanism", "SCRAM-SHA-256"), ("sasl.username", "x")],
)
def test_refused_credentials_are_named_and_end_the_worker_after_a_grace(
    kafka: KafkaServer, kafka_topic: TopicFactory, group: str, key: str, value: str
):
    seat = guarded(kafka, kafka_topic(), group)
    seat.keys[key] = value
    told = "refuse the credentials: correct the sasl.* or ssl.* keys"
    assert told in probe_refusal(seat)
    source = seat.open()
    until_away(source, told)
    seat.clock.shift_s += 60
    with pytest.raises(SourceRefusedError) as refused:
        wait_until(lambda: fetch_if_there(source, 1), PATIENCE_S, "the credentials were not refused")
    assert told in str(refused.value)
    assert not any("not-to-be-shown" in str(fact) for fact in [*seat.facts, refused.value])
    source.close(monotonic() + PATIENCE_S)


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({"session_timeout": 3}, "refuse a session timeout of 3 s: set `session_timeout` within"),
        ({"auto_offset_reset": "error"}, "has no usable position in a partition of"),
        ({"security.protocol": "SSL"}, "none of the brokers at"),
    ],
)
def test_what_the_brokers_refuse_of_the_configuration_is_named(
    seat: Seat, opened: Opened, keys: dict[str, object], sentence: str
):
    seat.keys = keys
    produce(seat.brokers, seat.topic, numbered(1))
    until_away(opened(), sentence)


def test_another_assignor_in_the_group_is_named_and_the_topic_read_once_its_member_is_gone(seat: Seat, opened: Opened):
    produce(seat.brokers, seat.topic, numbered(10))
    other = Consumer({"bootstrap.servers": seat.brokers, "group.id": seat.group, "enable.auto.commit": False})
    other.subscribe([seat.topic])
    wait_until(lambda: other.poll(0.2) or other.assignment(), PATIENCE_S, "the other did not join")
    source = opened()
    until_away(source, f"the group {seat.group} has members that share partitions in another way")
    other.close()
    assert offsets(first_batch(source))[0] == 0
    assert source.trouble() is None


def test_a_broker_that_hangs_is_away_though_records_that_were_read_ahead_come(
    restartable_kafka: KafkaServer, kafka_topic: TopicFactory, group: str
):
    seat = Seat(restartable_kafka.brokers, kafka_topic(), group, keys={"session_timeout": 6})
    produce(seat.brokers, seat.topic, numbered(1000))
    source = seat.open()
    settle_all(source, next_batch(source, limit=1), is_due=True)
    with restartable_kafka.frozen():
        wait_until(lambda: drain_one(source) or source.trouble(), PATIENCE_S, "the broker is not away")
        assert "has not let this member in" in str(source.trouble())
    first_batch(source)
    assert source.trouble() is None
    source.close(monotonic() + PATIENCE_S)


def test_a_property_that_librdkafka_does_not_know_is_refused(seat: Seat):
    seat.keys = {"fetch.mim.bytes": 1}
    with pytest.raises(
        SourceRefusedError, match=r"librdkafka refuses the configuration of test/consumer: .*fetch.mim.bytes"
    ):
        seat.open()


def test_a_broker_that_is_down_at_the_start_is_away_and_not_refused(seat: Seat, opened: Opened):
    seat.brokers = "127.0.0.1:1"
    source = opened()
    until_away(source, "none of the brokers at 127.0.0.1:1 answers")
    with pytest.raises(SourceAwayError):
        source.lag()
