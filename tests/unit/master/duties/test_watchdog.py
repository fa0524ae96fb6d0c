"""What the watchdog does with what it sees: its real parts, on boards that no process writes."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from consumerd.clock import SYSTEM_CLOCK
from consumerd.master.control.status import pool_status
from consumerd.master.duties.watchdog import DIAGNOSE_S, watch
from consumerd.master.pools.mailbox import Arrival, EndOfChannel, Origin
from consumerd.master.pools.performing import perform
from consumerd.master.pools.worker_messages import hear_worker, worker_ended
from consumerd.master.rules import history
from consumerd.master.rules.actions import Kill
from consumerd.master.rules.flow import MeasuredLag
from consumerd.master.rules.plan import plan
from consumerd.master.rules.watch import NO_TURN_S, SCAN_BUSY_S, SCAN_IDLE_S, STALLED_AFTER_S
from consumerd.model.slots import SlotState
from consumerd.sources.identities import in_order
from consumerd.wire.board import ASKED, BUSY_SINCE_NS, CURSOR, LANES_AT, MAGIC_WORD, SHARD, STATE, TURNED_NS
from consumerd.wire.board_writer import BoardWriter
from consumerd.wire.status import Culprit
from unit.master.pools.test_messages import NAME, WORKER_PID, Stage

TIMEOUT_S = 300.0


class Watched:
    """A stage whose two workers are in their loops, and a master that looks whenever it is time."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.now = 0.0
        self.turning = {0, 1}
        self.killed_at: list[tuple[int, float]] = []

    def words(self, slot: int) -> memoryview:
        return self.stage.board(slot).words

    def until(self, now: float) -> None:
        """Let time pass; the loops of `turning` turn."""
        while self.now < now:
            self.now += 0.5
            for slot in self.turning:
                self.words(slot)[TURNED_NS] = int(self.now * 1e9)
            watch(self.stage.pool, self.now)
            pools = self.stage.pools
            for _, action in plan(pools.wanted, pools.observed, self.now).actions:
                perform(self.stage.pool, action, self.now)
                if isinstance(action, Kill):
                    self.killed_at.append((action.slot, self.now))

    def begins(self, slot: int, offset: int) -> None:
        words = self.words(slot)
        words[LANES_AT + SHARD], words[LANES_AT + CURSOR], words[LANES_AT + BUSY_SINCE_NS] = (
            0,
            offset,
            int(self.now * 1e9) + 1,
        )
        self.turning.discard(slot)

    def starts_again(self, slot: int) -> None:
        pool = self.stage.pool.observed
        starting = replace(pool.slots[slot], state=SlotState.STARTING, since=self.now)
        self.stage.pool.become(replace(pool, slots={**pool.slots, slot: starting}))

    def state(self, slot: int) -> SlotState:
        return self.stage.pool.observed.slots[slot].state

    def told(self, name: str) -> list[dict[str, object]]:
        return [dict(fact.fields) for fact in self.stage.facts if fact.name == name]

    def problems(self) -> list[str]:
        return pool_status(self.stage.pool, self.now).problems


@pytest.fixture
def watched(tmp_path: Path) -> Iterator[Watched]:
    loop = asyncio.new_event_loop()
    stage = Stage(loop, tmp_path)
    stage.up()
    yield Watched(stage)
    stage.close()
    loop.close()


def test_idle_workers_are_looked_at_every_five_seconds_and_busy_ones_each_second(watched: Watched) -> None:
    watched.until(20.0)
    assert watch(watched.stage.pool, watched.now) == pytest.approx(watched.now, abs=SCAN_IDLE_S)
    watched.begins(0, 7)
    watched.until(30.0)
    next_turn_at = watch(watched.stage.pool, watched.now)
    assert next_turn_at is not None
    assert next_turn_at - watched.now <= SCAN_BUSY_S
    assert watched.told("task_stalled") == []


def test_a_task_that_does_not_end_is_flagged_diagnosed_and_its_worker_killed(watched: Watched) -> None:
    watched.begins(0, 7)
    watched.until(STALLED_AFTER_S + SCAN_IDLE_S + 1)
    assert (watched.state(0), watched.state(1)) == (SlotState.STALLED, SlotState.RUNNING)
    assert watched.problems() == [f"{NAME}: worker 0 has been on offset 7 of shard 0 for {watched.now - 0.5:.0f} s"]
    watched.until(TIMEOUT_S)
    assert watched.stage.launcher.asked == []
    watched.until(TIMEOUT_S + SCAN_BUSY_S + DIAGNOSE_S + 1)
    assert watched.stage.launcher.asked == [WORKER_PID]
    [(slot, killed_at)] = watched.killed_at
    assert slot == 0
    assert killed_at >= TIMEOUT_S + DIAGNOSE_S
    assert len(watched.told("task_stalled")) == 1


def test_a_row_that_does_not_end_is_named_by_its_key(watched: Watched) -> None:
    BoardWriter(watched.words(0), SYSTEM_CLOCK).identify(in_order("tasks:", [17, 18, 19]))
    watched.begins(0, 1)
    watched.until(STALLED_AFTER_S + SCAN_IDLE_S + 1)
    assert watched.problems() == [f"{NAME}: worker 0 has been on tasks:18 for {watched.now - 0.5:.0f} s"]


def test_a_task_that_ends_while_its_worker_writes_its_stacks_saves_the_worker(watched: Watched) -> None:
    watched.begins(0, 7)
    while not watched.stage.launcher.asked:
        watched.until(watched.now + 0.5)
    watched.begins(0, 8)
    watched.until(watched.now + STALLED_AFTER_S - 1)
    assert watched.state(0) is SlotState.RUNNING
    assert watched.killed_at == []
    assert len(watched.told("task_went_on")) == 1


