from dataclasses import replace

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from consumerd.master import history
from consumerd.master.observed import Observed, Pool, Wanted, WantedPool
from consumerd.master.plan import (
    ALL_FAILED_S,
    KILL_GRACE_S,
    ZYGOTE_GRACE_S,
    Action,
    AskToLeave,
    AskZygoteToLeave,
    ClosePool,
    ExecuteZygote,
    Fork,
    GiveUp,
    Kill,
    KillZygote,
    LookForHolder,
    StopPool,
    Vacate,
    next_deadline,
    plan,
)
from consumerd.master.restart import Ended
from consumerd.model.exits import WorkerExit
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import PoolState, SlotState, ZygoteState

A, B = ConsumerName("g", "a"), ConsumerName("g", "b")
STOP_TIMEOUT_S = 25.0
SIGKILL = 9


def wanted(*, stop_deadline: float | None = None, workers: int = 2) -> WantedPool:
    return WantedPool(workers, STOP_TIMEOUT_S, stop_deadline=stop_deadline)


def planned(pool: Pool, now: float, *, stop_deadline: float | None = None) -> tuple[Action, ...]:
    return plan(Wanted({A: wanted(stop_deadline=stop_deadline)}), Observed({A: pool}), now)


def up() -> Pool:
    return history.loaded(history.zygote_executed(history.new_pool(2, 0.0), 100, 0.0), 0.0)


def running() -> Pool:
    pool = up()
    for number in (0, 1):
        pool = history.fork_asked(pool, number, 0.0, look_at=STOP_TIMEOUT_S)
        pool = history.ready(history.forked(pool, number, 200 + number), number, 0.0)
    return pool


def test_a_new_pool_gets_a_zygote_and_nothing_else() -> None:
    assert planned(history.new_pool(2, 0.0), 0.0) == (ExecuteZygote(A),)


def test_a_loaded_pool_forks_every_slot() -> None:
    assert planned(up(), 0.0) == (Fork(A, 0), Fork(A, 1))


def test_a_pool_as_it_should_be_needs_nothing_and_no_deadline() -> None:
    assert planned(running(), 1e9) == ()
    assert next_deadline(Observed({A: running()})) is None


def test_a_dead_worker_is_replaced_in_the_same_turn_and_no_other() -> None:
    pool = history.worker_ended(running(), 1, Ended(SIGKILL, True, 0.9), 5.0, restarts_finished=False)
    assert planned(pool, 5.0) == (Fork(A, 1),)


def test_a_slot_that_backs_off_starts_when_it_is_due() -> None:
    pool = running()
    for _ in range(2):
        pool = history.worker_ended(pool, 1, Ended(SIGKILL, False, 0.5), 5.0, restarts_finished=False)
        due_at = pool.slots[1].due_at
        waiting = pool
        pool = history.fork_asked(pool, 1, due_at, look_at=99.0)
    assert planned(waiting, due_at - 0.01) == ()
    assert next_deadline(Observed({A: waiting})) == due_at
    assert planned(waiting, due_at) == (Fork(A, 1),)


def test_a_zygote_that_died_is_executed_again_and_the_workers_are_left_alone() -> None:
    pool = history.zygote_ended(running(), 5.0, jitter=1.0)
    assert planned(pool, 5.0) == (ExecuteZygote(A),)


def test_a_failed_pool_starts_nothing_and_keeps_the_others_out_of_it() -> None:
    failed = history.load_failed(
        history.zygote_executed(history.new_pool(1, 0.0), 1, 0.0), 0.0, reason="", traceback=""
    )
    failed = history.zygote_ended(failed, 1.0, jitter=1.0)
    observed = Observed({A: failed, B: up()})
    assert plan(Wanted({A: wanted(), B: wanted()}), observed, 1e9) == (Fork(B, 0), Fork(B, 1))


