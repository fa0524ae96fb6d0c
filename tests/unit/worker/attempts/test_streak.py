"""When tasks that die are taken for a fault of their consumer: by the loop, with time that moves by hand."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd import BaseConsumer, Dead
from consumerd.model.task import TaskId
from consumerd.testing.running import Run
from consumerd.wire.board import BoardFlag, Hold
from consumerd.worker.attempts.breaker import LONGEST_FAILING_S
from consumerd.worker.attempts.streak import Streak
from consumerd.worker.tasks.interrupts import Interrupt

LIMIT = 20


class Typo(BaseConsumer):
    """A record says how it fails; with `is_broken` each does, at one line."""

    SOURCE: ClassVar[str] = "memory"
    is_broken = True

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.tried: list[int] = []
        self.done: set[int] = set()

    def handle_task(self, offset: int, record: Any) -> object:
        self.tried.append(offset)
        if record == "given up":
            return Dead("it is banned")
        if self.is_broken or record == "bad":
            raise AttributeError(f"no such thing for {offset}")
        if record == "other":
            raise KeyError(offset)
        self.done.add(offset)
        return None


class OneByOne(Typo):
    def pre_handle_task(self) -> None:
        """One hook overridden, so that the fast loop is passed by."""


def run_of(records: list[str], consumer_class: type[Typo] = Typo, **configs: Any) -> Run:
    return Run(consumer_class, records, configs={"same_error_limit": LIMIT, **configs})


def until(run: Run, at_s: float) -> None:
    while run.clock.monotonic() < at_s:
        run.turn()


def broken_for(seconds: float, records: list[str], consumer_class: type[Typo] = Typo, **configs: Any) -> Run:
    run = run_of(records, consumer_class, **configs)
    until(run, run.clock.monotonic() + seconds)
    return run


@pytest.mark.parametrize("consumer_class", [Typo, OneByOne])
@pytest.mark.parametrize("retry_times", [0, 2])
def test_no_task_is_dead_for_an_error_that_all_have_and_few_are_tried(
    consumer_class: type[Typo], retry_times: int
) -> None:
    run = broken_for(600, ["ok"] * 500, consumer_class, task_retry_times=retry_times)
    assert run.dead() == {}
    assert LIMIT <= len(set(run.consumer.tried)) <= LIMIT + 600 / (0.5 * LONGEST_FAILING_S) + 10
    [told] = run.told("all_failed")
    assert "AttributeError" in str(told.fields["error"])
    assert run.board.read().flags == BoardFlag.ALL_FAILED

    run.consumer.is_broken = False
    until(run, run.clock.monotonic() + 300)
    assert run.consumer.done == set(range(500))
    assert run.store.rows == {}
    assert len(run.told("succeeded_again")) == 1
    assert run.board.read().flags == BoardFlag(0)


def test_a_task_that_waits_for_the_next_try_says_so_on_the_board() -> None:
    run = run_of(["ok"] * LIMIT)
    while not run.told("all_failed"):
        run.turn()
    run.turn()
    assert run.board.read().hold is Hold.ALL_FAILED


@pytest.mark.parametrize(
    "records",
    [
        ["bad"] * (LIMIT - 1) + ["ok"],
        (["bad"] * (LIMIT - 1) + ["ok"]) * 3,
        ["bad", "other"] * 100,
        (["bad"] * (LIMIT - 1) + ["given up"]) * 3,
        ["given up"] * 100,
    ],
    ids=["few", "some done in between", "two errors in turn", "a verdict in between", "verdicts"],
)
def test_tasks_that_die_of_their_own_errors_die(records: list[str]) -> None:
    run = run_of(records)
    run.consumer.is_broken = False
    run.until_idle()
    assert len(run.dead()) == len([record for record in records if record != "ok"])
    assert run.told("all_failed") == []
    assert len(run.consumer.tried) == len(records)


@pytest.mark.parametrize(
    "configs", [{"same_error_limit": 0}, {"dead_on": ["AttributeError"]}], ids=["turned off", "named in dead_on"]
)
def test_where_it_is_wanted_all_die(configs: dict[str, Any]) -> None:
    run = run_of(["ok"] * 100, **configs)
    run.until_idle()
    assert len(run.dead()) == 100


def test_with_deferred_retries_nothing_is_paused() -> None:
    run = run_of(["ok"] * 100, back_off_time=1000)
    run.until_idle()
    assert len(run.waiting()) == 100
    assert run.told("all_failed") == []


def test_poison_in_a_row_dies_when_the_tasks_behind_it_are_done() -> None:
    run = run_of(["bad"] * (LIMIT + 2) + ["ok"] * 50)
    run.consumer.is_broken = False
    until(run, run.clock.monotonic() + 400)
    assert len(run.consumer.done) == 50
    assert len(run.dead()) == LIMIT + 2
    assert len(run.told("all_failed")) == 1


def test_what_a_person_has_tried_again_is_no_streak() -> None:
    run = run_of(["bad"] * 10 + ["ok"] + ["bad"] * 10 + ["ok"] + ["bad"] * 10)
    run.consumer.is_broken = False
    run.until_idle()
    run.store.revive("test/consumer", list(run.store.rows))
    run.interrupts.set(Interrupt.PARKED_DUE)
    until(run, run.clock.monotonic() + 30)
    assert len(run.consumer.tried) == 62
    assert len(run.dead()) == 30
    assert run.told("all_failed") == []


@pytest.mark.parametrize("interrupt", [Interrupt.PAUSE, Interrupt.AMENDED])
def test_a_resume_or_a_reload_tries_all_at_once(interrupt: Interrupt) -> None:
    run = broken_for(60, ["ok"] * 500)
    run.consumer.is_broken = False
    run.interrupts.set(interrupt)
    began_at = run.clock.monotonic()
    until(run, began_at + 5)
    assert len(run.consumer.done) > 450


def test_the_dead_of_a_streak_are_tried_again_though_the_store_was_away() -> None:
    run = run_of(["ok"] * 100, max_unsettled=1)
    while len(run.consumer.tried) < LIMIT - 1:
        run.turn()
    run.store.is_away = True
    until(run, run.clock.monotonic() + 30)
    run.store.is_away = False
    until(run, run.clock.monotonic() + 60)
    assert run.dead() == {}


@given(st.lists(st.sampled_from(["a", "b", "a again", "b again", "done"]), max_size=80), st.integers(0, 5))
def test_a_streak_is_so_many_new_tasks_that_die_of_one_reason_and_nothing_else(ends: list[str], limit: int) -> None:
    streak, died, count, reason = Streak(limit), list[int](), 0, ""
    for number, end in enumerate(ends):
        if end == "done":
            streak.end()
            died, count = [], 0
            continue
        is_new = not end.endswith("again")
        told = streak.note_died(TaskId(str(number)), end[0], is_new=is_new)
        if is_new:
            count, reason = (count + 1 if end[0] == reason and count else 1), end[0]
        if is_new and limit and count == limit:
            assert told == [str(each) for each in died if ends[each][0] == end[0]]
            died, count = [], 0
        else:
            assert told is None
            died.append(number)