def test_a_loop_that_takes_no_turn_is_flagged_though_no_task_runs(watched: Watched) -> None:
    watched.turning = {1}
    watched.until(NO_TURN_S + 2 * SCAN_IDLE_S)
    assert watched.state(0) is SlotState.STALLED
    assert watched.told("task_stalled")[0]["why"] == "loop"
    watched.turning = {0, 1}
    watched.until(watched.now + 2)
    assert watched.state(0) is SlotState.RUNNING


def test_a_stopped_process_is_flagged_with_the_next_look_and_killed_after_the_timeout(watched: Watched) -> None:
    watched.until(10.0)
    watched.turning = {0}
    watched.stage.launcher.stopped = {WORKER_PID + 1}
    watched.until(10.0 + SCAN_IDLE_S + SCAN_BUSY_S + 0.5)
    assert watched.state(1) is SlotState.STALLED
    watched.until(10.0 + TIMEOUT_S + SCAN_IDLE_S + 5)
    assert [slot for slot, _ in watched.killed_at] == [1]


def test_a_master_that_was_frozen_with_its_workers_kills_nobody(watched: Watched) -> None:
    watched.begins(0, 7)
    watched.until(10.0)
    watched.now = 10_000.0
    watched.until(10_003.0)
    assert watched.state(0) is SlotState.RUNNING
    assert watched.told("task_stalled") == []


def test_a_silent_source_costs_one_worker_and_the_next_later(watched: Watched) -> None:
    """The worker that last had a task of the shard goes first."""
    watched.words(1)[LANES_AT + SHARD] = 3
    for measured in range(0, 90, 10):
        watched.stage.pool.lag = MeasuredLag(((3, 5, None, 100),), float(measured))
        watched.until(measured + 10.0)
        if measured == 30:
            assert watched.problems() == [f"{NAME}: tasks wait, and none comes to any worker, in shard 3"]
    assert [slot for slot, _ in watched.killed_at] == [1]
    assert watched.told("shard_stalled") == [{"consumer": str(NAME), "shards": [3]}]


def test_the_death_of_a_worker_is_no_progress_of_its_pool(watched: Watched) -> None:
    watched.words(0)[ASKED] = 4
    watched.until(2.0)
    flow = watched.stage.pool.flow
    worker_ended(watched.stage.pool, 0, 9, watched.now)
    watched.turning = {1}
    watched.until(20.0)
    assert flow is not None
    assert watched.stage.pool.flow == flow


def test_a_worker_that_hung_is_the_culprits_and_kept_as_a_flight_record(watched: Watched) -> None:
    watched.begins(0, 7)
    watched.until(TIMEOUT_S + 10)
    worker_ended(watched.stage.pool, 0, 9, watched.now)
    record = watched.stage.pool.last_ends[0]
    assert record.culprit == Culprit(shard=0, offset=7)
    assert record.how.startswith("SIGKILL: stuck: it has been on offset 7 of shard 0 for 300 s")
    last_error = watched.stage.pool.last_error
    assert last_error is not None
    assert last_error.fields["end"] == record.how


def test_a_worker_that_does_not_come_to_its_loop_is_shown_diagnosed_and_killed(watched: Watched) -> None:
    watched.starts_again(0)
    watched.until(TIMEOUT_S - 1)
    see = "consumerd stacks g/a#0 shows what its pre_consume waits for"
    told = f"worker 0 has been starting for {watched.now:.0f} s: {see}"
    assert watched.problems() == [f"{NAME}: 1 of 2 workers are up; {told}"]
    assert watched.stage.launcher.asked == []
    watched.until(TIMEOUT_S + DIAGNOSE_S + 1)
    assert watched.stage.launcher.asked == [WORKER_PID]
    assert [slot for slot, _ in watched.killed_at] == [0]


def test_a_worker_that_comes_to_its_loop_while_it_writes_its_stacks_is_let_off(watched: Watched) -> None:
    watched.starts_again(0)
    while not watched.stage.launcher.asked:
        watched.until(watched.now + 0.5)
    watched.stage.pool.become(history.ready(watched.stage.pool.observed, 0, watched.now))
    watched.until(watched.now + 2 * DIAGNOSE_S)
    assert watched.killed_at == []
    assert watched.state(0) is SlotState.RUNNING


@pytest.mark.parametrize("word", [MAGIC_WORD, STATE])
@pytest.mark.parametrize("idled_s", [0.0, 12.0])
def test_a_worker_that_writes_over_its_board_is_replaced_and_nobody_else(
    watched: Watched, word: int, idled_s: float
) -> None:
    watched.until(idled_s)
    watched.words(0)[word] = 77
    watched.until(idled_s + SCAN_IDLE_S + DIAGNOSE_S + 2)
    assert watched.stage.launcher.asked == [WORKER_PID]
    assert [slot for slot, _ in watched.killed_at] == [0]
    worker_ended(watched.stage.pool, 0, 9, watched.now)
    assert "holds nonsense" in watched.stage.pool.last_ends[0].how


def test_a_worker_that_has_closed_its_channel_and_lives_on_is_killed_once(watched: Watched) -> None:
    hear_worker(watched.stage.pool, Arrival(Origin(NAME, 0, 1), EndOfChannel()), watched.now)
    watched.until(4.0)
    assert watched.stage.launcher.killed == []
    watched.until(30.0)
    assert watched.stage.launcher.killed == [WORKER_PID]
    assert [told["worker_id"] for told in watched.told("worker_broken")] == [0]
