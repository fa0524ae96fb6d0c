"""What the master makes of the end of a worker that ran several tasks at once."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from consumerd.clock import SYSTEM_CLOCK
from consumerd.master.pools.worker_messages import worker_ended
from consumerd.master.rules import history
from consumerd.master.rules.observed import Condemned
from consumerd.master.rules.watch import Stuck, Why
from consumerd.model.suspects import CANCELLED_FOR_GOOD
from consumerd.model.task import Task, TaskId
from consumerd.wire.board import STACKS_AT_BYTE
from consumerd.wire.board_writer import BoardWriter
from unit.master.pools.test_messages import Stage

SIGKILL, SIGSEGV = 9, 11


@pytest.fixture
def stage(tmp_path: Path) -> Iterator[Stage]:
    loop = asyncio.new_event_loop()
    stage = Stage(loop, tmp_path)
    stage.up()
    yield stage
    stage.close()
    loop.close()


def run(stage: Stage, *ids: str | None, slot: int = 0, crashes: int = 0) -> None:
    """The worker of a slot runs these, each in a lane; the last one rests."""
    writer = BoardWriter(stage.board(slot).words, SYSTEM_CLOCK)
    writer.lanes(len(ids) + 1)
    writer.lane.note_crashes(crashes)
    for number, task_id in enumerate(ids):
        task = Task(None if task_id is None else TaskId(task_id), number, "t", 0, number, b"")
        writer.lane_at(number).run(task)


def sentence(stage: Stage, number: int, *, does_park: bool = False, is_killed: bool = True) -> None:
    """The worker of slot 0 is condemned for what runs in a lane."""
    lane = stage.board(0).read().lanes[number]
    stage.pool.become(
        history.condemned(stage.pool.observed, 0, Condemned("stuck", 1.0, 2.0, lane, does_park=does_park)).with_slot(
            0, is_killed=is_killed
        )
    )


def test_all_that_ran_in_a_worker_that_crashed_are_suspects_of_no_crash(stage: Stage) -> None:
    run(stage, "t:0", None, "t:2")
    worker_ended(stage.pool, 0, SIGSEGV, 4.0)
    assert stage.suspects() == (("t:0", 0, "SIGSEGV beside others"), ("t:2", 0, "SIGSEGV beside others"))
    told = [fact.fields for fact in stage.facts if fact.name in ("task_suspected", "tasks_suspected")]
    assert [(each["tasks"], each["end"]) for each in told] == [(2, "SIGSEGV")]


def test_one_that_ran_alone_in_whichever_lane_is_counted(stage: Stage) -> None:
    run(stage, "t:0", "t:1", crashes=1)
    BoardWriter(stage.board(0).words, SYSTEM_CLOCK).lane_at(1).rest()
    worker_ended(stage.pool, 0, SIGSEGV, 4.0)
    assert stage.suspects() == (("t:0", 2, "1 earlier, SIGSEGV"),)
    run(stage, "t:0", "t:1", slot=1, crashes=2)
    words = stage.board(1).words
    crashes = BoardWriter(words, SYSTEM_CLOCK)
    crashes.lane.rest()
    crashes.lane.note_crashes(2)
    worker_ended(stage.pool, 1, SIGSEGV, 4.0)
    assert stage.suspects()[-1] == ("t:1", 3, "2 earlier, SIGSEGV")


def test_where_a_worker_is_killed_for_one_attempt_that_one_alone_is_blamed(stage: Stage) -> None:
    run(stage, "t:0", "t:1", "t:2")
    sentence(stage, 1)
    worker_ended(stage.pool, 0, SIGKILL, 4.0)
    assert stage.suspects() == (("t:1", 1, "SIGKILL"),)


def test_a_task_past_its_timeout_is_told_so_with_the_stacks_of_its_worker(stage: Stage) -> None:
    run(stage, "t:0")
    lane = stage.board(0).read().lanes[0]
    blame = Stuck(Why.TASK, 1.0, is_overdue=True).blame(2.0)
    condemned = history.condemned(stage.pool.observed, 0, Condemned("stuck", 1.0, 2.0, lane, blame=blame))
    stage.pool.become(condemned.with_slot(0, is_killed=True))
    stacks = b'  File "mail.py", line 3 in handle_task\n'
    stage.board(0)._map[STACKS_AT_BYTE : STACKS_AT_BYTE + len(stacks)] = stacks
    worker_ended(stage.pool, 0, SIGKILL, 4.0)
    how = "killed, as it ran longer than its task_timeout of 2 s"
    assert stage.pool.suspects.told() == (("t:0", 1, how, stacks.decode()),)


def test_where_the_one_has_ended_before_the_kill_nobody_is_blamed(stage: Stage) -> None:
    run(stage, "t:0", "t:1", "t:2")
    sentence(stage, 1)
    BoardWriter(stage.board(0).words, SYSTEM_CLOCK).lane_at(1).run(Task(TaskId("t:3"), 3, "t", 0, 3, b""))
    worker_ended(stage.pool, 0, SIGKILL, 4.0)
    assert stage.suspects() == ()


def test_a_worker_that_crashes_before_its_kill_makes_suspects_of_all(stage: Stage) -> None:
    run(stage, "t:0", "t:1")
    sentence(stage, 1, is_killed=False)
    worker_ended(stage.pool, 0, SIGSEGV, 4.0)
    assert [task_id for task_id, *_ in stage.suspects()] == ["t:0", "t:1"]


def test_of_several_the_cancelled_one_alone_is_to_be_parked(stage: Stage) -> None:
    run(stage, "t:0", "t:1", "t:2")
    sentence(stage, 2, does_park=True)
    worker_ended(stage.pool, 0, SIGKILL, 4.0)
    [(task_id, crashes, ends)] = stage.suspects()
    assert (task_id, crashes, ends) == ("t:2", 3, CANCELLED_FOR_GOOD)
