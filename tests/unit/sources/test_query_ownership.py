"""What one worker of a query owns: with other workers, under a lease, while the store is away."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from dataclasses import replace

import pytest

from consumerd.errors import StoreAwayError
from consumerd.events.facts import Fact
from consumerd.model.division import Division
from consumerd.model.shards import BUCKET_COUNT, Shard
from consumerd.model.task import TaskId
from consumerd.sources.abilities import TRUSTED_FOR
from consumerd.sources.query.ownership import LEASE_S, RENEWED_AFTER_S, Ownership
from consumerd.testing.clock import ManualClock
from consumerd.testing.source_context import NothingParked, StandInWorker, context_for_tests


class Store(NothingParked):
    """The store of all workers of a test. away: it answers nobody; its next answers are lost after so many calls."""

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock
        self.is_shared = True
        self.is_away = False
        self.loses_answers = False
        self.dead: set[str] = set()

    def divide(self, step: Callable[[Division, float], Division]) -> Division:
        if self.is_away:
            raise StoreAwayError("away")
        self.division = step(self.division, self._clock.monotonic())
        if self.loses_answers:
            raise StoreAwayError("the answer is lost")
        return self.division

    def is_slot_held(self, member: str) -> bool:
        return member not in self.dead


class Stage:
    def __init__(self) -> None:
        self.clock = ManualClock(1000.0)
        self.store = Store(self.clock)
        self.facts: list[Fact] = []
        self.workers: dict[Ownership, StandInWorker] = {}

    def worker(self, member: str, generation: int = 1, *, workers: int = 2, fixed: Shard | None = None) -> Ownership:
        slot = int(member.rpartition(".")[2])
        stand_in = StandInWorker(self.clock, has_successor=False)
        context = replace(
            context_for_tests(parked=self.store),
            member=member,
            lease_owner=f"{member}#{generation}",
            shard=fixed or Shard(ranges=(), number=(slot, workers), moves=True),
            clock=self.clock,
            emit=self.facts.append,
            worker=stand_in,
        )
        made = Ownership(context)
        self.workers[made] = stand_in
        return made

    def look(self, *ownerships: Ownership) -> list[int]:
        """All look, three times; how much each has."""
        for _ in range(3):
            for each in ownerships:
                each.look_now()
                each.look(may_move=True, in_hand=())
        return [len(each.shard.buckets) for each in ownerships]


@pytest.fixture
def stage() -> Stage:
    return Stage()


def test_what_a_worker_owns_is_what_its_consumer_reads(stage: Stage) -> None:
    one, other = stage.worker("a.g.c.0"), stage.worker("a.g.c.1")
    assert stage.look(one) == [BUCKET_COUNT]
    assert stage.look(one, other) == [BUCKET_COUNT // 2] * 2
    assert stage.workers[one].shard is one.shard
    assert set(one.shard.buckets).isdisjoint(other.shard.buckets)


def ids(ownership: Ownership, *, is_owned: bool) -> Iterator[TaskId]:
    """Rows that a worker owns now, or does not."""
    every = (TaskId(f"row-{number}") for number in itertools.count())
    return (each for each in every if ownership.shard.owns(each) is is_owned)


def test_rows_in_hand_of_what_is_given_up_end_before_others_have_it(stage: Stage) -> None:
    one, other = stage.worker("a.g.c.0"), stage.worker("a.g.c.1")
    stage.look(one)
    in_hand = {TaskId(f"row-{number}") for number in range(20)}
    stage.look(other)
    one.look_now()
    assert one.look(may_move=True, in_hand=in_hand)
    assert len(one.shard.buckets) == BUCKET_COUNT // 2, "it begins none of them any more"
    assert not one.look(may_move=True, in_hand=in_hand)
    assert stage.look(other) == [0]
    in_hand = {each for each in in_hand if one.shard.owns(each)} | {next(ids(one, is_owned=True))}
    assert in_hand, "what is kept may stay in hand"
    one.look(may_move=True, in_hand=in_hand)
    assert stage.look(other) == [BUCKET_COUNT // 2]
    assert len(one.shard.buckets) == BUCKET_COUNT // 2


def test_where_the_query_divides_by_itself_all_rows_of_before_end_first(stage: Stage) -> None:
    one, other = stage.worker("a.g.c.0"), stage.worker("a.g.c.1")
    stage.workers[one].reads_shard = True
    stage.look(one)
    stage.look(other)
    before = {next(ids(one, is_owned=True))}
    one.look_now()
    one.look(may_move=True, in_hand=before)
    later = {TaskId("taken-later")}
    one.look(may_move=True, in_hand=before | later)
    assert stage.look(other) == [0]
    one.look(may_move=True, in_hand=later)
    assert stage.look(other) == [BUCKET_COUNT // 2]


def test_ranges_are_taken_while_rows_are_in_hand(stage: Stage) -> None:
    one, other = stage.worker("a.g.c.0"), stage.worker("a.g.c.1")
    stage.look(one, other)
    other.leave()
    one.look_now()
    assert one.look(may_move=True, in_hand={next(ids(one, is_owned=True))})
    assert len(one.shard.buckets) == BUCKET_COUNT


def test_nothing_is_given_up_while_rows_were_read_that_may_not_come_again(stage: Stage) -> None:
    one, other = stage.worker("a.g.c.0"), stage.worker("a.g.c.1")
    stage.look(one)
    stage.look(other)
    one.look_now()
    assert not one.look(may_move=False, in_hand=())
    assert stage.look(other) == [0]
    assert not other.holds


def test_one_that_is_busy_and_only_renews_gives_up_as_soon_as_it_may(stage: Stage) -> None:
    busy, other = stage.worker("a.g.c.0"), stage.worker("b.g.c.0")
    assert stage.look(busy) == [BUCKET_COUNT]
    assert stage.look(other) == [0]
    stage.clock.advance(RENEWED_AFTER_S + 0.1)
    busy.keep()
    assert not busy.look(may_move=False, in_hand=())
    assert busy.look(may_move=True, in_hand=())
    assert stage.look(other) == [BUCKET_COUNT // 2]


def test_a_silent_host_loses_all_after_its_lease_and_knows_it_before(stage: Stage) -> None:
    here, there = stage.worker("a.g.c.0"), stage.worker("b.g.c.0")
    stage.look(here, there)
    stage.clock.advance(TRUSTED_FOR * LEASE_S - 0.1)
    assert there.holds
    here.look_now()
    here.look(may_move=True, in_hand=())
    stage.clock.advance(0.2)
    assert not there.holds
    assert there.settles(0)
    assert stage.look(here) == [BUCKET_COUNT // 2]
    stage.clock.advance(TRUSTED_FOR * LEASE_S - 1)
    assert stage.look(here) == [BUCKET_COUNT]
    there.keep()
    assert stage.workers[there].interrupts
    assert not there.settles(0)
    assert stage.look(there, here) == [BUCKET_COUNT // 2] * 2
    assert there.holds
    assert not there.settles(0), "rows of the time before are others'"
    assert there.settles(1)


def test_the_keeper_renews_while_a_handler_runs(stage: Stage) -> None:
    here, there = stage.worker("a.g.c.0"), stage.worker("b.g.c.0")
    stage.look(here, there)
    for _ in range(100):
        stage.clock.advance(1)
        there.keep()
        assert there.holds
    assert stage.look(here) == [BUCKET_COUNT // 2]


def test_on_one_host_a_worker_has_its_part_as_long_as_it_lives(stage: Stage) -> None:
    stage.store.is_shared = False
    one, other = stage.worker("a.g.c.0"), stage.worker("a.g.c.1")
    stage.look(one, other)
    stage.store.is_away = True
    stage.clock.advance(10 * LEASE_S)
    other.look(may_move=True, in_hand=())
    other.keep()
    assert other.holds
    assert other.settles(0)
    stage.store.is_away = False
    assert stage.look(one) == [BUCKET_COUNT // 2]
    stage.store.dead.add("a.g.c.1")
    assert stage.look(one) == [BUCKET_COUNT]


def test_the_next_process_of_a_slot_has_what_the_one_before_had(stage: Stage) -> None:
    one, other = stage.worker("a.g.c.0"), stage.worker("a.g.c.1")
    stage.look(one, other)
    successor = stage.worker("a.g.c.1", 2)
    assert successor.look(may_move=True, in_hand=())
    assert successor.shard.ranges == other.shard.ranges


def test_a_worker_that_leaves_gives_all_up_unless_it_is_replaced(stage: Stage) -> None:
    one, other = stage.worker("a.g.c.0"), stage.worker("a.g.c.1")
    stage.look(one, other)
    stage.workers[other].has_successor = True
    other.leave()
    assert stage.look(one) == [BUCKET_COUNT // 2]
    stage.workers[other].has_successor = False
    other.leave()
    assert stage.look(one) == [BUCKET_COUNT]


def test_a_range_whose_release_may_not_have_been_written_is_used_no_more(stage: Stage) -> None:
    one, other = stage.worker("a.g.c.0"), stage.worker("a.g.c.1")
    stage.look(one)
    stage.look(other)
    takes = stage.store.divide

    def lose_the_second(step: Callable[[Division, float], Division]) -> Division:
        after = takes(step)
        stage.store.loses_answers = True
        return after

    stage.store.divide = lose_the_second  # type: ignore[method-assign]
    one.look_now()
    one.look(may_move=True, in_hand=())
    stage.store.divide, stage.store.loses_answers = takes, False  # type: ignore[method-assign]
    assert stage.look(other) == [BUCKET_COUNT // 2]
    assert set(one.shard.buckets).isdisjoint(other.shard.buckets)


def test_one_that_starts_while_the_store_is_away_takes_all_only_where_it_is_the_only_one(stage: Stage) -> None:
    stage.store.is_away = True
    assert stage.look(stage.worker("a.g.c.0", workers=1)) == [BUCKET_COUNT]
    assert stage.look(stage.worker("a.g.c.1", workers=2)) == [0]


def test_workers_by_number_stand_by_where_another_host_has_their_range(stage: Stage) -> None:
    fixed = Shard.numbered(0, 2)
    here, there = stage.worker("a.g.c.0", fixed=fixed), stage.worker("b.g.c.0", fixed=fixed)
    assert stage.look(here, there) == [BUCKET_COUNT // 2, 0]
    assert here.shard.index == 0
    stage.clock.advance(6)
    stage.look(here, there)
    here.leave()
    stage.look(there)
    told = [fact.name for fact in stage.facts if fact.name != "ranges_moved"]
    assert told == ["standing_by", "took_over"]


def test_a_number_is_not_read_where_ranges_move(stage: Stage) -> None:
    one = stage.worker("a.g.c.0")
    stage.look(one)
    with pytest.raises(Exception, match="read both in a method of the class"):
        _ = one.shard.index