def test_the_master_gives_up_when_every_pool_has_been_lost_for_five_minutes() -> None:
    failed = history.load_failed(
        history.zygote_executed(history.new_pool(1, 0.0), 1, 0.0), 10.0, reason="", traceback=""
    )
    failed = history.zygote_ended(failed, 10.0, jitter=1.0)
    assert next_deadline(Observed({A: failed})) == 10.0 + ALL_FAILED_S
    assert planned(failed, 10.0 + ALL_FAILED_S - 0.01) == ()
    assert planned(failed, 10.0 + ALL_FAILED_S) == (GiveUp(),)
    with_a_healthy_one = Observed({A: failed, B: running()})
    assert plan(Wanted({A: wanted(), B: wanted()}), with_a_healthy_one, 1e9) == ()


def test_a_worker_that_starts_for_too_long_has_its_lock_looked_at() -> None:
    pool = history.fork_asked(up(), 0, 0.0, look_at=STOP_TIMEOUT_S)
    assert LookForHolder(A, 0) not in planned(pool, STOP_TIMEOUT_S - 0.01)
    assert LookForHolder(A, 0) in planned(pool, STOP_TIMEOUT_S)


def test_a_stop_asks_every_worker_with_the_one_deadline() -> None:
    assert planned(running(), 1.0, stop_deadline=26.0) == (StopPool(A),)
    stopping = history.stopping(running(), 1.0)
    assert planned(stopping, 1.0, stop_deadline=26.0) == (AskToLeave(A, 0, 26.0), AskToLeave(A, 1, 26.0))


def test_a_worker_past_its_deadline_is_killed_once() -> None:
    pool = history.stopping(running(), 1.0)
    for number in (0, 1):
        pool = history.asked_to_leave(pool, number, 1.0, deadline=26.0)
    assert planned(pool, 26.0, stop_deadline=26.0) == ()
    late = 26.0 + KILL_GRACE_S
    assert planned(pool, late, stop_deadline=26.0) == (Kill(A, 0), Kill(A, 1))
    assert planned(history.killed(pool, 0), late, stop_deadline=26.0) == (Kill(A, 1),)


def test_a_zygote_that_does_not_tell_the_end_of_a_killed_worker_is_killed_itself() -> None:
    pool = history.asked_to_leave(history.stopping(running(), 1.0), 0, 1.0, deadline=26.0)
    pool = history.asked_to_leave(pool, 1, 1.0, deadline=26.0)
    pool = history.killed(history.killed(pool, 0), 1)
    late = 26.0 + 2 * KILL_GRACE_S
    assert planned(pool, late - 0.01, stop_deadline=26.0) == ()
    assert next_deadline(Observed({A: pool})) == late
    assert planned(pool, late, stop_deadline=26.0) == (KillZygote(A),)
    for rest in (history.zygote_killed(pool), history.zygote_ended(pool, late, jitter=1.0)):
        assert planned(rest, late, stop_deadline=26.0) == ()
        assert next_deadline(Observed({A: rest})) is None


def test_a_zygote_that_never_named_its_fork_is_killed_at_the_deadline() -> None:
    pool = history.stopping(history.fork_asked(up(), 0, 0.0, look_at=99.0), 1.0)
    pool = history.asked_to_leave(pool, 0, 1.0, deadline=26.0)
    assert planned(pool, 26.0 + KILL_GRACE_S, stop_deadline=26.0) == (KillZygote(A),)


def test_a_pool_that_loads_when_it_is_stopped_loses_its_zygote_at_once() -> None:
    pool = history.stopping(history.zygote_executed(history.new_pool(2, 0.0), 100, 0.0), 1.0)
    assert planned(pool, 1.0, stop_deadline=26.0) == (KillZygote(A),)
    pool = history.zygote_ended(history.zygote_killed(pool), 1.0, jitter=1.0)
    assert planned(pool, 1.0, stop_deadline=26.0) == (ClosePool(A),)


