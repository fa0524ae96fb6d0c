import math
from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consumerd.master.rules import history
from consumerd.master.rules import plan as rules
from consumerd.master.rules.actions import (
    Action,
    AskToLeave,
    AskZygoteToLeave,
    ExecuteZygote,
    ForkWorker,
    Kill,
    KillZygote,
    PoolBecomes,
    Vacate,
)
from consumerd.master.rules.history import TRY_EVERY_S, ZYGOTE_LEAVES_IN_S
from consumerd.master.rules.observed import Condemned, Observed, ObservedPool, Wanted, WantedPool
from consumerd.master.rules.plan import FIRST_LOAD_S, KILL_GRACE_S, LOST_FOR_S, ZYGOTE_GRACE_S, target_edition
from consumerd.master.rules.restart import Ended, budget_of
from consumerd.model.exits import WorkerExit
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import LIVE, LOOPING, SERVING, PoolState, SlotState, ZygoteState
from consumerd.wire.board import Lane

A, B = ConsumerName("g", "a"), ConsumerName("g", "b")
STOP_TIMEOUT_S = 25.0
SIGKILL = 9
BUDGET = 5


def wanted(*, stop_deadline: float | None = None, workers: int = 2) -> WantedPool:
    return WantedPool(workers, STOP_TIMEOUT_S, stop_deadline=stop_deadline)


def plan(wanted: Wanted, observed: Observed, now: float) -> tuple[Action, ...]:
    return tuple(action for _, action in by_pool(wanted, observed, now))


def by_pool(wanted: Wanted, observed: Observed, now: float) -> tuple[tuple[ConsumerName, Action], ...]:
    return rules.plan(wanted, observed, now).actions


def next_deadline(wanted: Wanted, observed: Observed, now: float = -math.inf) -> float | None:
    return rules.plan(wanted, observed, now).next_at


def planned(pool: ObservedPool, now: float, *, stop_deadline: float | None = None) -> tuple[Action, ...]:
    return plan({A: wanted(stop_deadline=stop_deadline)}, {A: pool}, now)


def up() -> ObservedPool:
    return history.loaded(history.zygote_executed(history.new_pool(2, 0.0), 1, 100, 0.0), 1, 0.0)


def running() -> ObservedPool:
    pool = up()
    for number in (0, 1):
        pool = history.fork_asked(pool, number, 1, 0.0)
        pool = history.ready(pool.with_slot(number, pid=200 + number, refused=""), number, 0.0)
    return pool


def test_a_new_pool_gets_a_zygote_and_nothing_else() -> None:
    assert planned(history.new_pool(2, 0.0), 0.0) == (ExecuteZygote(1),)


def test_a_loaded_pool_forks_every_slot() -> None:
    assert planned(up(), 0.0) == (ForkWorker(0, 1), ForkWorker(1, 1))


def test_a_pool_as_it_should_be_needs_nothing_and_no_deadline() -> None:
    assert planned(running(), 1e9) == ()
    assert next_deadline({A: wanted()}, {A: running()}) is None


def test_a_dead_worker_is_replaced_in_the_same_turn_and_no_other() -> None:
    pool = history.worker_ended(
        running(), 1, Ended(SIGKILL, True, 0.9), 5.0, WantedPool(2, 25.0, restarts_finished=False)
    )
    assert planned(pool, 5.0) == (ForkWorker(1, 1),)


def test_a_slot_that_backs_off_starts_when_it_is_due() -> None:
    pool = running()
    for _ in range(2):
        pool = history.worker_ended(
            pool, 1, Ended(SIGKILL, False, 0.5), 5.0, WantedPool(2, 25.0, restarts_finished=False)
        )
        due_at = pool.slots[1].due_at
        waiting = pool
        pool = history.fork_asked(pool, 1, 1, due_at)
    assert planned(waiting, due_at - 0.01) == ()
    assert next_deadline({A: wanted()}, {A: waiting}) == due_at
    assert planned(waiting, due_at) == (ForkWorker(1, 1),)


def test_a_zygote_that_died_is_executed_again_and_the_workers_are_left_alone() -> None:
    pool = history.zygote_ended(running(), 1, 5.0, jitter=1.0)
    assert planned(pool, 5.0) == (ExecuteZygote(1),)


def lost(now: float = 0.0, workers: int = 2) -> ObservedPool:
    pool = history.zygote_executed(history.new_pool(workers, 0.0), 1, 100, 0.0)
    return history.zygote_ended(
        history.load_failed(pool, 1, now, reason="no", traceback=""), 1, now, jitter=1.0
    )  # fmt: skip


