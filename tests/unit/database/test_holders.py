"""When a stopped holder of a lock must go."""

from __future__ import annotations

from dataclasses import replace

from consumerd.database.holders import STOPPED_LIMIT_S, Sighting, Watch, must_go, watched

OURS = 1000
STOPPED = Sighting(pid=7, owner_uid=OURS, started_ticks=100, switches=5, is_stopped=True)
LATE = 50.0 + STOPPED_LIMIT_S


def test_a_holder_that_has_been_stopped_for_the_limit_must_go() -> None:
    assert must_go(Watch(STOPPED, 50.0), LATE, OURS)
    assert not must_go(Watch(STOPPED, 50.0), LATE - 0.1, OURS)


def test_a_holder_that_runs_may_stay_however_long() -> None:
    assert not must_go(Watch(replace(STOPPED, is_stopped=False), 50.0), 1e9, OURS)


def test_a_holder_of_another_user_is_never_killed() -> None:
    assert not must_go(Watch(STOPPED, 50.0), LATE, OURS + 1)


def test_nobody_must_go_where_nobody_holds() -> None:
    assert not must_go(watched(Watch(STOPPED, 50.0), None, LATE), LATE, OURS)


def test_the_time_runs_on_while_the_holder_stands_exactly_so() -> None:
    first = watched(None, STOPPED, 50.0)
    assert watched(first, STOPPED, 55.0) == Watch(STOPPED, 50.0)


def test_a_holder_that_ran_in_between_starts_anew() -> None:
    first = watched(None, STOPPED, 50.0)
    assert watched(first, replace(STOPPED, switches=6), 55.0) == Watch(replace(STOPPED, switches=6), 55.0)


def test_a_pid_that_was_used_again_is_another_holder() -> None:
    again = watched(Watch(STOPPED, 50.0), replace(STOPPED, started_ticks=900), LATE)
    assert not must_go(again, LATE, OURS)
