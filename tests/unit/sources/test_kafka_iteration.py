"""A user's own `iterate_task` over a topic, without a broker: which positions are finished when."""

import pickle
from collections.abc import Iterator
from typing import Any

import pytest
from confluent_kafka import Message

from consumerd.consumers import KafkaBaseConsumer
from consumerd.errors import SourceRefusedError, UndecodableError, UsageError
from consumerd.events.facts import Fact
from consumerd.model.task import TaskId
from consumerd.sources.contract import EndOfSource
from consumerd.sources.kafka.arrivals import Arrivals
from consumerd.sources.kafka.iteration import ConsumeClient, Iteration, YieldedBatch
from consumerd.sources.records import decode_record
from unit.sources.kafka_membership import membership_of

Pairs = Iterator[tuple[int, Any]]


class World:
    """An iteration of one consumer over one topic of two partitions, whose worker is to stop after the last record."""

    def __init__(self, consumer: KafkaBaseConsumer, records: list[tuple[int, int, bytes]]) -> None:
        self.facts: list[Fact] = []
        self.membership = membership_of(self.facts, partitions=2, consumer=consumer)
        self.membership.question.awaited()
        arrivals = Arrivals(self.membership)
        for partition, offset, value in records:
            arrivals.add([Message(topic="logins", partition=partition, offset=offset, value=value)])
        self.iteration = Iteration(self.membership, arrivals, receive=lambda: None)
        consumer.consume_client = ConsumeClient()
        consumer.consume_client.iteration = self.iteration

    def next(self) -> YieldedBatch:
        return self.iteration.next_batch()

    def watermark(self, partition: int = 0) -> int:
        return self.membership.assigned[partition].ledger.watermark


def number_of(batch: YieldedBatch) -> object:
    return batch.offset(batch.raws[0])


ONE_TO_FIVE = [(0, offset, b'{"number": %d}' % offset) for offset in range(1, 6)]


class Filtering(KafkaBaseConsumer):
    """Yields the even ones on."""

    def iterate_task(self) -> Pairs:
        for offset, record in super().iterate_task():
            if record["number"] % 2 == 0:
                yield offset, record


def test_a_position_never_yielded_is_finished_with_a_later_one_of_its_partition():
    world = World(Filtering(0), ONE_TO_FIVE)
    first = world.next()
    assert first.raws == [(2, {"number": 2})]
    first.finish(0, 1)
    second = world.next()
    assert (number_of(second), world.watermark()) == (4, 3)
    second.finish(0, 1)
    with pytest.raises(EndOfSource):
        world.next()
    assert world.watermark() == 5  # the fifth was read, and nothing later is finished


def test_an_unfinished_task_holds_the_watermark_while_later_ones_finish():
    world = World(Filtering(0), ONE_TO_FIVE)
    first, second = world.next(), world.next()
    second.finish(0, 1)
    with pytest.raises(EndOfSource):
        world.next()
    assert world.watermark() == 0
    first.finish(0, 1)
    assert world.watermark() == 5


def test_an_offset_is_a_number_where_it_is_sent_to_another_process():
    offset = World(Filtering(0), ONE_TO_FIVE).next().raws[0][0]
    assert (offset, offset.partition) == (2, 0)
    assert type(pickle.loads(pickle.dumps(offset))) is int


class Splitting(KafkaBaseConsumer):
    """Two tasks of each message."""

    def iterate_task(self) -> Pairs:
        for offset, _ in self.consume_client.consume():
            yield offset, {"half": 1}
            yield offset, {"half": 2}


def test_a_position_with_two_tasks_is_finished_with_both():
    world = World(Splitting(0), ONE_TO_FIVE[:2])
    first = world.next()
    first.finish(0, 1)
    assert world.watermark() == 0
    second = world.next()
    assert (first.task(0).id, second.task(0).id) == ("logins:uuid:0:1", "logins:uuid:0:1#1")
    second.finish(0, 1)
    world.next()
    assert world.watermark() == 2