class World(RuleBasedStateMachine):
    """Two pools with processes that do anything that processes can do; the master performs every plan at once."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.pools = {A: history.new_pool(2, 0.0), B: history.new_pool(1, 0.0)}
        self.wanted = {A: wanted(), B: wanted(workers=1)}
        self.zygotes: dict[ConsumerName, bool] = {}  # whether it has been killed
        self.workers: dict[tuple[ConsumerName, int], bool] = {}
        self.next_pid = 1000
        self.refusals = 0  # how often the system will say no to a process or a descriptor
        self.act()

    # The master

    def act(self) -> None:
        for _ in range(10):
            actions = plan(Wanted(self.wanted), Observed(self.pools), self.now)
            if not actions:
                return
            for action in actions:
                self.perform(action)
        raise AssertionError(f"the plan does not come to rest: {actions}")

    def perform(self, action: Action) -> None:
        if isinstance(action, GiveUp):
            return self.want_stop()
        name = action.pool
        pool = self.pools[name]
        match action:
            case ExecuteZygote() if self.is_refused():
                pool = history.zygote_not_executed(pool, self.now, 0.5)
            case Fork(_, slot) if self.is_refused():
                assert (name, slot) not in self.workers, "two generations on one slot"
                pool = history.not_forked(pool, slot, self.now, jitter=0.5)
            case ExecuteZygote():
                assert name not in self.zygotes
                self.zygotes[name] = False
                pool = history.zygote_executed(pool, self.new_pid(), self.now)
            case Fork(_, slot):
                assert (name, slot) not in self.workers, "two generations on one slot"
                assert name in self.zygotes
                self.workers[name, slot] = False
                pool = history.fork_asked(pool, slot, self.now, look_at=self.now + STOP_TIMEOUT_S)
            case AskToLeave(_, slot, deadline):
                pool = history.asked_to_leave(pool, slot, self.now, deadline=deadline)
            case Kill(_, slot):
                assert not self.workers[name, slot], "killed twice"
                self.workers[name, slot] = True
                pool = history.killed(pool, slot)
            case LookForHolder(_, slot):
                pool = history.holder_looked_up(pool, slot, look_at=self.now + STOP_TIMEOUT_S)
            case Vacate(_, slot):
                pool = history.vacated(pool, slot, self.now)
            case AskZygoteToLeave(_, deadline):
                pool = history.zygote_asked_to_leave(pool, self.now, deadline=deadline)
            case KillZygote():
                assert not self.zygotes[name], "killed twice"
                self.zygotes[name] = True
                pool = history.zygote_killed(pool)
            case StopPool():
                pool = history.stopping(pool, self.now)
            case ClosePool():
                assert name not in self.zygotes
                assert not any(worker[0] == name for worker in self.workers)
                pool = history.gone(pool, self.now)
        self.pools[name] = pool
        return None

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

    # The world

    @rule(data=st.data())
    @precondition(lambda self: self.zygotes)
    def a_zygote_speaks(self, data: st.DataObject) -> None:
        name = data.draw(st.sampled_from(sorted(self.zygotes)))
        pool = self.pools[name]
        if pool.zygote.state is ZygoteState.LOADING:
            outcome = data.draw(st.integers(0, 4))
            if outcome == 0:
                self.pools[name] = history.load_failed(pool, self.now, reason="no", traceback="")
            elif outcome == 1:
                return  # it goes on importing
            else:
                self.pools[name] = history.loaded(pool, self.now)
        for slot, seen in self.pools[name].slots.items():
            if seen.is_occupied and seen.pid is None:
                self.pools[name] = history.forked(self.pools[name], slot, self.new_pid())
        self.act()

    @rule(data=st.data(), jitter=st.floats(0, 0.99))
    @precondition(lambda self: self.zygotes)
    def a_zygote_dies(self, data: st.DataObject, jitter: float) -> None:
        name = data.draw(st.sampled_from(sorted(self.zygotes)))
        del self.zygotes[name]
        for slot, seen in self.pools[name].slots.items():
            if seen.is_occupied and seen.pid is None:
                del self.workers[name, slot]
        self.pools[name] = history.zygote_ended(self.pools[name], self.now, jitter=jitter)
        self.act()

    @rule(data=st.data())
    @precondition(lambda self: self.workers)
    def a_worker_is_ready(self, data: st.DataObject) -> None:
        name, slot = data.draw(st.sampled_from(sorted(self.workers)))
        self.pools[name] = history.ready(self.pools[name], slot, self.now)
        self.act()

    @rule(
        data=st.data(),
        status=st.sampled_from([SIGKILL, None, 1 << 8, *(code << 8 for code in WorkerExit)]),
        is_proven=st.booleans(),
        jitter=st.floats(0, 0.99),
    )
    @precondition(lambda self: self.workers)
    def a_worker_ends(self, data: st.DataObject, status: int | None, is_proven: bool, jitter: float) -> None:
        name, slot = data.draw(st.sampled_from(sorted(self.workers)))
        if self.pools[name].slots[slot].pid is None:
            return
        del self.workers[name, slot]
        how = Ended(status, is_proven, jitter)
        self.pools[name] = history.worker_ended(self.pools[name], slot, how, self.now, restarts_finished=False)
        self.act()

    @rule(times=st.integers(1, 4))
    def the_system_runs_out(self, times: int) -> None:
        self.refusals = times + 1

    @rule()
    def the_next_deadline_comes(self) -> None:
        deadline = next_deadline(Observed(self.pools))
        if deadline is not None:
            before = plan(Wanted(self.wanted), Observed(self.pools), (self.now + deadline) / 2)
            assert before == (), "something was due before the deadline"
            self.now = max(self.now, deadline)
            assert plan(Wanted(self.wanted), Observed(self.pools), self.now), "woken for nothing"
            self.act()

    @rule()
    def a_stop_is_asked_for(self) -> None:
        self.want_stop()
        self.act()

    @invariant()
    def slots_and_processes_agree(self) -> None:
        for name, pool in self.pools.items():
            for number, slot in pool.slots.items():
                assert slot.is_occupied == ((name, number) in self.workers)
            assert (pool.zygote.state is not ZygoteState.ABSENT) == (name in self.zygotes)

    @invariant()
    def nothing_starts_while_stopping(self) -> None:
        for name, pool in self.pools.items():
            if self.wanted[name].stop_deadline is not None:
                assert pool.state in (PoolState.STOPPING, PoolState.GONE)
                assert not any(slot.state in (SlotState.STARTING, SlotState.RUNNING) for slot in pool.slots.values())

    def teardown(self) -> None:
        """However the world stands: a stop ends it by its deadlines, when what is killed dies."""
        self.want_stop()
        self.act()
        for _ in range(30):
            for name, slot in sorted(self.workers):
                if self.workers[name, slot]:
                    self.the_end_of(name, slot)
            for name in sorted(self.zygotes):
                if self.zygotes[name] or self.pools[name].zygote.state is ZygoteState.LEAVING:
                    self.the_end_of_zygote(name)
            self.act()
            self.the_next_deadline_comes()
        assert all(pool.state is PoolState.GONE for pool in self.pools.values())
        assert (
            self.now
            <= max(pool.stop_deadline or 0 for pool in self.wanted.values()) + KILL_GRACE_S + 2 * ZYGOTE_GRACE_S
        )

    def the_end_of(self, name: ConsumerName, slot: int) -> None:
        del self.workers[name, slot]
        how = Ended(SIGKILL, False, 0.5)
        self.pools[name] = history.worker_ended(self.pools[name], slot, how, self.now, restarts_finished=False)

    def the_end_of_zygote(self, name: ConsumerName) -> None:
        del self.zygotes[name]
        for slot, seen in self.pools[name].slots.items():
            if seen.is_occupied and seen.pid is None:
                del self.workers[name, slot]
        self.pools[name] = history.zygote_ended(self.pools[name], self.now, jitter=0.5)


TestWorld = World.TestCase
TestWorld.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
