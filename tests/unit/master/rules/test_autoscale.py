"""Autoscaling on a model of workers: bursts are worked off in time, and nothing swings to and fro."""

from __future__ import annotations

import itertools
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from consumerd.config.keys.worker_range import WorkerRange
from consumerd.master.rules.autoscale import Judgement, Measurement, interrupted, judge, quiet_s, rest_s
from simulations import plot
from simulations.autoscaling import LOOK_EVERY_S, START_S, Load, Run, Workers, bursts, days, noise, simulate

PLOT = Path(__file__).parents[4] / "docs" / "plots" / "autoscale.svg"
BOUNDS = WorkerRange(min=1, max=20, target_seconds=30.0)
HOUR_S = 3600.0


def assert_sound(run: Run, bounds: WorkerRange) -> None:
    """Never outside the bounds; rests between changes; no up, down, up in short order."""
    assert all(bounds.min <= moment.workers <= bounds.max for moment in run.moments)
    for (earlier_at, _, _), (at, before, after) in itertools.pairwise(run.changes):
        assert at - earlier_at >= (rest_s(bounds) if after > before else quiet_s(bounds))


def peak(run: Run) -> int:
    return max(moment.workers for moment in run.moments)


def test_a_burst_is_worked_off_within_the_target_and_what_it_takes_to_see_it() -> None:
    run = simulate(bursts(900, 3000, base=5), BOUNDS, Workers(rate=10, number=1), seconds=2 * HOUR_S)
    assert_sound(run, BOUNDS)
    within_s = 5 + 3 * LOOK_EVERY_S + START_S + BOUNDS.target_seconds
    for burst_at in range(100, int(2 * HOUR_S), 900):
        after = [moment for moment in run.moments if burst_at + within_s <= moment.at < burst_at + 900]
        assert max(moment.backlog for moment in after) < 5 * BOUNDS.target_seconds
    assert len(run.changes) <= 6 * 8
    assert peak(run) < BOUNDS.max
    assert run.moments[-1].workers == BOUNDS.min


def test_the_number_follows_the_day() -> None:
    run = simulate(days(4 * HOUR_S, most=100), BOUNDS, Workers(rate=10, number=1), seconds=8 * HOUR_S)
    assert_sound(run, BOUNDS)
    assert 11 <= peak(run) <= 16
    nights = [moment.workers for moment in run.moments if abs(moment.at - 4 * HOUR_S) < 60]
    assert max(nights) <= 3
    assert max(moment.backlog for moment in run.moments) < 100 * BOUNDS.target_seconds
    assert len(run.changes) <= 2 * 2 * 18


@pytest.mark.parametrize("seed", range(3))
def test_noise_moves_the_number_seldom(seed: int) -> None:
    run = simulate(noise(40, seed), BOUNDS, Workers(rate=10, number=1), seconds=4 * HOUR_S, seed=seed)
    assert_sound(run, BOUNDS)
    settled = [change for change in run.changes if change[0] > 600]
    assert len(settled) <= 4 * 12
    assert max(moment.backlog for moment in run.moments if moment.at > 600) < 60 * BOUNDS.target_seconds


def test_a_handler_of_minutes_gets_as_many_workers_as_it_has_tasks_and_keeps_them() -> None:
    run = simulate(bursts(1e9, 12, base=0), BOUNDS, Workers(rate=1 / 120, number=1), seconds=400)
    assert_sound(run, BOUNDS)
    assert 8 <= peak(run) <= sum(moment.arrivals for moment in run.moments)


def test_partitions_limit_what_helps_and_the_reason_says_so() -> None:
    workers = Workers(rate=10, number=2, shards=4)
    run = simulate(lambda at: 75, BOUNDS, workers, seconds=600)
    assert_sound(run, BOUNDS)
    assert peak(run) == 4
    assert ", 4 help: its source has 4 partitions" in run.last.reason
    assert run.last.needed > 7