def test_a_pool_that_could_not_load_tries_again_each_minute_and_keeps_the_others_out_of_it() -> None:
    both = {A: wanted(), B: wanted()}
    assert by_pool(both, {A: lost(), B: up()}, TRY_EVERY_S - 0.01) == ((B, ForkWorker(0, 1)), (B, ForkWorker(1, 1)))
    assert planned(lost(), TRY_EVERY_S) == (ExecuteZygote(1),)
    tried = history.zygote_executed(lost(), 1, 101, TRY_EVERY_S)
    assert history.loaded(tried, 1, TRY_EVERY_S).state is PoolState.UP


def dying(pool: ObservedPool, number: int, now: float) -> ObservedPool:
    ended = Ended(SIGKILL, is_proven=False, jitter=0.0, how="SIGKILL: out of luck", trace="Traceback")
    return history.worker_ended(pool, number, ended, now, wanted())


def test_a_pool_has_a_budget_of_unproven_deaths_and_past_it_tries_one_slot_each_minute() -> None:
    pool = running()
    for _ in range(budget_of(2)):
        pool = history.fork_asked(dying(pool, 1, 5.0), 1, 1, 5.0)
    assert pool.state is PoolState.UP
    pool = dying(dying(pool, 1, 5.0), 0, 5.0)
    assert pool.state is PoolState.FAILED
    assert "SIGKILL: out of luck" in pool.reason
    assert planned(pool, 5.0 + TRY_EVERY_S - 0.01) == ()
    assert next_deadline({A: wanted()}, {A: pool}) == 5.0 + TRY_EVERY_S
    assert planned(pool, 5.0 + TRY_EVERY_S) == (ForkWorker(0, 1),)
    tried = history.ready(history.fork_asked(pool, 0, 1, 70.0), 0, 70.0)
    assert planned(tried, 70.0) == ()
    assert history.proved(tried, 0, 75.0).state is PoolState.UP


def test_deaths_of_workers_that_had_settled_tasks_make_up_for_those_that_had_not() -> None:
    pool = running()
    for _ in range(3 * budget_of(2)):
        proven = Ended(SIGKILL, is_proven=True, jitter=0.0)
        pool = history.fork_asked(history.worker_ended(pool, 0, proven, 5.0, wanted()), 0, 1, 5.0)
        pool = history.fork_asked(dying(pool, 1, 5.0), 1, 1, 5.0)
    assert pool.state is PoolState.UP


def test_workers_that_finish_without_a_task_make_up_for_none_that_die() -> None:
    pool = running()
    for _ in range(budget_of(2) + 1):
        finished = Ended(WorkerExit.FINISHED << 8, is_proven=False, jitter=0.0)
        pool = history.worker_ended(pool, 0, finished, 5.0, WantedPool(2, STOP_TIMEOUT_S, restarts_finished=True))
        pool = history.fork_asked(dying(history.fork_asked(pool, 0, 1, 5.0), 1, 5.0), 1, 1, 5.0)
    assert pool.state is PoolState.FAILED


def test_of_a_failed_pool_one_slot_is_to_start_next_and_of_the_others_nobody_knows_when() -> None:
    pool = failed(10.0, due_at=(5.0, 5.0, 5.0))
    assert next_starts(pool) == {0: 10.0 + TRY_EVERY_S}
    assert next_starts(history.fork_asked(pool, 0, 1, 70.0)) == {1: 70.0 + TRY_EVERY_S}
    late = failed(10.0, due_at=(90.0, 75.0, 80.0))
    assert next_starts(late) == {1: 75.0}
    assert [plan({A: wanted(workers=3)}, {A: late}, at) for at in (74.0, 75.0)] == [(), (ForkWorker(1, 1),)]
    assert next_starts(history.zygote_ended(pool, 1, 11.0, jitter=1.0)) == {}, "its code is loaded first"
    assert next_starts(history.vacated(failed(10.0, due_at=(90.0, 5.0, 5.0)), 0, 11.0)) == {}, "a new slot is first"
    assert next_starts(history.renewed(pool, 11.0)) == {0: 5.0, 1: 5.0, 2: 5.0}


def failed(now: float, due_at: tuple[float, ...]) -> ObservedPool:
    """A pool that has failed, whose slots back off until then."""
    pool = history.scaled(up(), len(due_at), 0.0)
    for number, at in enumerate(due_at):
        pool = dying(history.fork_asked(pool, number, 1, 0.0), number, 0.0).with_slot(number, due_at=at)
    return history.failed(pool, now, reason="too many deaths", traceback="")


def next_starts(pool: ObservedPool) -> dict[int, float]:
    return dict(rules.next_starts(wanted(workers=3), pool, 11.0))


def test_a_worker_that_ran_before_its_pool_failed_does_not_bring_it_back() -> None:
    pool = history.failed(running(), 5.0, reason="too many deaths", traceback="")
    assert history.proved(pool, 0, 9.0).state is PoolState.FAILED
    ended = Ended(SIGKILL, is_proven=True, jitter=0.0)
    assert history.worker_ended(pool, 0, ended, 9.0, wanted()).state is PoolState.FAILED