def test_of_two_tasks_of_a_message_only_the_parked_one_is_skipped():
    world = World(Splitting(0), ONE_TO_FIVE[:1])
    world.membership.assigned[0].parked_ids = frozenset([TaskId("logins:uuid:0:1")])
    batch = world.next()
    assert batch.raws[0][1] == {"half": 2}
    batch.finish(0, 1)
    with pytest.raises(EndOfSource):
        world.next()
    assert world.watermark() == 2


class Gathering(KafkaBaseConsumer):
    """Reads three ahead before it yields them, in the order read."""

    def iterate_task(self) -> Pairs:
        ahead = []
        for offset, value in self.consume_client.consume():
            ahead.append((offset, value))
            if len(ahead) == 3:
                yield from ahead
                ahead = []


def test_what_was_read_ahead_is_not_finished_before_it_is_yielded_and_done():
    world = World(Gathering(0), [(0, 1, b"a"), (1, 1, b"b"), (0, 2, b"c")])
    for watermarks in [(0, 0), (2, 0), (3, 0)]:
        batch = world.next()
        assert (world.watermark(0), world.watermark(1)) == watermarks
        batch.finish(0, 1)
    with pytest.raises(EndOfSource):
        world.next()
    assert (world.watermark(0), world.watermark(1)) == (3, 2)


class Counting(KafkaBaseConsumer):
    """Yields numbers of its own."""

    def iterate_task(self) -> Pairs:
        for number, (_, value) in enumerate(self.consume_client.consume()):
            yield number, value


def test_other_numbers_are_told_once_and_finish_in_the_order_read():
    world = World(Counting(0), ONE_TO_FIVE[:3])
    first = world.next()
    assert world.watermark() == 0
    first.finish(0, 1)
    second = world.next()
    assert (number_of(second), world.watermark()) == (1, 2)
    second.finish(0, 1)
    world.next()
    assert [fact.name for fact in world.facts] == ["positions_unknown"]


def test_a_task_of_a_partition_that_was_taken_away_is_not_handed_out():
    world = World(Gathering(0), [(0, 1, b"a"), (1, 1, b"b"), (0, 2, b"c")])
    first = world.next()
    world.membership.assigned[0].fence()
    first.finish(0, 1)
    assert world.next().raws[0][0].partition == 1
    with pytest.raises(EndOfSource):
        world.next()


def test_a_message_at_which_the_generator_raises_is_undecodable_and_a_new_generator_goes_on():
    world = World(Filtering(0), [(0, 1, b"not json"), *ONE_TO_FIVE[1:2]])
    refused = world.next()
    with pytest.raises(UndecodableError, match="iterate_task raised UndecodableError: the payload is not JSON"):
        refused.decode(refused.payload(refused.raws[0]))
    task = refused.task(0)
    assert (task.id, task.payload) == ("logins:uuid:0:1", b"not json")
    refused.finish(0, 1)
    assert number_of(world.next()) == 2
    assert world.watermark() == 2


def test_the_payload_of_a_yielded_task_is_the_record_as_the_generator_made_it():
    world = World(Splitting(0), ONE_TO_FIVE[:1])
    task = world.next().task(0)
    assert decode_record(task.payload) == {"half": 1}
    assert (task.source, task.shard, task.position, task.offset) == ("logins", 0, 1, 1)


class Careless(KafkaBaseConsumer):
    """Yields no pairs."""

    def iterate_task(self) -> Iterator[Any]:
        yield from self.consume_client.consume()
        yield "x"


def test_a_generator_that_yields_no_pairs_is_refused():
    world = World(Careless(0), [])
    with pytest.raises(SourceRefusedError, match=r"yielded str, not \(offset, record\)"):
        world.next()


def test_the_client_cannot_be_read_outside_iterate_task():
    with pytest.raises(UsageError, match="outside a consumer's own iterate_task"):
        ConsumeClient().consume()
