"""How many tasks a window has at hand: enough for its lanes, and no rows that others could run."""

from __future__ import annotations

import pytest

from consumerd.worker.window.ahead import MOST_AHEAD, Ahead


def settled(task_s: float) -> Ahead:
    """After a while in which so long a task came and went, all lanes taken together."""
    ahead, now = Ahead(), 0.0
    for _ in range(60):
        ahead.note_fetched(10, now)
        now += 10 * task_s
    return ahead


def test_at_first_it_fetches_hardly_more_than_can_run() -> None:
    assert Ahead().wants(0, 0, 100) == 102


@pytest.mark.parametrize("width", [2, 100])
def test_where_tasks_are_slow_none_waits_here_that_another_worker_could_run(width: int) -> None:
    ahead = settled(1.0)
    assert (ahead.wants(width, 0, width), ahead.wants(width + 1, 0, width)) == (2, 0)


@pytest.mark.parametrize(("width", "most"), [(2, MOST_AHEAD), (300, 300)])
def test_where_tasks_are_quick_a_fetch_brings_many(width: int, most: int) -> None:
    ahead = settled(1e-6)
    assert ahead.wants(0, 0, width) == width + 2 * most
    assert (ahead.wants(width + most, 0, width), ahead.wants(width + most - 1, 0, width)) == (0, most + 1)


def test_in_between_it_is_what_starts_within_a_twentieth_of_a_second() -> None:
    assert settled(0.0024).wants(0, 0, 8) == 8 + 2 * 20


def test_a_time_without_tasks_says_nothing_of_how_long_one_takes() -> None:
    ahead = settled(0.0024)
    ahead.note_fetched(0, 1_000.0)
    ahead.note_fetched(10, 2_000.0)
    assert ahead.wants(0, 0, 8) == 8 + 2 * 20


def test_nor_does_a_pause_hold_it_up_for_long() -> None:
    ahead, now = settled(0.001), 1_000.0
    for _ in range(20):
        ahead.note_fetched(10, now)
        now += 0.01
    assert ahead.wants(0, 0, 8) >= 8 + 2 * 40