def test_deaths_that_lie_a_minute_back_do_not_count() -> None:
    pool = running()
    for time in range(20):
        pool = history.fork_asked(dying(pool, 1, 20.0 * time), 1, 1, 20.0 * time)
    assert pool.state is PoolState.UP


def test_the_master_gives_up_when_every_pool_has_been_lost_for_five_minutes() -> None:
    failed = lost(10.0)
    assert not rules.plan({A: wanted()}, {A: failed}, 10.0 + LOST_FOR_S - 0.01).gives_up
    assert rules.plan({A: wanted()}, {A: failed}, 10.0 + LOST_FOR_S).gives_up
    assert not rules.plan({A: wanted(), B: wanted()}, {A: failed, B: running()}, 1e9).gives_up


def test_the_master_gives_up_when_an_essential_pool_has_been_lost_for_five_minutes() -> None:
    observed = {A: lost(10.0), B: running()}
    essential = {A: replace(wanted(), is_essential=True), B: wanted()}
    assert rules.plan(essential, observed, 10.0 + LOST_FOR_S).gives_up


def test_a_pool_begins_once_those_that_it_comes_after_are_healthy() -> None:
    later = {A: wanted(), B: replace(wanted(), after=frozenset({A}))}
    assert by_pool(later, {A: up(), B: history.new_pool(2, 0.0)}, 0.0) == ((A, ForkWorker(0, 1)), (A, ForkWorker(1, 1)))
    observed = {A: running(), B: history.new_pool(2, 0.0)}
    assert by_pool(later, observed, 0.0) == ((B, ExecuteZygote(1)),)
    begun = {A: lost(), B: up()}
    assert (B, ForkWorker(0, 1)) in by_pool(later, begun, 1.0)


def test_more_workers_restart_nobody_and_fewer_leave_from_the_highest_slot() -> None:
    more, fewer = replace(wanted(), workers=3), replace(wanted(), workers=1)
    grown = history.scaled(running(), 3, 1.0)
    assert plan({A: more}, {A: grown}, 1.0) == (ForkWorker(2, 1),)
    assert plan({A: fewer}, {A: running()}, 1.0) == (AskToLeave(1, 1.0 + STOP_TIMEOUT_S, is_last=True),)


def worn(pool: ObservedPool, *numbers: int) -> ObservedPool:
    for number in numbers:
        pool = pool.with_slot(number, is_worn=True)
    return pool


def left(pool: ObservedPool, number: int, now: float) -> ObservedPool:
    return history.worker_ended(pool, number, Ended(0, is_proven=True, jitter=0.0), now, wanted())


def test_worn_out_workers_are_replaced_one_after_the_other_the_highest_slot_first() -> None:
    pool = worn(running(), 0, 1)
    assert planned(pool, 5.0) == (AskToLeave(1, 5.0 + STOP_TIMEOUT_S),)
    pool = history.asked_to_leave(pool, 1, 5.0, deadline=30.0)
    assert planned(pool, 6.0) == ()
    pool = left(pool, 1, 7.0)
    assert planned(pool, 7.0) == (ForkWorker(1, 1),)
    pool = history.fork_asked(pool, 1, 1, 7.0).with_slot(1, pid=300, refused="")
    assert planned(pool, 7.0) == (), "the new one does not run yet"
    pool = history.ready(pool, 1, 8.0)
    assert planned(pool, 8.0) == (AskToLeave(0, 8.0 + STOP_TIMEOUT_S),)


def test_a_worn_out_worker_stays_while_another_slot_is_empty_or_nobody_can_replace_it() -> None:
    assert planned(worn(dying(running(), 1, 5.0), 0), 5.0) == (ForkWorker(1, 1),)
    without_zygote = history.zygote_ended(worn(running(), 0), 1, 5.0, jitter=1.0)
    assert planned(without_zygote, 5.0) == (ExecuteZygote(1),)


SECOND = replace(WantedPool(2, STOP_TIMEOUT_S), edition=2)


def second(pool: ObservedPool, now: float = 1.0) -> tuple[Action, ...]:
    return plan({A: SECOND}, {A: pool}, now)


def reloading() -> ObservedPool:
    """The second edition is loaded, and nobody has left yet."""
    return history.loaded(history.zygote_executed(running(), 2, 101, 1.0), 2, 1.0)


def on_trial() -> ObservedPool:
    """Its first worker runs, on the highest slot."""
    pool = history.asked_to_leave(reloading(), 1, 1.0, deadline=26.0)
    pool = history.worker_ended(pool, 1, Ended(0, is_proven=True, jitter=0.0), 2.0, SECOND)
    return history.ready(history.fork_asked(pool, 1, 2, 2.0).with_slot(1, pid=300, refused=""), 1, 2.0)


