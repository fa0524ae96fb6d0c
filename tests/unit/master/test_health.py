"""What keeps a pool from being healthy, and what does not: on boards that no process writes."""

from __future__ import annotations

from consumerd.master.control.status import pool_document
from consumerd.wire.recent import KEPT, note_done, note_failed
from unit.master.test_hearing import NAME, Stage, stage

__all__ = ["stage"]


def problems(stage: Stage, now: float = 0.0) -> list[str]:
    found = pool_document(stage.pools, NAME, now)["problems"]
    assert isinstance(found, list)
    return found


def test_failures_in_a_row_are_a_problem_though_a_success_came_a_moment_before_and_their_worker_is_dead(
    stage: Stage,
) -> None:
    stage.up()
    note_done(stage.board(0).words, 1, 1.0)
    for _ in range(KEPT):
        note_failed(stage.board(0).words, 1.001)
    (problem,) = problems(stage)
    assert f"its last {KEPT} attempts have all failed" in problem
    stage.hearing.worker_ended(NAME, 0, 9, 2.0)
    assert any("attempts have all failed" in problem for problem in problems(stage))
    note_done(stage.board(1).words, 1, 3.0)
    assert not any("attempts have all failed" in problem for problem in problems(stage))
