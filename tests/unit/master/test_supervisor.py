"""What a turn does, and when the master leaves: the supervisor over one pool, whose processes are on paper."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import pytest

from consumerd.master.duties.service import Service
from consumerd.master.host.own_process import ServiceSocket
from consumerd.master.pools.stopping import HURRIED_S, SAME_PRESS_S, TELL_AFTER_S
from consumerd.master.rules.plan import KILL_GRACE_S, LOST_FOR_S
from consumerd.master.supervisor import Supervisor
from consumerd.model.slots import PoolState, SlotState, ZygoteState
from consumerd.version import __version__
from consumerd.wire.board import BUSY_SINCE_NS, LANES_AT
from consumerd.wire.channel import Channel
from consumerd.wire.messages import Hello, LoadFailed, Message, Stop
from unit.master.pools.test_messages import LOADED, NAME, WORKER_PID, ZYGOTE_PID, Stage


class Turns:
    """A supervisor whose turns a test takes, and what it tells others than its pools."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage
        self.ends: list[tuple[int, int | None]] = []
        self.woken = asyncio.Event()
        self.supervisor = Supervisor(
            stage.pools,
            stage.tools,
            self.woken,
            duties=(),
            service=Service(ServiceSocket(), stage.pools, stage.facts.append),
            note_end=lambda pid, status: self.ends.append((pid, status)),
        )

    def turn(self, now: float) -> None:
        self.supervisor.turn(now)

    def zygote_writes(self, *messages: Message) -> None:
        """What the zygote of the first edition writes into its channel."""
        channel = Channel(self.stage.launcher.far_ends[0])
        for message in messages:
            channel.queue(message)
        assert channel.flush()
        self.stage.tools.mailbox.drain(self.stage.pool.zygotes[1].channel)

    def told(self, name: str) -> int:
        return [fact.name for fact in self.stage.facts].count(name)


@pytest.fixture
def turns(tmp_path: Path) -> Iterator[Turns]:
    loop = asyncio.new_event_loop()
    stage = Stage(loop, tmp_path)
    yield Turns(stage)
    if len(stage.pools):
        stage.close()
    loop.close()


def test_one_turn_executes_the_zygote_and_another_forks_what_it_has_loaded(turns: Turns) -> None:
    turns.turn(0.0)
    assert turns.stage.pool.observed.zygote(1).state is ZygoteState.LOADING
    turns.zygote_writes(Hello(__version__), LOADED)
    turns.turn(1.0)
    assert [slot.state for slot in turns.stage.pool.observed.slots.values()] == [SlotState.STARTING] * 2


def test_a_dead_worker_is_replaced_in_the_turn_that_reaps_it(turns: Turns) -> None:
    turns.stage.up()
    turns.stage.launcher.dead[WORKER_PID] = 9
    turns.turn(9.0)
    slot = turns.stage.pool.observed.slots[0]
    assert (slot.state, slot.generation, turns.told("worker_ended")) == (SlotState.STARTING, 2, 1)


def test_a_worker_that_its_zygote_reaped_and_did_not_tell_of_is_found(turns: Turns) -> None:
    turns.stage.up()
    turns.stage.launcher.reaped_elsewhere.add(WORKER_PID)
    turns.stage.launcher.dead[ZYGOTE_PID] = 9
    turns.turn(9.0)
    assert [fact.fields["end"] for fact in turns.stage.facts if fact.name == "worker_ended"] == ["unknown"]
    assert turns.stage.pool.observed.slots[1].state is SlotState.RUNNING


def test_the_end_of_a_child_of_no_pool_is_told_to_whom_it_concerns(turns: Turns) -> None:
    turns.stage.launcher.dead[77] = 3 << 8
    turns.turn(0.0)
    assert turns.ends == [(77, 3 << 8)]


def test_all_pools_are_stopped_once(turns: Turns) -> None:
    turns.stage.up()
    assert turns.supervisor.stop("SIGTERM") == turns.supervisor.stop("SIGINT")
    turns.turn(1.0)
    assert [fact.fields["reason"] for fact in turns.stage.facts if fact.name == "master_stopping"] == ["SIGTERM"]
    [stop] = [message for message in turns.stage.sent_to_second() if isinstance(message, Stop)]
    assert stop.deadline_s == turns.supervisor.stop_deadline


