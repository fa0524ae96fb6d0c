"""What deaths say of tasks."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from consumerd.master.host.memory import OomKills
from consumerd.master.rules.suspects import (
    KEPT_S,
    KILLS_A_CRASH,
    MOST,
    MOST_STACKS,
    STACKS_CHARACTERS,
    Suspects,
    Verdict,
    is_excused,
    judge,
)
from consumerd.model.exits import WorkerExit
from consumerd.model.slots import MOST_LANES
from consumerd.model.task import TaskId

TASK = TaskId("t:1")
NOW = 10_000.0
SIGKILL, SIGSEGV = -int(signal.SIGKILL), -int(signal.SIGSEGV)


def verdict(
    code: int | None, *, is_asked: bool = False, is_ours: bool = False, is_out_of_memory: bool = False
) -> Verdict:
    return judge(code, is_asked=is_asked, is_ours=is_ours, is_out_of_memory=is_out_of_memory)


@pytest.mark.parametrize("code", [SIGSEGV, -int(signal.SIGABRT), 1, 3, 137, WorkerExit.DRAINED, WorkerExit.FINISHED])
def test_fatal_signals_and_exits_count_also_while_the_worker_is_to_leave(code: int) -> None:
    assert verdict(code) is verdict(code, is_asked=True) is Verdict.CRASH


def test_a_kill_counts_when_it_was_ours_for_a_timeout_or_the_kernels_for_memory() -> None:
    assert verdict(SIGKILL, is_ours=True) is verdict(SIGKILL, is_out_of_memory=True) is Verdict.CRASH
    assert verdict(SIGKILL) is verdict(None) is verdict(-int(signal.SIGTERM)) is Verdict.KILL


def test_a_stop_of_ours_says_nothing_and_neither_does_a_worker_that_ends_of_its_own_accord() -> None:
    assert verdict(SIGKILL, is_asked=True) is Verdict.NOTHING
    for code in (
        WorkerExit.DEADLINE_PASSED,
        WorkerExit.MASTER_GONE,
        WorkerExit.SOURCE_REFUSED,
        WorkerExit.SYSTEM_REFUSED,
        WorkerExit.BUG,
    ):
        assert verdict(code) is Verdict.NOTHING


def after(suspects: Suspects, *deaths: tuple[Verdict, str], known: int = 0) -> Suspects:
    for what, how in deaths:
        suspects = suspects.after(TASK, what, how, NOW, known=known)
    return suspects


def told(suspects: Suspects) -> tuple[tuple[str, int, str], ...]:
    """Without the stacks."""
    return tuple(each[:3] for each in suspects.told())


CRASH, KILL = (Verdict.CRASH, "SIGSEGV"), (Verdict.KILL, "SIGKILL")


def test_crashes_are_counted_with_how_they_were() -> None:
    suspects = after(Suspects(), CRASH, CRASH, (Verdict.CRASH, "exit 3"), (Verdict.NOTHING, "drained"))
    assert told(suspects) == ((TASK, 3, "2 × SIGSEGV, exit 3"),)


def test_kills_from_elsewhere_count_a_tenth_and_make_a_suspect_all_the_same() -> None:
    suspects = after(Suspects(), KILL)
    assert told(suspects) == ((TASK, 0, "SIGKILL"),)
    assert told(after(suspects, *[KILL] * (KILLS_A_CRASH - 1))) == ((TASK, 1, "10 × SIGKILL"),)


def test_a_task_that_came_to_an_end_begins_anew() -> None:
    suspects = after(after(Suspects(), CRASH, CRASH).without(TASK), CRASH)
    assert suspects.deaths[TASK].counted == 1


def test_what_the_dead_worker_knew_from_the_store_counts_once() -> None:
    suspects = after(Suspects(), CRASH, known=2)
    assert told(suspects) == ((TASK, 3, "2 earlier, SIGSEGV"),)
    assert told(after(suspects, CRASH, known=3)) == ((TASK, 4, "2 earlier, 2 × SIGSEGV"),)


def test_not_more_are_kept_than_workers_can_be_told_and_the_worst_stay() -> None:
    suspects = after(Suspects(), CRASH)
    for number in range(2 * MOST):
        suspects = suspects.after(TaskId(f"innocent {number}"), Verdict.KILL, "SIGKILL", NOW, known=0)
    assert len(suspects.deaths) == MOST
    assert TASK in suspects.deaths


def test_a_death_beside_others_makes_a_suspect_and_counts_for_nobody() -> None:
    suspects = Suspects()
    for task_id in (TASK, TaskId("t:2")):
        suspects = suspects.after(task_id, *CRASH, NOW, known=0, is_alone=False)
    assert told(suspects) == ((TASK, 0, "SIGSEGV beside others"), ("t:2", 0, "SIGSEGV beside others"))
    assert told(after(suspects, CRASH, CRASH))[-1] == (TASK, 2, "SIGSEGV beside others, 2 × SIGSEGV")


def test_all_that_one_worker_can_run_at_once_are_kept() -> None:
    suspects = Suspects()
    for number in range(MOST_LANES):
        suspects = suspects.after(TaskId(f"{number}"), *CRASH, NOW, known=0, is_alone=False)
    assert len(suspects.deaths) == MOST_LANES


def test_one_that_killed_nobody_for_an_hour_is_forgotten() -> None:
    suspects = after(Suspects(), CRASH)
    other = TaskId("t:2")
    assert set(suspects.after(other, *CRASH, NOW + KEPT_S - 1, known=0).deaths) == {TASK, other}
    assert set(suspects.after(other, *CRASH, NOW + KEPT_S, known=0).deaths) == {other}


def test_only_a_known_suspect_below_its_limit_excuses_a_death() -> None:
    known = after(Suspects(), CRASH, CRASH).deaths[TASK]
    assert is_excused(known, Verdict.CRASH, known=0, crash_limit=3)
    assert is_excused(None, Verdict.CRASH, known=1, crash_limit=3)
    assert not is_excused(None, Verdict.CRASH, known=0, crash_limit=3)
    assert not is_excused(known, Verdict.CRASH, known=0, crash_limit=2)
    assert not is_excused(known, Verdict.NOTHING, known=0, crash_limit=3)


def test_each_kill_for_memory_is_claimed_once(tmp_path: Path) -> None:
    events = tmp_path / "memory.events"
    events.write_text("low 0\nmax 7\noom 4\noom_kill 2\n")
    kills = OomKills(events)
    assert not kills.claim()
    events.write_text("low 0\nmax 7\noom 4\noom_kill 4\n")
    assert [kills.claim() for _ in range(3)] == [True, True, False]


def test_where_nobody_can_read_the_counter_nothing_is_claimed(tmp_path: Path) -> None:
    assert not OomKills(tmp_path / "nothing").claim()


def test_the_stacks_of_a_task_that_did_not_end_are_kept_over_other_deaths_and_told_of_the_last_few() -> None:
    suspects = after(Suspects().after(TASK, Verdict.CRASH, "killed", NOW, known=0, stacks="in hang"), CRASH)
    assert suspects.told()[0] == (TASK, 2, "killed, SIGSEGV", "in hang")
    for number in range(MOST_STACKS):
        suspects = suspects.after(TaskId(f"u:{number}"), Verdict.CRASH, "killed", NOW, known=0, stacks="x" * 99_999)
    lengths = [len(suspect.stacks) for suspect in suspects.told()]
    assert lengths[0] == 0, "each worker is told all of it"
    assert len(lengths) == MOST_STACKS + 1
    assert all(length == STACKS_CHARACTERS for length in lengths[1:])
