"""Records between the client and the loop, without a broker: runs of one partition, gaps, parked and held ones."""

from itertools import pairwise
from typing import Any

import pytest
from confluent_kafka import KafkaError, Message
from hypothesis import given
from hypothesis import strategies as st

from consumerd.events.facts import Fact
from consumerd.model.task import TaskId
from consumerd.sources.kafka.arrivals import END_OF_PARTITION, Arrivals
from consumerd.sources.kafka.identity import Identity
from consumerd.sources.kafka.partition import AssignedPartition, KafkaBatch
from unit.sources.kafka_membership import membership_of

IDENTITY = Identity("login_task", "uuid")


def message(partition: int, offset: int, value: bytes = b"{}") -> Message:
    return Message(topic="login_task", partition=partition, offset=offset, value=value)


def end(partition: int, offset: int) -> Message:
    return Message(topic="login_task", partition=partition, offset=offset, error=KafkaError(END_OF_PARTITION))


class World:
    """Arrivals at some partitions, all assigned from offset 0."""

    def __init__(self, partitions: int) -> None:
        self.facts: list[Fact] = []
        self.membership = membership_of(self.facts, partitions=partitions)
        self.membership.health.note_joined(partitions)
        self.arrivals = Arrivals(self.membership)

    def runs(self, limit: int = 1000) -> list[tuple[int, list[int | None], int]]:
        """Everything that can be taken: (partition, offsets, end)."""
        found = []
        while (taken := self.arrivals.take(limit)) is not None:
            assigned, messages, after = taken
            found.append((assigned.partition, [each.offset() for each in messages], after))
        return found


def test_a_mixed_fetch_becomes_one_run_a_partition_in_order():
    world = World(2)
    world.arrivals.add([message(0, 5), message(1, 3), message(0, 6), message(1, 9)])
    assert world.runs() == [(0, [5, 6], 7), (1, [3, 9], 10)]


def test_a_run_is_cut_at_the_limit_and_ends_where_the_next_begins():
    world = World(1)
    world.arrivals.add([message(0, offset) for offset in (1, 2, 7, 8)])
    assert world.runs(limit=2) == [(0, [1, 2], 7), (0, [7, 8], 9)]


def test_the_end_of_a_partition_comes_after_its_records():
    world = World(1)
    world.arrivals.add([message(0, 1), end(0, 6)])
    assert world.runs() == [(0, [1], 2), (0, [], 6)]


def test_records_that_come_one_by_one_are_handed_out_together():
    world = World(2)
    for offset in (1, 2, 5):
        world.arrivals.add([message(0, offset)])
    world.arrivals.add([message(1, 1)])
    world.arrivals.add([message(0, 6)])
    assert world.runs() == [(0, [1, 2, 5, 6], 7), (1, [1], 2)]


def test_an_error_among_the_records_is_told_and_costs_none():
    world = World(1)
    error = Message(topic="login_task", partition=0, error=KafkaError(KafkaError.TOPIC_AUTHORIZATION_FAILED))
    world.arrivals.add([message(0, 1), error, message(0, 2)])
    assert "reading the topic logins" in str(world.membership.health.trouble)
    assert world.runs() == [(0, [1, 2], 3)]


def test_records_of_a_partition_that_is_not_ours_or_leaving_are_dropped():
    world = World(2)
    world.membership.assigned[1].is_leaving = True
    world.arrivals.add([message(0, 1), message(1, 1), message(2, 1)])
    assert world.runs() == [(0, [1], 2)]


def test_what_has_arrived_of_a_partition_is_dropped_with_it():
    world = World(2)
    world.arrivals.add([message(0, 1), message(1, 1)])
    world.membership.assigned[0].leave()
    assert world.runs() == [(1, [1], 2)]


def test_a_held_partition_waits_while_the_others_go_on():
    world = World(2)
    world.membership.assigned[0].is_held = True
    world.arrivals.add([message(0, 1), message(1, 1)])
    assert world.runs() == [(1, [1], 2)]
    world.membership.assigned[0].is_held = False
    assert world.runs() == [(0, [1], 2)]


