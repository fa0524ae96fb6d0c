"""What keeps a pool from being healthy, and what does not: on boards that no process writes."""

from __future__ import annotations

import json

import msgspec
import pytest

from consumerd import events
from consumerd.errors import SourceRefusedError
from consumerd.master.control.problems import OF_FLAGS, SLOW_START_S
from consumerd.master.control.status import pool_status
from consumerd.master.pools.worker_messages import worker_ended
from consumerd.master.rules import history
from consumerd.master.rules.restart import PROVEN_AFTER_S
from consumerd.model.identity import ConsumerName
from consumerd.model.outcome import Dead
from consumerd.model.slots import PoolState, SlotState
from consumerd.testing.clock import ManualClock
from consumerd.verbs.parked.methods import unrun
from consumerd.wire.board import ANSWERED, FLAGS, BoardFlag
from consumerd.wire.board_writer import BoardWriter
from consumerd.wire.messages import Lag, Loaded, Reported
from consumerd.wire.method import read_answer
from consumerd.wire.problems import ProblemKind
from consumerd.wire.recent import KEPT
from consumerd.wire.status import PoolStatus
from unit.master.pools.test_messages import Stage, stage

__all__ = ["stage"]


def problems(stage: Stage, now: float = 0.0) -> list[str]:
    return pool_status(stage.pool, now).problems


def test_a_status_is_read_as_it_was_made(stage: Stage) -> None:
    stage.up()
    stage.board(1).words[FLAGS] = BoardFlag.STORE_AWAY | BoardFlag.SOURCE_AWAY
    stage.worker_says(0, Lag(((3, 7, None, 20),)))
    stage.worker_says(0, Reported("hook_failed", "error", {"error": "no"}))
    worker_ended(stage.pool, 0, 9, 2.0)
    made = pool_status(stage.pool, 3.0)
    answer = json.loads(json.dumps(msgspec.to_builtins(made)))
    assert json.loads(json.dumps(msgspec.to_builtins(read_answer(answer, PoolStatus, "status")))) == answer
    assert made.problems
    assert made.workers[0].handled is msgspec.UNSET


def test_whatever_an_event_calls_away_is_a_problem_of_a_kind_or_none() -> None:
    assert {event.away for event in events.DECLARED} - {"", "standby"} == set(OF_FLAGS)


def test_a_problem_has_its_kind_beside_its_sentence(stage: Stage) -> None:
    stage.up()
    stage.worker_says(1, Reported("source_away", "error", {"error": "refused"}))
    worker_ended(stage.pool, 0, 9, 2.0)
    status = pool_status(stage.pool, 3.0)
    assert [problem.kind for problem in status.wrong] == [ProblemKind.SOURCE_AWAY, ProblemKind.TOO_FEW_UP]
    assert [problem.sentence for problem in status.wrong] == status.problems


def test_rows_that_the_database_refuses_to_settle_are_a_problem_until_it_takes_them(stage: Stage) -> None:
    stage.up()
    stage.worker_says(1, Reported("settling_stalled", "error", {"error": "the database refuses to settle tasks:3: no"}))
    (problem,) = pool_status(stage.pool, 3.0).wrong
    assert problem.kind is ProblemKind.UNSETTLED
    assert problem.sentence.endswith("the database refuses to settle tasks:3: no")
    stage.worker_says(1, Reported("settling_went_on", "info", {}))
    assert not problems(stage)


def test_failures_in_a_row_are_a_problem_though_a_success_came_a_moment_before_and_their_worker_is_dead(
    stage: Stage,
) -> None:
    stage.up()
    clock = ManualClock()
    failing, succeeding = (BoardWriter(stage.board(slot).words, clock) for slot in (0, 1))
    failing.note_done(1)
    clock.advance(0.001)
    for _ in range(KEPT):
        failing.note_outcome(Dead("no"), was_tried=True)
    (problem,) = problems(stage)
    assert f"its last {KEPT} new tasks have all failed" in problem
    worker_ended(stage.pool, 0, 9, 2.0)
    assert any("new tasks have all failed" in problem for problem in problems(stage))
    clock.advance(2.0)
    succeeding.note_done(1)
    assert not any("new tasks have all failed" in problem for problem in problems(stage))


