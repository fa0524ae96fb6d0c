"""Which tasks are traced: a share of them, and no more than so many a second."""

from __future__ import annotations

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.worker.traces.sampler import Sampler

ANY_PACE = 1e9


@pytest.fixture(autouse=True)
def same_chance() -> None:
    random.seed(7)


def taken(sampler: Sampler, tasks: int, *, begin: float = 0.0, pace: float) -> int:
    """How many of so many tasks are traced that come at a pace."""
    return sum(sampler.takes(begin + number / pace) for number in range(tasks))


@pytest.mark.parametrize("share", [0.001, 0.01, 0.3, 1.0])
def test_a_share_of_the_tasks_is_traced(share: float) -> None:
    tasks = 100_000
    assert taken(Sampler(share, ANY_PACE, 0.0), tasks, pace=100.0) == pytest.approx(tasks * share, rel=0.3)


def test_many_tasks_are_traced_no_more_often_than_so_many_times_a_second() -> None:
    sampler = Sampler(1.0, 10.0, 0.0)
    assert taken(sampler, 10_000, pace=10_000.0) < 150  # of the first second, nobody knows how many come
    assert 20 < taken(sampler, 100_000, begin=1.0, pace=10_000.0) < 250


def test_after_a_rush_all_are_traced_again() -> None:
    sampler = Sampler(1.0, 10.0, 0.0)
    taken(sampler, 50_000, pace=10_000.0)
    taken(sampler, 10, begin=5.0, pace=5.0)
    assert taken(sampler, 20, begin=7.0, pace=5.0) == 20


@pytest.mark.parametrize("pace", [0.01, 5.0, 9.0])
def test_few_tasks_are_all_traced(pace: float) -> None:
    assert taken(Sampler(1.0, 10.0, 0.0), 200, pace=pace) == 200


@given(st.floats(0.001, 1.0), st.lists(st.integers(1, 300), max_size=50))
def test_what_passes_in_stretches_is_sampled_as_one_by_one(share: float, batches: list[int]) -> None:
    """A batch is gone through from one traced task to the next; each stretch ends before one, or with the batch."""
    sampler, seen = Sampler(share, ANY_PACE, 0.0), 0
    for size in batches:
        at = 0
        while at < size:
            stretch = min(size - at, sampler.left)
            sampler.pass_by(stretch)
            at += stretch
            assert sampler.left >= 0
            if at < size:
                assert sampler.left == 0
                assert sampler.takes(0.0)
                at += 1
        seen += size
    assert seen == sum(batches)
