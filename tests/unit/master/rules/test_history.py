import pytest

from consumerd.master.rules import history
from consumerd.master.rules.observed import Condemned, ObservedPool, WantedPool
from consumerd.master.rules.restart import Ended
from consumerd.model.exits import WorkerExit
from consumerd.model.slots import PoolState, SlotState, ZygoteState

SIGKILL = 9
BUDGET = 5


def exited(code: int) -> int:
    return code << 8


def up(workers: int = 1) -> ObservedPool:
    pool = history.zygote_executed(history.new_pool(workers, 0.0), 1, 100, 0.0)
    return history.loaded(pool, 1, 0.0)


def started(*, is_ready: bool = True) -> ObservedPool:
    pool = history.fork_asked(up(), 0, 1, 1.0)
    pool = pool.with_slot(0, pid=200, refused="")
    return history.ready(pool, 0, 1.0) if is_ready else pool


def ended(
    pool: ObservedPool,
    status: int | None,
    *,
    is_proven: bool = False,
    restarts_finished: bool = False,
    suspect_deaths: int = 0,
) -> ObservedPool:
    how = Ended(status, is_proven, jitter=1.0, suspect_deaths=suspect_deaths)
    return history.worker_ended(pool, 0, how, 10.0, WantedPool(2, 25.0, restarts_finished=restarts_finished))


@pytest.mark.parametrize("status", [SIGKILL, exited(1), exited(WorkerExit.BUG), exited(WorkerExit.DRAINED), None])
def test_a_first_end_that_nobody_asked_for_is_restarted_at_once(status: int | None) -> None:
    slot = ended(started(), status).slots[0]
    assert (slot.state, slot.failures, slot.due_at, slot.pid) == (SlotState.BACKING_OFF, 1, 10.0, None)


def test_unproven_ends_in_a_row_wait_longer() -> None:
    pool = started()
    pauses = []
    for _ in range(4):
        pool = ended(pool, SIGKILL)
        pauses.append(pool.slots[0].due_at - 10.0)
        pool = history.ready(history.fork_asked(pool, 0, 1, 10.0), 0, 10.0)
    assert pauses == [0.0, 0.5, 1.0, 2.0]


def test_a_proven_worker_makes_the_count_begin_anew() -> None:
    pool = started()
    for _ in range(3):
        pool = history.fork_asked(ended(pool, SIGKILL), 0, 1, 10.0)
    slot = ended(pool, SIGKILL, is_proven=True).slots[0]
    assert (slot.failures, slot.due_at) == (1, 10.0)


def test_a_refused_source_is_not_tried_again_at_once() -> None:
    assert ended(started(), exited(WorkerExit.SOURCE_REFUSED)).slots[0].due_at > 10.0


def test_a_worker_that_the_system_refuses_a_thread_costs_the_pool_nothing_and_says_why() -> None:
    pool = started()
    for number in range(20):
        refused = Ended(exited(WorkerExit.SYSTEM_REFUSED), is_proven=False, jitter=1.0, how=f"no thread {number}")
        policy = WantedPool(2, 25.0, restarts_finished=False)
        pool = history.worker_ended(pool, 0, refused, 10.0, policy)
        assert pool.slots[0].refused == f"no thread {number}"
        pool = history.fork_asked(pool, 0, 1, 10.0).with_slot(0, pid=7, refused="")
        assert pool.slots[0].refused == ""
    assert (pool.state, pool.deaths, pool.slots[0].refusals) == (PoolState.UP, (), 20)
    assert history.ready(pool, 0, 11.0).slots[0].refusals == 0


def test_a_worker_that_was_asked_leaves_an_absent_slot_however_it_ends() -> None:
    for status in (exited(WorkerExit.DRAINED), exited(WorkerExit.MASTER_GONE), SIGKILL, exited(WorkerExit.FINISHED)):
        pool = history.asked_to_leave(started(), 0, 5.0, deadline=30.0)
        assert ended(pool, status).slots[0].state is SlotState.ABSENT


def test_a_finished_worker_stays_finished_unless_it_is_restarted_always() -> None:
    assert ended(started(), exited(WorkerExit.FINISHED)).slots[0].state is SlotState.FINISHED
    always = ended(started(), exited(WorkerExit.FINISHED), restarts_finished=True).slots[0]
    assert always.state is SlotState.BACKING_OFF