def test_failures_in_a_row_of_rows_are_not_sought_among_what_is_parked(stage: Stage) -> None:
    stage.up()
    failing = BoardWriter(stage.board(0).words, ManualClock())
    for _ in range(KEPT):
        failing.note_outcome(Dead("no"), was_tried=True)
    assert problems(stage) == [f"g/a: its last {KEPT} new tasks have all failed: see consumerd parked list"]
    stage.pool.note_loaded(1, Loaded("table", {"durable_defer": True}))
    (problem,) = problems(stage)
    assert "see consumerd events; what is to be tried again waits in its row" in problem


def test_a_worker_whose_source_never_answers_is_a_problem_in_time_and_one_that_waits_for_tasks_is_none(
    stage: Stage,
) -> None:
    stage.up()
    assert problems(stage, 3600.0) == []
    stage.board(1).words[ANSWERED] = 0
    assert problems(stage, SLOW_START_S - 1) == []
    (problem,) = problems(stage, SLOW_START_S)
    assert "the source has not answered worker 1 for 15 s" in problem


def test_a_slot_that_is_refused_again_and_again_is_a_problem_also_while_its_next_worker_tries(stage: Stage) -> None:
    stage.up()
    stage.board(0).words[ANSWERED] = 0
    refused = Reported("consume_failed", "error", {"error": "there is no topic logn"})
    stage.worker_says(0, refused)
    worker_ended(stage.pool, 0, SourceRefusedError.exit_code << 8, 10.0)
    stage.fork(0, 12.0)
    stage.board(0).words[ANSWERED] = 0
    (problem,) = problems(stage, 13.0)
    assert "worker 0 dies before it can do anything" in problem
    assert "there is no topic logn" in problem
    stage.board(0).words[ANSWERED] = 1
    assert problems(stage, 12.0 + PROVEN_AFTER_S) == []


def test_a_pool_is_starved_until_its_query_gives_something_again(stage: Stage) -> None:
    stage.up()
    stage.worker_says(1, Reported("starved", "warning", {"advice": "the query returns only rows that are parked"}))
    (problem,) = problems(stage)
    assert problem.startswith("g/a: it has handled nothing since ")
    assert problem.endswith(" UTC, for the query returns only rows that are parked")
    stage.worker_says(1, Reported("fed", "info", {}))
    assert problems(stage) == []


def test_a_pause_is_a_problem_once_what_waits_grows_behind_it(stage: Stage) -> None:
    stage.up()
    stage.worker_says(0, Lag(((0, 900, None, 0),)))
    stage.pool.is_paused = True
    stage.worker_says(0, Lag(((0, 10, None, 0), (1, 5, None, 0))))
    assert problems(stage) == []
    stage.worker_says(0, Lag(((0, 10, None, 0), (1, 6, None, 0))))
    assert problems(stage) == ["g/a: it is paused, and 16 tasks wait, 15 when it was: consumerd resume g/a"]
    stage.pool.is_paused = False
    assert problems(stage) == []
    stage.worker_says(0, Lag(((0, 900, None, 0),)))
    stage.pool.is_paused = True
    assert problems(stage) == []


@pytest.mark.parametrize("how", ["paused", "failed", "finished", "stopping"])
def test_a_pool_that_runs_nothing_says_why_and_what_to_do(stage: Stage, how: str) -> None:
    stage.up()
    assert unrun(stage.pools, ()) == {}
    if how == "paused":
        stage.pool.is_paused = True
    elif how == "stopping":
        stage.pool.remove(1.0)
    else:
        for slot in (0, 1):
            status = 10 << 8 if how == "finished" else 9
            worker_ended(stage.pool, slot, status, 1.0)
        if how == "failed":
            stage.pool.become(history.failed(stage.pool.observed, 1.0, reason="no", traceback=""))
            assert stage.pool.observed.state is PoolState.FAILED
        else:
            assert stage.pool.observed.slots[0].state is SlotState.FINISHED
    assert f"g/a {'is' if how in ('paused', 'stopping') else 'has'} {how}" in unrun(stage.pools, ())["g/a"]


def test_a_failed_pool_of_which_a_worker_runs_on_runs_what_is_retried_and_a_disabled_one_does_not(stage: Stage) -> None:
    stage.up()
    worker_ended(stage.pool, 0, 9, 1.0)
    stage.pool.become(history.failed(stage.pool.observed, 1.0, reason="no", traceback=""))
    assert list(unrun(stage.pools, [ConsumerName("g", "b")])) == ["g/b"]
