"""Partitions that no member of the group has are looked for where others' stand still, and the member joins anew."""

from __future__ import annotations

from typing import cast

import pytest
from confluent_kafka import Consumer

from consumerd.events.facts import Fact
from consumerd.sources.contract import ShardLag
from consumerd.sources.kafka.group import GroupMember
from consumerd.testing.clock import ManualClock
from unit.sources.kafka_membership import membership_of

LOOK_S = 10.0


class Client:
    """A client that notes how it joins and leaves."""

    def __init__(self) -> None:
        self.done: list[str] = []

    def subscribe(self, *arguments: object) -> None:
        del arguments
        self.done.append("joined")

    def unsubscribe(self) -> None:
        self.done.append("left")

    def assignment(self) -> list[object]:
        return []


class World:
    """A member that has partition 0 of three. owned: what it is told that members have; asked: how often."""

    def __init__(self) -> None:
        self.clock, self.client = ManualClock(), Client()
        self.facts: list[Fact] = []
        membership = membership_of(self.facts, partitions=1, clock=self.clock)
        membership.client = cast("Consumer", self.client)
        self.member = GroupMember(membership)
        self.owned: frozenset[int] | None = frozenset({0, 1, 2})
        self.asked = 0

    def look(self, *positions: int) -> None:
        """Measure ten seconds later: of each partition the position, behind which tasks wait."""
        self.clock.advance(LOOK_S)
        lag = [ShardLag(shard, 5, None, position) for shard, position in enumerate(positions)]
        self.member.note_lag(lag, self._tell)
        self.member.check()

    def _tell(self) -> frozenset[int] | None:
        self.asked += 1
        return self.owned


@pytest.fixture
def world() -> World:
    return World()


def test_a_member_joins_anew_for_a_partition_that_nobody_has(world: World) -> None:
    world.owned = frozenset({0, 1})
    world.look(0, 0, 0)
    assert world.client.done == []
    world.look(0, 7, 0)
    assert world.client.done == ["left", "joined"]
    assert [fact.fields["because"] for fact in world.facts] == ["no member reads the partitions [2]"]


def test_nobody_asks_while_others_go_on_and_for_what_the_member_itself_has(world: World) -> None:
    for step in range(5):
        world.look(0, step, step)
    assert world.asked == 0


def test_a_slow_member_is_left_alone_and_so_is_a_group_that_divides_its_partitions(world: World) -> None:
    for _ in range(3):
        world.look(0, 0, 0)
    world.owned = None
    for _ in range(3):
        world.look(0, 0, 0)
    assert world.asked == 5
    assert world.client.done == []


def test_where_it_does_not_help_it_is_done_later_and_later_and_anew_once_it_has(world: World) -> None:
    world.owned = frozenset({0, 1})
    for _ in range(17):
        world.look(0, 0, 0)
    assert world.client.done.count("joined") == 5  # after 10, 20, 40, 80 and 160 seconds
    world.look(0, 1, 1)
    world.look(0, 1, 1)
    assert world.client.done.count("joined") == 6