def test_a_handler_that_becomes_faster_loses_its_workers_within_hours() -> None:
    workers = Workers(rate=10, number=1)
    simulate(lambda at: 100, BOUNDS, workers, seconds=HOUR_S)
    assert workers.number >= 10
    workers.rate = 100
    run = simulate(lambda at: 100, BOUNDS, workers, seconds=6 * HOUR_S)
    assert workers.number <= 4
    assert_sound(run, BOUNDS)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_whatever_comes_it_stays_within_its_bounds_and_does_not_thrash(data: st.DataObject) -> None:
    fewest = data.draw(st.integers(1, 5))
    bounds = WorkerRange(
        min=fewest, max=data.draw(st.integers(fewest, 40)), target_seconds=data.draw(st.floats(1, 300))
    )
    shards = data.draw(st.none() | st.integers(1, 10))
    workers = Workers(rate=data.draw(st.floats(0.01, 200)), number=bounds.min, shards=shards)
    levels = data.draw(st.lists(st.floats(0, 2000), min_size=1, max_size=10))
    run = simulate(steps(levels), bounds, workers, seconds=600, seed=data.draw(st.integers(0, 99)))
    assert_sound(run, bounds)
    if shards is not None:
        assert peak(run) <= max(shards, bounds.min)


def steps(levels: list[float]) -> Load:
    return lambda at: levels[int(at / 60) % len(levels)]


# Looks by hand


def looked(*looks: Measurement, bounds: WorkerRange = BOUNDS) -> Judgement:
    judgement: Judgement | None = None
    for look in looks:
        judgement = judge(judgement, look, bounds)
    assert judgement is not None
    return judgement


def at(
    seconds: float, *, workers: int = 2, behind: int = 0, finished: int = 0, oldest_s: float | None = None
) -> Measurement:
    return Measurement(seconds, workers, workers, finished, behind, oldest_s)


def test_more_are_wanted_when_two_looks_in_a_row_ask_for_them() -> None:
    looks = (at(0, behind=4000), at(10, behind=3900, finished=100), at(20, behind=3800, finished=200))
    assert looked(*looks[:2]).wanted == 2
    after = looked(*looks)
    assert after.wanted == 20
    assert after.reason == "26 workers wanted, 20 are allowed: 3800 tasks behind, 0/s come in, a worker does 5/s"


def test_what_is_late_already_is_not_looked_at_twice() -> None:
    assert looked(at(0, behind=400), at(10, behind=300, finished=100, oldest_s=31.0)).wanted == 2
    assert looked(at(0, behind=900), at(10, behind=800, finished=100, oldest_s=31.0)).wanted == 6


def test_no_more_workers_are_wanted_than_there_are_tasks() -> None:
    looks = [at(10 * number, behind=5) for number in range(4)]
    assert looked(*looks).wanted == 5


def test_what_nobody_has_looked_at_for_a_while_is_not_measured() -> None:
    before = looked(at(0, behind=4000), at(10, behind=3900, finished=100))
    after = judge(interrupted(before), at(500, behind=9000, finished=100), BOUNDS)
    assert (after.rate, after.arrivals, after.wanted) == (before.rate, (), 2)


def test_a_number_outside_of_the_bounds_is_mended_at_once() -> None:
    assert looked(at(0, workers=30)).wanted == 20
    assert looked(at(0, workers=2), bounds=WorkerRange(min=3, max=9, target_seconds=30.0)).wanted == 3


def test_idle_workers_go_by_halves_each_after_a_quiet_time() -> None:
    judgement, workers, numbers = None, 16, []
    for number in range(60):
        judgement = judge(judgement, at(10 * number, workers=workers), BOUNDS)
        if judgement.wanted != workers:
            numbers.append((10 * number, judgement.wanted))
            workers = judgement.wanted
    assert [number for _, number in numbers] == [8, 4, 2, 1]
    assert all(later - earlier >= quiet_s(BOUNDS) for (earlier, _), (later, _) in itertools.pairwise(numbers))


def test_the_picture_in_the_manual_is_current() -> None:
    drawn = plot.svg(plot.simulated())
    assert PLOT.read_text() == drawn, (
        "draw it anew: PYTHONPATH=tests python -m simulations.plot > docs/plots/autoscale.svg"
    )
