"""Figures over time, in a fixed amount of memory."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from consumerd.dashboard.history import UNKNOWN, Figure, History, Ring, quantile

SIZE = 6
WIDTH = len(Figure)


def values(number: float) -> list[float]:
    return [number] * WIDTH


def shown(found: list[float]) -> list[float | None]:
    return [None if math.isnan(value) else value for value in found]


@given(st.lists(st.tuples(st.integers(1, 40), st.integers(0, 1000))), st.integers(1, 60), st.integers(1, 2 * SIZE))
def test_a_ring_has_what_was_noted_in_its_last_steps_and_nothing_else(
    noted: list[tuple[int, int]], until: int, count: int
) -> None:
    ring, model, last = Ring(SIZE), dict[int, float](), 0
    for step, number in noted:
        ring.note(step, values(number))
        if step > last:
            model[step], last = float(number), step
    wanted = [model.get(step) if step > last - SIZE else None for step in range(until - count + 1, until + 1)]
    assert shown(ring.values(Figure.RATE, until, count)) == wanted


@given(st.lists(st.integers(1, 10_000_000)))
def test_a_ring_stays_as_large_as_it_is_and_is_quick_over_gaps(steps: list[int]) -> None:
    floats = [UNKNOWN] * (SIZE * WIDTH)
    ring = Ring(SIZE, floats)
    for step in steps:
        ring.note(step, values(1.0))
    assert len(floats) == SIZE * WIDTH


def test_a_ring_over_what_somebody_kept_goes_on_where_that_ended() -> None:
    floats = [UNKNOWN] * (SIZE * WIDTH)
    before = Ring(SIZE, floats)
    before.note(10, values(1.0))
    after = Ring(SIZE, floats, last=10)
    after.note(12, values(3.0))
    assert shown(after.values(Figure.P99_S, 12, 3)) == [1.0, None, 3.0]


def test_it_is_known_when_figures_begin_as_long_as_they_are_not_full() -> None:
    ring = Ring(SIZE)
    history = History(10.0, SIZE, lambda name: ring)
    assert (history.known_steps("a/b", 1000.0), history.begun("a/b", 1000.0)) == (0, 1000.0)
    history._ring_of("a/b")
    ring.note(98, values(1.0))
    ring.note(100, values(1.0))
    assert (history.known_steps("a/b", 1000.0), history.begun("a/b", 1000.0)) == (3, 980.0)
    for step in range(101, 101 + SIZE):
        ring.note(step, values(1.0))
    assert history.begun("a/b", (100.0 + SIZE) * 10.0) is None


BOUNDS = [0.1, 1.0, 10.0]


@given(st.lists(st.integers(0, 100), min_size=4, max_size=4), st.floats(0.01, 1.0))
def test_a_quantile_lies_in_the_bucket_that_holds_its_place(counts: list[int], share: float) -> None:
    found = quantile(BOUNDS, counts, share)
    if not sum(counts):
        assert math.isnan(found)
        return
    place = share * sum(counts)
    bucket = next(index for index in range(4) if sum(counts[: index + 1]) >= place or index == 3)
    assert (0.0, *BOUNDS)[bucket] <= found <= (*BOUNDS, 10.0)[bucket] + 1e-9


def test_counts_of_a_master_that_began_anew_tell_nothing() -> None:
    assert math.isnan(quantile(BOUNDS, [1, -3, 5, 0], 0.5))
