"""Gaps between records, of which some are losses."""

from typing import cast

from confluent_kafka import Consumer, KafkaError, KafkaException, TopicPartition

from consumerd.events.facts import Fact
from consumerd.sources.kafka.arrivals import LOOK_S, Losses
from consumerd.testing.clock import ManualClock
from unit.sources.kafka_membership import membership_of


class Client:
    """It knows where each partition begins, or is not answered."""

    def __init__(self, begins: dict[int, int] | None) -> None:
        self.begins = begins

    def offsets_for_times(self, places: list[TopicPartition], timeout: float) -> list[TopicPartition]:
        assert timeout > 0
        if self.begins is None:
            raise KafkaException(KafkaError(KafkaError._TIMED_OUT))
        return [TopicPartition("logins", place.partition, self.begins[place.partition]) for place in places]


class World:
    def __init__(self) -> None:
        self.facts: list[Fact] = []
        self.clock = ManualClock()
        self.clock.advance(1)
        self.membership = membership_of(self.facts, clock=self.clock)
        self.losses = Losses(self.membership)

    def look(self, begins: dict[int, int] | None) -> list[object]:
        """How many records of which partitions are told as deleted."""
        self.membership.client = cast("Consumer", Client(begins))
        self.losses.look()
        return [(fact.fields["partition"], fact.fields["records"]) for fact in self.facts]


def test_records_that_the_log_does_not_hold_any_more_are_counted_once():
    world = World()
    world.losses.note_gap(0, 10, 60)
    assert world.look({0: 60}) == [(0, 50)]
    assert not world.losses.is_due
    assert world.look({}) == [(0, 50)]


def test_gaps_that_compaction_and_transactions_leave_are_no_losses():
    world = World()
    world.losses.note_gap(0, 10, 60)
    world.losses.note_gap(1, 99, 100)
    world.losses.note_gap(2, 5, 9)
    assert world.look({0: 0, 1: 99, 2: 12}) == []


def test_looks_are_rare_and_one_without_an_answer_is_left_at_that():
    world = World()
    assert not world.losses.is_due
    world.losses.note_gap(0, 10, 60)
    assert world.losses.is_due
    assert world.look(None) == []
    world.losses.note_gap(0, 70, 90)
    assert not world.losses.is_due
    world.clock.advance(LOOK_S)
    assert world.losses.is_due
    assert world.look({0: 85}) == [(0, 15)]