def test_a_new_edition_is_loaded_before_anybody_is_asked_to_leave() -> None:
    assert second(running()) == (ExecuteZygote(2),)
    assert second(history.zygote_executed(running(), 2, 101, 1.0)) == ()


def first_import() -> ObservedPool:
    return history.zygote_executed(history.new_pool(2, 0.0), 1, 100, 0.0)


def test_a_first_import_goes_on_for_a_while_though_a_newer_edition_is_wanted() -> None:
    assert second(first_import()) == ()
    assert second(history.loaded(first_import(), 1, 2.0), 2.0) == (ExecuteZygote(2), ForkWorker(0, 1))
    assert second(first_import(), FIRST_LOAD_S) == (ExecuteZygote(2), KillZygote(1))
    assert next_deadline({A: SECOND}, {A: first_import()}, 1.0) == FIRST_LOAD_S


def test_a_first_import_that_fails_is_followed_by_the_newest_at_once() -> None:
    failed = history.load_failed(first_import(), 1, 2.0, reason="no", traceback="", is_newest=False)
    assert failed.state is PoolState.LOADING
    assert second(failed, 2.0) == (ExecuteZygote(2),)


def test_the_highest_slot_is_the_canary_and_the_others_wait_for_its_proof() -> None:
    assert second(reloading()) == (AskToLeave(1, 1.0 + STOP_TIMEOUT_S),)
    assert second(on_trial(), 1e3) == ()
    proven = history.proved(on_trial(), 1, 5.0)
    assert second(proven, 5.0) == (AskToLeave(0, 5.0 + STOP_TIMEOUT_S),)


def test_a_slot_that_dies_while_another_is_on_trial_goes_on_with_the_established_edition() -> None:
    assert second(dying(on_trial(), 0, 3.0), 3.0) == (ForkWorker(0, 1),)


def test_an_edition_whose_first_worker_dies_unproven_is_rejected_and_its_slot_goes_back() -> None:
    pool = dying(on_trial(), 1, 3.0)
    assert (pool.state, pool.rejected) == (PoolState.UP, 2)
    assert second(pool, 3.0) == (ForkWorker(1, 1), AskZygoteToLeave(2, 3.0 + ZYGOTE_LEAVES_IN_S))


def test_an_edition_that_cannot_be_loaded_is_rejected_and_nobody_leaves() -> None:
    pool = history.load_failed(history.zygote_executed(running(), 2, 101, 1.0), 2, 2.0, reason="typo", traceback="")
    assert (pool.state, pool.rejected, pool.reason) == (PoolState.UP, 2, "typo")
    assert second(pool, 2.0) == ()


def test_nobody_is_recycled_while_an_edition_is_on_trial() -> None:
    assert second(worn(on_trial(), 0), 1e3) == ()


def test_the_old_zygote_leaves_when_the_last_worker_of_its_edition_is_gone() -> None:
    pool = history.asked_to_leave(history.proved(on_trial(), 1, 5.0), 0, 5.0, deadline=30.0)
    assert second(pool, 6.0) == ()
    pool = history.worker_ended(pool, 0, Ended(0, is_proven=True, jitter=0.0), 6.0, SECOND)
    assert second(pool, 6.0) == (ForkWorker(0, 2), AskZygoteToLeave(1, 6.0 + ZYGOTE_LEAVES_IN_S))


def test_a_slot_that_is_empty_anyway_has_the_trial_and_nobody_is_asked_to_leave_for_it() -> None:
    pool = history.worker_ended(running(), 0, Ended(9, is_proven=True, jitter=0.0), 1.0, SECOND)
    pool = history.not_forked(pool, 0, 1, 1.0, error="no room", jitter=1.0)
    pool = history.loaded(history.zygote_executed(pool, 2, 101, 1.0), 2, 1.0)
    assert second(pool, 1.0) == (ForkWorker(0, 2),)


def test_a_failed_pool_that_is_restarted_begins_anew_without_a_trial() -> None:
    pool = history.renewed(lost(), 5.0)
    assert second(pool, 5.0) == (ExecuteZygote(2),)
    pool = history.loaded(history.zygote_executed(pool, 2, 101, 5.0), 2, 6.0)
    assert second(pool, 6.0) == (ForkWorker(0, 2), ForkWorker(1, 2))


def test_a_slot_whose_fork_is_refused_waits_also_for_a_new_edition() -> None:
    pool = history.not_forked(up(), 1, 1, 0.0, error="no room", jitter=1.0)
    assert planned(pool, 0.0) == (ForkWorker(0, 1),)
    finished = history.worker_ended(on_trial(), 1, Ended(WorkerExit.FINISHED << 8, True, 0.0), 3.0, SECOND)
    third = replace(SECOND, edition=3)
    pool = history.loaded(history.zygote_executed(finished, 3, 102, 3.0), 3, 3.0)
    refused = history.not_forked(pool, 1, 3, 3.0, error="no room", jitter=1.0)
    assert ForkWorker(1, 3) not in plan({A: third}, {A: refused}, 3.0)


