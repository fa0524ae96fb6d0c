"""A member of the group without a broker: whatever comes and goes, nothing is stuck when all is well again."""

from __future__ import annotations

from collections import deque
from threading import get_ident
from typing import Any, cast

import pytest
from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, KafkaException, Message, TopicPartition
from hypothesis import given
from hypothesis import strategies as st

from consumerd.errors import StoreAwayError
from consumerd.events.facts import Fact
from consumerd.model.task import TaskId
from consumerd.sources.kafka.arrivals import Arrivals
from consumerd.sources.kafka.group import GroupMember
from consumerd.sources.kafka.identity import Identity
from consumerd.sources.kafka.membership import OVERDUE_S, Membership
from consumerd.sources.kafka.receiver import Receiver
from consumerd.testing.clock import ManualClock
from consumerd.testing.source_context import NothingParked
from servers.waiting import wait_until
from unit.sources.kafka_membership import membership_of

TOPIC = "logins"
PARTITIONS = range(3)
RECORDS = 40  # in each partition
UUID, ANOTHER = "u" * 22, "v" * 22
COMMIT_REFUSALS = (
    KafkaError.REBALANCE_IN_PROGRESS,
    KafkaError.COORDINATOR_LOAD_IN_PROGRESS,
    KafkaError.NOT_COORDINATOR,
)


