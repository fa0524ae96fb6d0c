"""Workers of an earlier master, as the new one sees them by their locks."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumerd.master.duties.leftover_workers import look_for_leftovers
from consumerd.master.pools.performing import perform
from consumerd.master.rules.actions import ExecuteZygote, ForkWorker
from consumerd.state.state_dir import StateDirectory
from consumerd.version import __version__
from consumerd.wire.messages import Hello
from unit.master.pools.test_messages import LOADED, NAME, Stage


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    loop = asyncio.new_event_loop()
    directory = StateDirectory(tmp_path)
    directory.prepare()
    for slot in range(4):
        directory.slot_lock(NAME, slot).touch()
    stage = Stage(loop, tmp_path)
    yield stage
    stage.close()
    loop.close()


def has_leftovers(stage: Stage) -> bool:
    return stage.pool.has_leftovers


def lock_name(slot: int) -> str:
    return f"g+a.{slot}.lock"


def test_a_pool_is_looked_at_while_somebody_holds_any_slot_of_its_consumer(stage: Stage) -> None:
    stage.launcher.holders[lock_name(3)] = 77
    assert look_for_leftovers(stage.pool, 1.0) == pytest.approx(1.05)
    assert has_leftovers(stage)
    del stage.launcher.holders[lock_name(3)]
    assert look_for_leftovers(stage.pool, 1.1) is None
    assert not has_leftovers(stage)


def test_one_that_does_not_leave_in_the_time_of_a_stop_is_killed(stage: Stage) -> None:
    stage.launcher.holders[lock_name(3)] = 77
    look_for_leftovers(stage.pool, 1.0)
    look_for_leftovers(stage.pool, 26.0)
    assert stage.launcher.holders == {}
    assert [fact.fields["pid"] for fact in stage.facts if fact.name == "lock_holder_killed"] == [77]
    look_for_leftovers(stage.pool, 26.1)
    assert not has_leftovers(stage)


def test_once_a_pool_has_forked_the_locks_are_its_own_workers(stage: Stage) -> None:
    stage.launcher.holders[lock_name(0)] = 77
    look_for_leftovers(stage.pool, 1.0)
    stage.up()
    look_for_leftovers(stage.pool, 99.0)
    assert not has_leftovers(stage)
    assert stage.launcher.holders == {lock_name(0): 77}


def test_a_worker_that_starts_for_too_long_has_whoever_holds_its_lock_killed(stage: Stage) -> None:
    perform(stage.pool, ExecuteZygote(1), 0.0)
    stage.zygote_says(Hello(__version__), LOADED)
    perform(stage.pool, ForkWorker(0, 1), 0.0)
    stage.launcher.holders[lock_name(0)] = 77
    assert look_for_leftovers(stage.pool, 24.9) == 25.0
    assert stage.launcher.holders == {lock_name(0): 77}
    assert look_for_leftovers(stage.pool, 25.0) == 50.0
    assert stage.launcher.holders == {}
    assert stage.facts[-1].fields == {"consumer": "g/a", "worker_id": 0, "pid": 77}