def test_a_stop_asks_every_worker_with_the_one_deadline() -> None:
    assert planned(running(), 1.0, stop_deadline=26.0) == (PoolBecomes(PoolState.STOPPING),)
    stopping = running().becomes(PoolState.STOPPING, 1.0)
    assert planned(stopping, 1.0, stop_deadline=26.0) == (
        AskToLeave(0, 26.0, is_last=True),
        AskToLeave(1, 26.0, is_last=True),
    )


def test_a_worker_past_its_deadline_is_killed_once() -> None:
    pool = running().becomes(PoolState.STOPPING, 1.0)
    for number in (0, 1):
        pool = history.asked_to_leave(pool, number, 1.0, deadline=26.0)
    assert planned(pool, 26.0, stop_deadline=26.0) == ()
    late = 26.0 + KILL_GRACE_S
    assert planned(pool, late, stop_deadline=26.0) == (Kill(0), Kill(1))
    assert planned(pool.with_slot(0, is_killed=True), late, stop_deadline=26.0) == (Kill(1),)


def test_a_zygote_that_does_not_tell_the_end_of_a_killed_worker_is_killed_itself() -> None:
    pool = history.asked_to_leave(running().becomes(PoolState.STOPPING, 1.0), 0, 1.0, deadline=26.0)
    pool = history.asked_to_leave(pool, 1, 1.0, deadline=26.0)
    pool = pool.with_slot(0, is_killed=True).with_slot(1, is_killed=True)
    late = 26.0 + 2 * KILL_GRACE_S
    assert planned(pool, late - 0.01, stop_deadline=26.0) == ()
    assert next_deadline({A: wanted(stop_deadline=26.0)}, {A: pool}) == late
    assert planned(pool, late, stop_deadline=26.0) == (KillZygote(1),)
    for rest in (pool.with_zygote(1, is_killed=True), history.zygote_ended(pool, 1, late, jitter=1.0)):
        assert planned(rest, late, stop_deadline=26.0) == ()
        assert next_deadline({A: wanted(stop_deadline=26.0)}, {A: rest}) is None


def test_a_zygote_that_never_named_its_fork_is_killed_at_the_deadline() -> None:
    pool = history.fork_asked(up(), 0, 1, 0.0).becomes(PoolState.STOPPING, 1.0)
    pool = history.asked_to_leave(pool, 0, 1.0, deadline=26.0)
    assert planned(pool, 26.0 + KILL_GRACE_S, stop_deadline=26.0) == (KillZygote(1),)


def test_a_pool_that_loads_when_it_is_stopped_loses_its_zygote_at_once() -> None:
    pool = history.zygote_executed(history.new_pool(2, 0.0), 1, 100, 0.0).becomes(PoolState.STOPPING, 1.0)
    assert planned(pool, 1.0, stop_deadline=26.0) == (KillZygote(1),)
    pool = history.zygote_ended(pool.with_zygote(1, is_killed=True), 1, 1.0, jitter=1.0)
    assert planned(pool, 1.0, stop_deadline=26.0) == (PoolBecomes(PoolState.GONE),)


def hung(kill_at: float = 301.0) -> ObservedPool:
    """The worker of slot 1 is past its task's timeout, and may write its stacks until `kill_at`."""
    return history.condemned(
        history.stalled(running(), 1, 15.0), 1, Condemned("was stuck", 300.0, kill_at, Lane(shard=0, cursor=7))
    )


def test_a_stalled_worker_is_left_alone_and_a_condemned_one_is_killed_once_when_it_is_time() -> None:
    assert planned(history.stalled(running(), 1, 15.0), 1e9) == ()
    assert planned(hung(), 300.9) == ()
    assert next_deadline({A: wanted()}, {A: hung()}) == 301.0
    assert planned(hung(), 301.0) == (Kill(1),)
    killed = hung().with_slot(1, is_killed=True)
    assert planned(killed, 1e9) == ()
    assert next_deadline({A: wanted()}, {A: killed}) is None


def test_a_condemned_worker_that_goes_on_is_let_off() -> None:
    pool = history.went_on(hung(), 1, 300.5)
    assert pool.slots[1].state is SlotState.RUNNING
    assert planned(pool, 1e9) == ()


def test_a_condemned_worker_that_is_asked_to_leave_has_the_time_of_its_drain() -> None:
    pool = history.asked_to_leave(hung(), 1, 300.5, deadline=325.5)
    assert planned(pool, 325.5) == ()
    assert Kill(1) in planned(pool, 325.5 + KILL_GRACE_S)