@pytest.mark.parametrize("arrived", [[message(0, 60)], [end(0, 60)]])
def test_a_gap_before_what_comes_is_looked_at(arrived: list[Message]):
    world = World(1)
    world.membership.assigned[0] = AssignedPartition(0, 10)
    world.arrivals.add(arrived)
    world.runs()
    assert world.arrivals.losses.is_due


def test_no_gap_is_looked_at_where_nothing_was_committed_or_nothing_is_missing():
    world = World(2)
    world.membership.assigned[0] = AssignedPartition(0, -1)
    world.arrivals.add([message(0, 60), message(1, 0), message(1, 1)])
    world.runs()
    assert not world.arrivals.losses.is_due


def test_a_position_that_went_back_begins_anew_and_what_was_before_starts_no_more():
    world = World(1)
    world.arrivals.add([message(0, 499), message(0, 500)])
    before = world.membership.assigned[0]
    before.parked = frozenset({3})
    world.arrivals.add([message(0, 3), message(0, 4)])
    assert world.runs() == [(0, [3, 4], 5)]
    assert before.is_leaving
    assert world.membership.assigned[0] is not before
    assert world.membership.assigned[0].parked == frozenset()
    assert [fact.name for fact in world.facts] == ["position_went_back"]


@given(
    st.lists(st.tuples(st.integers(0, 2), st.booleans()), max_size=60),
    st.lists(st.integers(1, 10), min_size=1, max_size=5),
    st.integers(1, 7),
)
def test_however_records_come_each_partition_gives_all_of_them_once_and_in_order(places, sizes, limit):
    world = World(3)
    expected: dict[int, list[int]] = {0: [], 1: [], 2: []}
    arrived: list[Message] = []
    for number, (partition, is_end) in enumerate(places):
        arrived.append(end(partition, number) if is_end else message(partition, number))
        if not is_end:
            expected[partition].append(number)
    for size in sizes * 60:
        world.arrivals.add(arrived[:size])
        arrived = arrived[size:]
    taken: dict[int, list[int | None]] = {0: [], 1: [], 2: []}
    ends: dict[int, list[int]] = {0: [], 1: [], 2: []}
    for partition, offsets, after in world.runs(limit):
        assert len(offsets) <= limit
        taken[partition] += offsets
        ends[partition].append(after)
    assert taken == expected
    assert all(before <= after for each in ends.values() for before, after in pairwise(each))


# The batch


def batch_of(offsets: list[int], end_at: int, limit_bytes: int = 1000) -> KafkaBatch:
    assigned = AssignedPartition(0, 0)
    messages = [message(0, offset, b"%d" % offset) for offset in offsets]
    return KafkaBatch(assigned, messages, end_at, identity=IDENTITY, payload_limit_bytes=limit_bytes)


def test_the_batch_reads_as_the_bare_client_does():
    batch = batch_of([4, 6], 9)
    assert [batch.offset(raw) for raw in batch.raws] == [4, 6]
    assert [batch.decode(batch.payload(raw)) for raw in batch.raws] == [4, 6]
    assert batch.task(1).id == "login_task:uuid:0:6"


def test_settled_in_parts_the_watermark_passes_the_batch_with_its_last_part():
    batch = batch_of([4, 6, 7, 8], 12)
    ledger = batch.assigned.ledger
    batch.finish(0, 1)
    assert ledger.watermark == 6
    batch.finish(2, 4)
    assert (ledger.watermark, unsettled(batch)) == (6, 4)
    batch.finish(1, 2)
    assert (ledger.watermark, ledger.finished_below) == (12, 4)


@given(st.permutations(range(6)))
def test_settled_in_any_order_the_watermark_is_the_first_unfinished_task(order):
    offsets = [1, 2, 5, 6, 9, 12]
    batch = batch_of(offsets, 20)
    finished: set[int] = set()
    for index in order:
        batch.finish(index, index + 1)
        finished.add(offsets[index])
        assert batch.assigned.ledger.watermark == min((each for each in offsets if each not in finished), default=20)