class Client:
    """librdkafka's consumer as far as it matters here. A pause outlives the assignment, as librdkafka's does."""

    def __init__(self) -> None:
        self.assigned: dict[int, int] = {}
        self.paused: set[int] = set()
        self.durable: dict[int, int] = {}
        self.unanswered: deque[list[TopicPartition]] = deque()
        self.is_reachable = True
        self.thrown_away = 0
        self.uuids: dict[int, str] = {}

    def seek(self, place: TopicPartition) -> None:
        assert place.offset == OFFSET_BEGINNING
        self.assigned[place.partition] = 0

    def committed(self, partitions: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        if not self.is_reachable:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return [
            TopicPartition(
                TOPIC, each.partition, self.durable.get(each.partition, -1001), self.uuids.get(each.partition, "")
            )
            for each in partitions
        ]

    def incremental_assign(self, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            is_begin = each.offset == OFFSET_BEGINNING
            self.assigned[each.partition] = 0 if is_begin else max(each.offset, self.durable.get(each.partition, 0))

    def incremental_unassign(self, partitions: list[TopicPartition]) -> None:
        for each in partitions:
            del self.assigned[each.partition]

    def pause(self, partitions: list[TopicPartition]) -> None:
        """It has fetched ahead all that there is, and throws away what was not taken."""
        fetched = {each.partition for each in partitions} - self.paused
        self.thrown_away += sum(RECORDS - self.assigned[each] for each in fetched)
        self.paused.update(each.partition for each in partitions)

    def resume(self, partitions: list[TopicPartition]) -> None:
        self.paused.difference_update(each.partition for each in partitions)

    def poll(self, timeout: float) -> Message | None:
        return next(iter(self.consume(1, timeout)), None)

    def consume(self, count: int, timeout: float) -> list[Message]:
        del timeout
        flowing = [each for each in self.assigned if each not in self.paused and self.assigned[each] < RECORDS]
        found = []
        while self.is_reachable and flowing and len(found) < count:
            partition = flowing[0]
            found.append(Message(topic=TOPIC, partition=partition, offset=self.assigned[partition], value=b"{}"))
            self.assigned[partition] += 1
            if self.assigned[partition] == RECORDS:
                flowing.pop(0)
        return found

    def commit(self, offsets: list[TopicPartition], asynchronous: bool) -> list[TopicPartition]:
        if asynchronous:
            self.unanswered.append(offsets)
        elif not self.is_reachable:
            raise KafkaException(KafkaError(KafkaError._WAIT_COORD))
        else:
            self._keep(offsets)
        return offsets

    def list_topics(self, topic: str, timeout: float) -> None:
        if not self.is_reachable:
            raise KafkaException(KafkaError(KafkaError._TRANSPORT))

    def answer(self, membership: Membership, refusal: int | None) -> None:
        """The broker's answer to the oldest commit that has none."""
        offsets = self.unanswered.popleft()
        if refusal is None:
            self._keep(offsets)
        membership.answered(None if refusal is None else KafkaError(refusal), offsets)

    def _keep(self, offsets: list[TopicPartition]) -> None:
        self.durable |= {each.partition: each.offset for each in offsets}
        self.uuids |= {each.partition: each.metadata or "" for each in offsets}


class Parked(NothingParked):
    """A parking store that may be away."""

    is_away = False

    def parked_from(self, source: str, shard: int, position: int) -> frozenset[TaskId]:
        if self.is_away:
            raise StoreAwayError("the store does not answer")
        return super().parked_from(source, shard, position)


class World:
    """The loop, the keeper, the group and the store do what they like, one after the other."""

    def __init__(self) -> None:
        self.clock = ManualClock()
        self.facts: list[Fact] = []
        self.client = Client()
        self.parked = Parked()
        self.uuid = UUID
        self.membership = membership_of(
            self.facts, ask=lambda: Identity(TOPIC, self.uuid), clock=self.clock, parked=self.parked
        )
        self.question = self.membership.question
        self.membership.client = self.consumer = cast("Consumer", self.client)
        self.arrivals = Arrivals(self.membership)
        self.calls = GroupMember(self.membership)
        self.receiver = Receiver(self.membership, self.arrivals)

    def is_assigned(self, partition: int) -> None:
        if partition not in self.client.assigned:
            self.calls.on_assign(self.consumer, [TopicPartition(TOPIC, partition)])

    def is_revoked(self, partition: int) -> None:
        if partition in self.client.assigned:
            self.calls.on_revoke(self.consumer, [TopicPartition(TOPIC, partition)])

    def loses_all(self) -> None:
        self.calls.on_lost(self.consumer, [TopicPartition(TOPIC, each) for each in self.client.assigned])

    def fetches(self, limit: int) -> None:
        self.membership.loop_thread = get_ident()
        self.calls.check()
        self.receiver.receive(limit, 0.0)

    def waits_for_room(self) -> None:
        for _ in range(10):
            self.clock.advance(1)
            self.calls.check()
            self.receiver.receive(0, 0.0)

    def handles_what_came(self) -> None:
        self.arrivals.ask_store()
        with self.membership.state:
            while (batch := self.arrivals.next_batch(100)) is not None:
                batch.finish(0, len(batch.raws))
                batch.assigned.in_hand.remove(batch)
        self.membership.send_soon()

    def handler_takes_long(self) -> None:
        for _ in range(10):
            self.clock.advance(2)
            self.receiver.keep_alive()

    def time_passes(self, seconds: float) -> None:
        self.clock.advance(seconds)

    def commit_is_answered(self, refusal: int | None) -> None:
        if self.client.unanswered:
            self.client.answer(self.membership, refusal)

    def store_goes_or_comes(self, is_away: bool) -> None:
        self.parked.is_away = is_away

    def brokers_go_or_come(self, is_reachable: bool) -> None:
        self.client.is_reachable = is_reachable

    def all_is_well_again(self) -> None:
        """However things stand: with the store, the brokers and the answers there, all is read and committed."""
        self.parked.is_away, self.client.is_reachable = False, True
        for _ in range(2 * len(PARTITIONS) + 3):
            while self.client.unanswered:
                self.client.answer(self.membership, None)
            self.clock.advance(OVERDUE_S)
            self.fetches(100)
            self.handles_what_came()
        assert self.client.paused.isdisjoint(self.client.assigned)
        assert self.membership.unsettled == 0
        assert {each: self.client.durable.get(each) for each in self.client.assigned} == dict.fromkeys(
            self.client.assigned, RECORDS
        )


ACTIONS = st.one_of(
    st.tuples(st.just(World.is_assigned), st.sampled_from(PARTITIONS)),
    st.tuples(st.just(World.is_revoked), st.sampled_from(PARTITIONS)),
    st.tuples(st.just(World.fetches), st.sampled_from([0, 1, 5, 100])),
    st.tuples(st.just(World.time_passes), st.sampled_from([0.1, 1.5, OVERDUE_S])),
    st.tuples(st.just(World.commit_is_answered), st.sampled_from([None, *COMMIT_REFUSALS])),
    st.tuples(st.just(World.store_goes_or_comes), st.booleans()),
    st.tuples(st.just(World.brokers_go_or_come), st.booleans()),
    st.tuples(
        st.sampled_from([World.loses_all, World.waits_for_room, World.handles_what_came, World.handler_takes_long])
    ),
)


@given(st.lists(ACTIONS, max_size=25))
def test_whatever_happens_all_is_read_and_committed_when_all_is_well_again(actions: list[tuple[Any, ...]]):
    world = World()
    for action, *arguments in actions:
        action(world, *arguments)
    world.all_is_well_again()


def test_a_partition_that_was_lost_while_it_was_paused_is_read_when_it_comes_back():
    world = World()
    world.is_assigned(0)
    world.waits_for_room()
    assert world.client.paused == {0}
    world.loses_all()
    world.fetches(100)
    world.is_assigned(0)
    world.all_is_well_again()


def test_a_partition_that_was_held_is_read_when_a_later_assignment_finds_the_store_back():
    world = World()
    world.store_goes_or_comes(True)
    world.is_assigned(0)
    world.fetches(1)
    world.handles_what_came()
    assert world.client.paused == {0}
    world.store_goes_or_comes(False)
    world.is_assigned(1)
    world.all_is_well_again()


def test_a_partition_that_comes_while_there_is_no_room_is_paused_soon():
    world = World()
    world.is_assigned(0)
    world.waits_for_room()
    world.is_assigned(1)
    for _ in range(3):
        world.waits_for_room()
    assert world.client.paused == {0, 1}


def test_a_slow_handler_is_kept_all_that_was_fetched_so_that_nothing_is_fetched_twice():
    world = World()
    world.is_assigned(0)
    world.is_assigned(1)
    world.fetches(1)
    world.handler_takes_long()
    assert (world.client.paused, world.client.thrown_away) == ({0, 1}, 0)
    world.all_is_well_again()


def test_a_loop_that_goes_on_fetching_is_not_paused():
    world = World()
    world.is_assigned(0)
    for _ in range(20):
        world.fetches(1)
        world.clock.advance(2)
        world.receiver.keep_alive()
    assert (world.client.paused, world.client.thrown_away) == (set(), 0)


def read_and_committed(world: World) -> None:
    world.fetches(100)
    world.handles_what_came()
    world.commit_is_answered(None)


def test_a_topic_made_anew_is_read_from_its_begin_whatever_was_committed_meanwhile():
    world = World()
    world.is_assigned(0)
    read_and_committed(world)
    assert (world.client.durable, world.client.uuids) == ({0: RECORDS}, {0: UUID})
    world.uuid, before = ANOTHER, world.membership.assigned[0]
    world.clock.advance(1)
    world.question.ask_again()
    wait_until(lambda: world.question.newer is not None, 60, "it is not noticed")
    world.calls.begin_anew()
    assert before.is_fenced
    assert world.client.assigned == {0: 0}
    assert [fact.name for fact in world.facts][-1] == "topic_made_anew"
    world.fetches(10)
    world.handles_what_came()
    world.commit_is_answered(None)
    assert (world.client.durable, world.client.uuids) == ({0: 10}, {0: ANOTHER})


def test_a_partition_that_went_back_by_itself_is_not_read_twice_when_the_topic_turns_out_to_be_another():
    world = World()
    world.is_assigned(0)
    read_and_committed(world)
    world.clock.advance(1)
    world.uuid, world.client.assigned[0] = ANOTHER, 0  # deleted and made anew: the brokers say that 40 is out of range
    world.fetches(10)
    world.handles_what_came()
    world.question.ask_again()
    wait_until(lambda: world.question.newer is not None, 60, "it is not noticed")
    world.calls.begin_anew()
    assert world.client.assigned == {0: 10}
    assert world.membership.assigned[0].topic_uuid == ANOTHER


@pytest.mark.parametrize(("beside", "begin"), [(UUID, 30), (ANOTHER, 0), ("", 30), ("a note of an operator", 30)])
def test_a_position_that_was_committed_for_an_earlier_topic_of_the_name_does_not_count(beside: str, begin: int):
    world = World()
    world.client.durable, world.client.uuids = {0: 30}, {0: beside}
    world.is_assigned(0)
    assert world.client.assigned == {0: begin}


def test_an_idle_fetch_polls_once_though_the_client_waits_whole_milliseconds_only() -> None:
    world, waits = World(), []

    def poll(timeout: float) -> None:
        waits.append(timeout)
        world.clock.advance(max(int(timeout * 1000), 0.1) / 1000)

    world.client.poll = poll  # type: ignore[method-assign]  # one that waits, and nothing comes
    world.clock.advance(0.12345)
    world.receiver.receive(100, 0.1999)
    assert len(waits) == 1