def test_each_fork_is_a_generation_and_all_but_the_first_are_restarts() -> None:
    pool = started()
    assert (pool.slots[0].generation, pool.slots[0].restarts) == (1, 0)
    pool = history.fork_asked(ended(pool, SIGKILL), 0, 1, 10.0)
    assert (pool.slots[0].generation, pool.slots[0].restarts) == (2, 1)


def test_a_failed_load_fails_the_pool_with_its_traceback() -> None:
    pool = history.zygote_executed(history.new_pool(1, 0.0), 1, 100, 0.0)
    pool = history.load_failed(pool, 1, 2.0, reason="no module", traceback="Traceback")
    assert (pool.state, pool.reason, pool.traceback) == (PoolState.FAILED, "no module", "Traceback")
    assert history.zygote_ended(pool, 1, 3.0, jitter=1.0).state is PoolState.FAILED


def test_a_failed_load_of_a_new_zygote_leaves_the_workers_running() -> None:
    pool = history.zygote_ended(started(), 1, 2.0, jitter=1.0)
    pool = history.zygote_executed(pool, 1, 101, 3.0)
    pool = history.load_failed(pool, 1, 4.0, reason="gone bad", traceback="")
    assert pool.state is PoolState.FAILED
    assert pool.slots[0].state is SlotState.RUNNING
    assert not pool.is_lost


def test_a_zygote_that_dies_while_it_imports_fails_the_pool_the_third_time() -> None:
    pool = history.new_pool(1, 0.0)
    for expected in (PoolState.LOADING, PoolState.LOADING, PoolState.FAILED):
        executed = history.zygote_executed(pool, 1, 100, 0.0)
        pool = history.zygote_ended(executed, 1, 1.0, jitter=1.0, how="exit 1: no such model", trace="the last lines")
        assert pool.state is expected
    assert pool.reason.endswith("3 times while it imported the consumer's module; the last: exit 1: no such model")
    assert pool.traceback == "the last lines"


def test_a_zygote_that_dies_leaves_its_named_workers_and_voids_the_forks_that_it_had_not_reported() -> None:
    pool = history.fork_asked(up(2), 0, 1, 1.0)
    pool = history.fork_asked(pool, 1, 1, 1.0).with_slot(1, pid=201, refused="")
    pool = history.zygote_ended(pool, 1, 2.0, jitter=1.0)
    assert pool.zygote(1).state is ZygoteState.ABSENT
    assert [pool.slots[number].state for number in (0, 1)] == [SlotState.ABSENT, SlotState.STARTING]


@pytest.mark.parametrize("is_killed", [False, True])
def test_a_worker_that_gets_ready_is_let_off_unless_it_is_killed_already(is_killed: bool) -> None:
    sentence = Condemned("stuck", 2.0, 3.0)
    pool = history.condemned(started(is_ready=False), 0, sentence)
    pool = pool.with_slot(0, is_killed=True) if is_killed else pool
    assert history.ready(pool, 0, 3.0).slots[0].condemned == (sentence if is_killed else None)


def test_a_worker_that_gets_ready_while_it_is_asked_to_leave_goes_on_leaving() -> None:
    pool = history.asked_to_leave(started(is_ready=False), 0, 2.0, deadline=30.0)
    assert history.ready(pool, 0, 3.0).slots[0].state is SlotState.DRAINING


def test_a_known_suspect_costs_no_budget_and_makes_the_pauses_no_longer_than_its_own_deaths_do() -> None:
    pool = ended(started(), exited(3))
    assert len(pool.deaths) == 1
    pauses = []
    for deaths in range(2, 2 * BUDGET + 2):
        pool = history.ready(history.fork_asked(pool, 0, 1, 10.0), 0, 10.0)
        pool = ended(pool, exited(3), suspect_deaths=deaths)
        pauses.append(pool.slots[0].due_at - 10.0)
    assert (pool.state, len(pool.deaths), pool.slots[0].failures) == (PoolState.UP, 1, 1)
    assert pauses[:4] == [0.5, 1.0, 2.0, 2.0]
    assert max(pauses) == 2.0, "tasks behind it may wait for the slot"


def test_a_known_suspect_that_kills_the_first_of_a_new_edition_does_not_reject_it() -> None:
    pool = history.loaded(history.zygote_executed(started(), 2, 101, 1.0), 2, 1.0)
    pool = history.proved(pool, 0, 1.0)
    pool = history.fork_asked(ended(pool, exited(0)), 0, 2, 1.0)
    assert pool.is_trial(2)
    assert ended(pool, exited(3), suspect_deaths=2).rejected == 0
    assert ended(pool, exited(3)).rejected == 2