def test_a_task_settled_twice_is_a_bug_that_shows():
    batch = batch_of([1, 2], 3)
    batch.finish(0, 1)
    with pytest.raises(AssertionError, match="settled twice"):
        batch.finish(0, 1)


def test_ids_of_another_topic_of_the_same_name_skip_nothing():
    ids = frozenset(
        map(TaskId, ("login_task:uuid:0:7", "login_task:older:0:8", "login_task:uuid:1:9", "login_task:uuid:0:5#1"))
    )
    assert IDENTITY.positions(0, ids) == {7}


class ForeignHeaders:
    """A message with a header whose name is not UTF-8, as the client has it: asked a second time, it breaks."""

    def __init__(self) -> None:
        self.is_asked = False
        self.put: list[tuple[str, bytes]] | None = None

    def topic(self) -> str:
        return "login_task"

    def partition(self) -> int:
        return 0

    def offset(self) -> int:
        return 7

    def timestamp(self) -> tuple[int, int]:
        return 1, 1_700_000_000_000

    def key(self) -> bytes:
        return b"uid-7"

    def value(self) -> bytes:
        return b"{"

    def headers(self) -> list[tuple[str, bytes]]:
        assert self.put is not None or not self.is_asked
        self.is_asked = True
        try:
            return self.put or [(b"\xff\xfename".decode(), b"v")]
        except UnicodeDecodeError as error:
            raise SystemError("returned a result with an exception set") from error

    def set_headers(self, headers: list[tuple[str, bytes]]) -> None:
        self.put = headers


def test_a_header_whose_name_is_not_utf8_costs_the_headers_and_not_the_task():
    foreign: Any = ForeignHeaders()  # it stands in for a Message, which cannot be made so
    task = IDENTITY.task(foreign)
    assert IDENTITY.task(foreign) == task
    assert (task.payload, task.key) == (b"{", b"uid-7")
    [(name, value)] = task.headers
    assert name == "unreadable-headers"
    assert value is not None
    assert b"can't decode byte 0xff" in value


def test_a_message_without_a_value_is_a_tombstone_and_an_empty_one_is_not():
    batch = KafkaBatch(
        AssignedPartition(0, 0),
        [Message(topic="login_task", partition=0, offset=0, key=b"k"), message(0, 1, b"")],
        2,
        identity=IDENTITY,
        payload_limit_bytes=10,
    )
    assert [batch.task(index).is_tombstone for index in (0, 1)] == [True, False]


# What is settled


def unsettled(batch: KafkaBatch) -> int:
    return batch.assigned.ledger.taken - batch.assigned.settled


def test_a_task_is_unsettled_until_a_commit_above_it_is_confirmed():
    batch = batch_of([0, 1, 2, 3], 4)
    assigned = batch.assigned
    assert assigned.take_unsent() is None
    batch.finish(0, 3)
    assert assigned.take_unsent() == 3
    batch.finish(3, 4)
    assert assigned.take_unsent() == 4
    assigned.note_answer(3, is_refused=False)
    assert (unsettled(batch), assigned.take_unsent()) == (1, 4)
    assigned.note_answer(4, is_refused=False)
    assert (unsettled(batch), assigned.take_unsent()) == (0, None)


def test_a_refused_commit_settles_nothing_and_is_due_again():
    batch = batch_of([0, 1], 2)
    batch.finish(0, 2)
    assert batch.assigned.take_unsent() == 2
    batch.assigned.note_answer(2, is_refused=True)
    assert (unsettled(batch), batch.assigned.take_unsent()) == (2, 2)


def test_a_later_confirmation_covers_the_earlier_positions():
    batch = batch_of([0, 1, 2], 3)
    for position in (1, 2, 3):
        batch.finish(position - 1, position)
        assert batch.assigned.take_unsent() == position
    batch.assigned.note_answer(3, is_refused=False)
    batch.assigned.note_answer(2, is_refused=False)  # out of order
    assert (unsettled(batch), batch.assigned.durable) == (0, 3)
