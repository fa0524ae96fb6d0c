"""How workers divide the buckets: never two have one, none is left over, and who keeps a range is not disturbed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from consumerd.model.division import (
    Division,
    Member,
    Ranges,
    Share,
    as_text,
    divided,
    fair_part,
    from_text,
    lacks,
    left,
    reduced,
    renewed,
)
from consumerd.model.shards import BUCKET_COUNT, Shard

SLOTS = st.integers(0, 6)


def step(division: Division, member: Member, gone: tuple[str, ...] = ()) -> Division:
    """A member's whole step: take, then give up."""
    after = divided(division, member, 0.0, gone)
    return reduced(after, member, fair_part(after, member))


def member(slot: int, generation: int = 1, count: int = 0) -> Member:
    return Member(f"m{slot}", f"m{slot}#{generation}", Shard.numbered(slot, count).ranges if count else (), count)


def settled(division: Division, members: list[Member]) -> Division:
    for _ in range(3):
        for each in members:
            division = step(division, each)
    return division


def sizes(division: Division) -> list[int]:
    return [sum(map(len, share.ranges)) for share in division.values()]


@given(st.lists(st.integers(1, 40), min_size=1, max_size=8))
@settings(max_examples=30)
def test_whatever_the_numbers_were_all_have_an_equal_part_in_few_ranges(numbers: list[int]) -> None:
    division: Division = {}
    for number in numbers:
        members = [member(slot) for slot in range(number)]
        for name in division.keys() - {each.name for each in members}:
            division = left(division, Member(name, f"{name}#1"))
        division = settled(division, members)
        assert sum(sizes(division)) == BUCKET_COUNT
        assert max(sizes(division)) - min(sizes(division)) <= 1
        assert not any(lacks(division, each) for each in members)
        assert max(len(share.ranges) for share in division.values()) <= 2 * max(numbers)
        assert settled(division, members) == division, "whoever has an equal part keeps it"


def test_one_that_comes_takes_from_each_no_more_than_its_part() -> None:
    members = [member(slot) for slot in range(4)]
    before = settled({}, members)
    after = settled(before, [*members, member(4)])
    for each in members:
        mine, was = buckets(after[each.name].ranges), buckets(before[each.name].ranges)
        assert mine < was
        assert len(was - mine) <= len(was) // 5 + 1


def test_a_process_has_what_the_one_before_it_in_its_slot_had() -> None:
    division = settled({}, [member(0), member(1)])
    after = step(division, member(1, generation=2))
    assert after["m1"] == Share("m1#2", division["m1"].ranges)
    assert renewed(after, member(1), 9.0) == left(after, member(1)) == reduced(after, member(1), ()) == after


def test_workers_by_number_wait_for_all_that_divide_otherwise() -> None:
    moving = settled({}, [member(0), member(1)])
    waiting = step(moving, member(2, count=3))
    assert waiting["m2"].ranges == ()
    assert lacks(waiting, member(2, count=3))
    half = left(waiting, member(0))
    assert step(step(half, member(0, count=3)), member(2, count=3))["m2"].ranges == ()
    alone = left(half, member(1))
    assert settled(alone, [member(slot, count=3) for slot in range(3)]) == {
        f"m{slot}": Share(f"m{slot}#1", Shard.numbered(slot, 3).ranges, 0.0, 3) for slot in range(3)
    }


def test_two_hosts_that_divide_by_number_do_not_have_the_same_range() -> None:
    here, there = Member("a.0", "a.0#1", Shard.numbered(0, 2).ranges, 2), Member("b.0", "b.0#1", (range(2048),), 2)
    division = settled({}, [here, there])
    assert (division["a.0"].ranges, division["b.0"].ranges) == (here.fixed, ())
    assert step(division, there, gone=("a.0",))["b.0"].ranges == here.fixed


def buckets(ranges: Ranges) -> set[int]:
    return {bucket for owned in ranges for bucket in owned}


@dataclass
class Process:
    """A worker, and what it believes to own."""

    member: Member
    owned: set[int] = field(default_factory=set)


class Workers(RuleBasedStateMachine):
    """Workers that come, step, are killed, leave, and whose number by which they divide changes."""

    def __init__(self) -> None:
        super().__init__()
        self.division: Division = {}
        self.processes: dict[int, Process] = {}
        self.generation = 0

    @rule(slot=SLOTS, count=st.sampled_from([0, 0, 0, 3, 7]))
    def start(self, slot: int, count: int) -> None:
        if slot not in self.processes and slot < (count or 9):
            self.generation += 1
            self.processes[slot] = Process(member(slot, self.generation, count))

    @rule(slot=SLOTS)
    def turn(self, slot: int) -> None:
        if slot in self.processes:
            process = self.processes[slot]
            dead = tuple(name for name in self.division if int(name[1:]) not in self.processes)
            after = divided(self.division, process.member, 0.0, dead)
            process.owned = buckets(fair_part(after, process.member))
            self.division = reduced(after, process.member, fair_part(after, process.member))

    @rule(slot=SLOTS)
    def kill(self, slot: int) -> None:
        self.processes.pop(slot, None)

    @rule(slot=SLOTS)
    def leave(self, slot: int) -> None:
        if slot in self.processes:
            self.division = left(self.division, self.processes.pop(slot).member)

    @invariant()
    def no_bucket_is_two_workers(self) -> None:
        owned = [bucket for process in self.processes.values() for bucket in process.owned]
        assert len(owned) == len(set(owned))

    @invariant()
    def who_owns_something_divides_as_all_others_do(self) -> None:
        assert len({process.member.count for process in self.processes.values() if process.owned}) <= 1

    @invariant()
    def it_can_be_written_down(self) -> None:
        read: Mapping[str, Share] = from_text(as_text(self.division))
        assert read == self.division


TestWorkers = Workers.TestCase