def test_a_second_interrupt_leaves_the_workers_two_seconds(turns: Turns) -> None:
    turns.stage.up()
    turns.supervisor.interrupt(10.0)
    turns.turn(10.0)
    turns.supervisor.interrupt(10.0 + SAME_PRESS_S / 2)  # the terminal's, which another has passed on
    assert (turns.supervisor.stop_deadline, turns.told("stop_hurried")) == (35.0, 0)
    turns.supervisor.interrupt(11.0)
    turns.supervisor.interrupt(12.0)
    assert (turns.supervisor.stop_deadline, turns.told("stop_hurried")) == (11.0 + HURRIED_S, 1)
    stops = [message.deadline_s for message in turns.stage.sent_to_second() if isinstance(message, Stop)]
    assert stops == [35.0, 11.0 + HURRIED_S]
    turns.turn(11.0 + HURRIED_S + KILL_GRACE_S)
    assert sorted(turns.stage.launcher.killed) == [WORKER_PID, WORKER_PID + 1]


def test_a_stop_says_for_whom_it_waits(turns: Turns) -> None:
    turns.stage.up()
    turns.stage.pool.workers[0].ready_at = None
    turns.stage.board(1).words[LANES_AT + BUSY_SINCE_NS] = 1
    turns.supervisor.stop("SIGTERM", 10.0)
    turns.turn(10.0)
    assert turns.told("stop_waits") == 0
    turns.turn(10.0 + TELL_AFTER_S)
    turns.turn(10.1 + TELL_AFTER_S)
    [told] = [fact.fields for fact in turns.stage.facts if fact.name == "stop_waits"]
    assert told["ends_in_s"] == 22.0
    assert told["waits_for"] == (
        f"g/a#0 (process {WORKER_PID}: it has not come to its loop, and may be in its pre_consume), "
        f"g/a#1 (process {WORKER_PID + 1}: it runs a task)"
    )
    assert str(told["advice"]).startswith("consumerd stacks g/a#0 shows where it is; Ctrl-C, or kill -INT ")


def test_a_consumer_that_must_not_run_ends_the_run_with_its_sentence(turns: Turns) -> None:
    turns.stage.refusal = "g/a: not durable enough"
    turns.turn(0.0)
    turns.zygote_writes(Hello(__version__), LOADED)
    turns.turn(1.0)
    assert (turns.supervisor.exit_code, turns.supervisor.refusal) == (2, "g/a: not durable enough")
    assert not turns.stage.pool.is_wanted


def test_where_nothing_loads_that_is_said_once_and_given_up_later(turns: Turns) -> None:
    turns.turn(0.0)
    turns.zygote_writes(Hello(__version__), LoadFailed("there is no module m"))
    turns.turn(1.0)
    turns.turn(2.0)
    assert (turns.stage.pool.observed.state, turns.told("nothing_loaded")) == (PoolState.FAILED, 1)
    turns.turn(1.0 + LOST_FOR_S)
    assert (turns.supervisor.exit_code, turns.told("master_gave_up")) == (1, 1)


def test_what_is_to_come_in_place_of_a_pool_is_loaded_in_the_turn_in_which_that_is_gone(turns: Turns) -> None:
    pools, entry = turns.stage.pools, turns.stage.pool.entry
    before = turns.stage.pool
    before.remove(0.0)
    pools.add(replace(entry, stop_timeout_s=3.0), 0.0)
    turns.turn(0.0)
    assert pools[NAME] is not before
    assert pools[NAME].entry.stop_timeout_s == 3.0
    assert pools[NAME].observed.zygote(1).state is ZygoteState.LOADING


def test_a_run_ends_when_every_pool_is_gone_and_takes_no_longer(turns: Turns) -> None:
    turns.supervisor.stop("asked")
    assert asyncio.run(turns.supervisor.run()) == 0
    assert len(turns.stage.pools) == 0
    for far_end in turns.stage.launcher.far_ends:
        far_end.close()