def test_a_worker_that_hung_is_replaced_and_its_pool_does_not_count_the_death() -> None:
    pool = dying(hung().with_slot(1, is_killed=True), 1, 301.0)
    assert (pool.slots[1].state, pool.deaths) == (SlotState.BACKING_OFF, ())
    assert planned(pool, 301.0) == (ForkWorker(1, 1),)
    assert history.fork_asked(pool, 1, 1, 301.0).slots[1].condemned is None


def test_a_stalled_worker_is_no_part_of_a_healthy_pool() -> None:
    later = {A: wanted(), B: replace(wanted(), after=frozenset({A}))}
    observed = {A: history.stalled(running(), 1, 15.0), B: history.new_pool(2, 0.0)}
    assert plan(later, observed, 20.0) == ()


def test_a_stopping_pool_kills_what_loads_beside_its_workers_at_once() -> None:
    pool = history.zygote_executed(running(), 2, 101, 1.0).becomes(PoolState.STOPPING, 1.0)
    asked = plan({A: replace(SECOND, stop_deadline=26.0)}, {A: pool}, 1.0)
    assert asked == (
        AskToLeave(0, 26.0, is_last=True),
        AskToLeave(1, 26.0, is_last=True),
        KillZygote(2),
    )


class World(RuleBasedStateMachine):
    """Two pools with processes that do anything that processes can do; the master performs every plan at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.pools = {A: history.new_pool(2, 0.0), B: history.new_pool(2, 0.0)}
        self.wanted = {A: wanted(), B: wanted()}
        self.zygotes: dict[tuple[ConsumerName, int], bool] = {}  # by edition: whether it has been killed
        self.workers: dict[tuple[ConsumerName, int], bool] = {}
        self.next_pid = 1000
        self.refusals = 0  # how often the system will say no to a process or a descriptor
        self.act()

    # The master

    def act(self) -> None:
        for _ in range(10):
            planned = rules.plan(self.wanted, self.pools, self.now)
            if planned.gives_up:
                self.want_stop()
            elif not planned.actions:
                return
            for name, action in planned.actions:
                self.perform(name, action)
        raise AssertionError(f"the plan does not come to rest: {planned.actions}")

    def perform(self, name: ConsumerName, action: Action) -> None:
        pool = self.pools[name]
        match action:
            case ExecuteZygote(edition) if self.is_refused():
                pool = history.zygote_not_executed(pool, edition, self.now, 0.5, error="no room")
            case ForkWorker(slot, edition) if self.is_refused():
                assert (name, slot) not in self.workers, "two generations on one slot"
                pool = history.not_forked(pool, slot, edition, self.now, error="no room", jitter=0.5)
            case ExecuteZygote(edition):
                assert (name, edition) not in self.zygotes
                self.zygotes[name, edition] = False
                pool = history.zygote_executed(pool, edition, self.new_pid(), self.now)
            case ForkWorker(slot, edition):
                assert (name, slot) not in self.workers, "two generations on one slot"
                assert slot < self.wanted[name].workers
                assert pool.zygote(edition).state is ZygoteState.READY
                self.workers[name, slot] = False
                pool = history.fork_asked(pool, slot, edition, self.now)
            case AskToLeave(slot, deadline):
                self.is_spared(name, slot)
                pool = history.asked_to_leave(pool, slot, self.now, deadline=deadline)
            case Kill(slot):
                assert not self.workers[name, slot], "killed twice"
                self.workers[name, slot] = True
                pool = pool.with_slot(slot, is_killed=True)
            case Vacate(slot):
                pool = history.vacated(pool, slot, self.now)
            case AskZygoteToLeave(edition, deadline):
                assert not any(self.edition_of(*worker) == edition for worker in self.workers if worker[0] == name)
                pool = pool.zygote_becomes(edition, ZygoteState.LEAVING, self.now, deadline=deadline)
            case KillZygote(edition):
                assert not self.zygotes[name, edition], "killed twice"
                self.zygotes[name, edition] = True
                pool = pool.with_zygote(edition, is_killed=True)
            case PoolBecomes(state):
                if state is PoolState.GONE:
                    assert not any(zygote[0] == name for zygote in self.zygotes)
                    assert not any(worker[0] == name for worker in self.workers)
                pool = pool.becomes(state, self.now)
        self.pools[name] = pool

    def is_spared(self, name: ConsumerName, number: int) -> None:
        """A worker that is recycled leaves no more than `max_unavailable` slots empty."""
        wanted, pool = self.wanted[name], self.pools[name]
        slot = pool.slots[number]
        is_wanted = number < wanted.workers and pool.state is not PoolState.STOPPING
        if is_wanted and slot.state is SlotState.RUNNING and slot.edition == target_edition(wanted, pool):
            assert slot.is_worn
            others = (pool.slots[other].state for other in range(wanted.workers) if other != number)
            assert sum(state not in SERVING for state in others) < wanted.max_unavailable

    def want_stop(self) -> None:
        for name, pool in self.wanted.items():
            if pool.stop_deadline is None:
                self.wanted[name] = replace(pool, stop_deadline=self.now + STOP_TIMEOUT_S)

    def is_refused(self) -> bool:
        self.refusals -= self.refusals > 0
        return self.refusals > 0

    def new_pid(self) -> int:
        self.next_pid += 1
        return self.next_pid

    def edition_of(self, name: ConsumerName, slot: int) -> int:
        return self.pools[name].slots[slot].edition

    # The world

    @rule(data=st.data())
    @precondition(lambda self: self.zygotes)
    def a_zygote_speaks(self, data: st.DataObject) -> None:
        name, edition = data.draw(st.sampled_from(sorted(self.zygotes)))
        pool = self.pools[name]
        if pool.zygote(edition).state is ZygoteState.LOADING:
            outcome = data.draw(st.integers(0, 4))
            if outcome == 0:
                self.pools[name] = history.load_failed(pool, edition, self.now, reason="no", traceback="")
            elif outcome == 1:
                return  # it goes on importing
            else:
                self.pools[name] = history.loaded(pool, edition, self.now)
        for slot, seen in self.pools[name].slots.items():
            if seen.is_occupied and seen.pid is None and seen.edition == edition:
                self.pools[name] = self.pools[name].with_slot(slot, pid=self.new_pid(), refused="")
        self.act()

    @rule(data=st.data(), jitter=st.floats(0, 0.99))
    @precondition(lambda self: self.zygotes)
    def a_zygote_dies(self, data: st.DataObject, jitter: float) -> None:
        self.the_end_of_zygote(*data.draw(st.sampled_from(sorted(self.zygotes))), jitter=jitter)
        self.act()

    @rule(data=st.data(), proves_itself=st.booleans())
    @precondition(lambda self: self.workers)
    def a_worker_is_ready(self, data: st.DataObject, proves_itself: bool) -> None:
        name, slot = data.draw(st.sampled_from(sorted(self.workers)))
        self.pools[name] = history.ready(self.pools[name], slot, self.now)
        if proves_itself and self.pools[name].slots[slot].state is SlotState.RUNNING:
            self.pools[name] = history.proved(self.pools[name], slot, self.now)
        self.act()

    @rule(
        data=st.data(),
        status=st.sampled_from([SIGKILL, None, 1 << 8, *(code << 8 for code in WorkerExit)]),
        is_proven=st.booleans(),
        jitter=st.floats(0, 0.99),
        suspect_deaths=st.integers(0, 3),
    )
    @precondition(lambda self: self.workers)
    def a_worker_ends(
        self, data: st.DataObject, status: int | None, is_proven: bool, jitter: float, suspect_deaths: int
    ) -> None:
        name, slot = data.draw(st.sampled_from(sorted(self.workers)))
        if self.pools[name].slots[slot].pid is not None:
            self.the_end_of(name, slot, Ended(status, is_proven, jitter, suspect_deaths=suspect_deaths))
            self.act()

    @rule(data=st.data(), goes_on=st.booleans(), is_condemned=st.booleans())
    @precondition(
        lambda self: any(slot.state in LOOPING for pool in self.pools.values() for slot in pool.slots.values())
    )
    def a_worker_is_watched(self, data: st.DataObject, goes_on: bool, is_condemned: bool) -> None:
        looping = [
            (name, slot)
            for name, pool in sorted(self.pools.items())
            for slot, seen in pool.slots.items()
            if seen.state in LOOPING and not seen.is_killed
        ]
        if not looping:
            return
        name, slot = data.draw(st.sampled_from(looping))
        pool = self.pools[name]
        if goes_on:
            self.pools[name] = history.went_on(pool, slot, self.now)
        else:
            pool = pool if pool.slots[slot].state is SlotState.STALLED else history.stalled(pool, slot, self.now)
            sentence = Condemned("was stuck", self.now, self.now + 1.0)
            self.pools[name] = history.condemned(pool, slot, sentence) if is_condemned else pool
        self.act()

    @rule(data=st.data())
    @precondition(lambda self: self.workers)
    def workers_wear_out(self, data: st.DataObject) -> None:
        for name, slot in data.draw(st.lists(st.sampled_from(sorted(self.workers)), unique=True)):
            if self.pools[name].slots[slot].state is SlotState.RUNNING:
                self.pools[name] = self.pools[name].with_slot(slot, is_worn=True)
        self.act()

    @rule(name=st.sampled_from([A, B]), number=st.integers(1, 3))
    def another_number_may_be_unavailable(self, name: ConsumerName, number: int) -> None:
        self.wanted[name] = replace(self.wanted[name], max_unavailable=number)
        self.act()

    @rule(times=st.integers(1, 60))
    def the_system_runs_out(self, times: int) -> None:
        self.refusals = times + 1

    @rule()
    def the_next_deadline_comes(self) -> None:
        deadline = next_deadline(self.wanted, self.pools, self.now)
        if deadline is not None:
            before = rules.plan(self.wanted, self.pools, (self.now + deadline) / 2)
            assert (before.actions, before.gives_up) == ((), False), "something was due before the deadline"
            self.now = max(self.now, deadline)
            planned = rules.plan(self.wanted, self.pools, self.now)
            assert planned.actions or planned.gives_up, "woken for nothing"
            self.act()

    # Operators

    @rule(name=st.sampled_from([A, B]))
    def a_new_edition_is_wanted(self, name: ConsumerName) -> None:
        self.wanted[name] = replace(self.wanted[name], edition=self.wanted[name].edition + 1)
        self.pools[name] = history.renewed(self.pools[name], self.now)
        self.act()

    @rule(name=st.sampled_from([A, B]), workers=st.integers(1, 4))
    def another_number_of_workers_is_wanted(self, name: ConsumerName, workers: int) -> None:
        self.wanted[name] = replace(self.wanted[name], workers=workers)
        self.pools[name] = history.scaled(self.pools[name], workers, self.now)
        self.act()

    @rule()
    def a_stop_is_asked_for(self) -> None:
        self.want_stop()
        self.act()

    # What always holds

    @invariant()
    def slots_and_processes_agree(self) -> None:
        for name, pool in self.pools.items():
            for number, slot in pool.slots.items():
                assert slot.is_occupied == ((name, number) in self.workers)
            assert {edition for edition, zygote in pool.zygotes.items() if zygote.state is not ZygoteState.ABSENT} == {
                edition for owner, edition in self.zygotes if owner == name
            }

    @invariant()
    def no_more_workers_live_than_are_wanted(self) -> None:
        """But those that drain: and every wanted slot is there."""
        for name, pool in self.pools.items():
            live = [number for number, slot in pool.slots.items() if slot.state in LIVE]
            assert all(number < self.wanted[name].workers for number in live)
            assert pool.slots.keys() >= set(range(self.wanted[name].workers))

    @invariant()
    def an_edition_on_trial_has_one_slot(self) -> None:
        for name, pool in self.pools.items():
            target = target_edition(self.wanted[name], pool)
            if pool.is_trial(target) and pool.state is PoolState.UP:
                tried = [number for number, slot in pool.slots.items() if slot.state in LIVE and slot.edition == target]
                assert len(tried) <= 1

    @invariant()
    def deaths_stay_within_the_budget(self) -> None:
        for name, pool in self.pools.items():
            assert len(pool.deaths) <= budget_of(self.wanted[name].workers) or pool.state is not PoolState.UP

    @invariant()
    def nothing_starts_while_stopping(self) -> None:
        for name, pool in self.pools.items():
            if self.wanted[name].stop_deadline is not None:
                assert pool.state in (PoolState.STOPPING, PoolState.GONE)
                assert not any(slot.state in LIVE for slot in pool.slots.values())

    def teardown(self) -> None:
        """However the world stands: a stop ends it by its deadlines, when what is killed dies."""
        self.want_stop()
        self.act()
        for _ in range(30):
            for name, slot in sorted(self.workers):
                if self.workers[name, slot]:
                    self.the_end_of(name, slot, Ended(SIGKILL, False, 0.5))
            for name, edition in sorted(self.zygotes):
                is_leaving = self.pools[name].zygote(edition).state is ZygoteState.LEAVING
                if self.zygotes[name, edition] or is_leaving:
                    self.the_end_of_zygote(name, edition, jitter=0.5)
            self.act()
            self.the_next_deadline_comes()
        assert all(pool.state is PoolState.GONE for pool in self.pools.values())
        assert self.now <= max(pool.stop_deadline or 0 for pool in self.wanted.values()) + 2 * (
            KILL_GRACE_S + ZYGOTE_GRACE_S
        )

    def the_end_of(self, name: ConsumerName, slot: int, how: Ended) -> None:
        del self.workers[name, slot]
        policy = self.wanted[name]
        self.pools[name] = history.worker_ended(self.pools[name], slot, how, self.now, policy)

    def the_end_of_zygote(self, name: ConsumerName, edition: int, *, jitter: float) -> None:
        del self.zygotes[name, edition]
        for slot, seen in self.pools[name].slots.items():
            if seen.is_occupied and seen.pid is None and seen.edition == edition:
                del self.workers[name, slot]
        self.pools[name] = history.zygote_ended(self.pools[name], edition, self.now, jitter=jitter)


TestWorld = World.TestCase
TestWorld.settings = settings(max_examples=100, stateful_step_count=40, deadline=None)
