"""Histograms on a board: what is noted is counted once, at the first bound that it did not exceed."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.model.outcome import DONE, SKIPPED, Dead, Expired, Outcome, Retry
from consumerd.wire.board import Board
from consumerd.wire.board_writer import BoardWriter
from consumerd.wire.figures import counters
from consumerd.wire.figures.counters import NOTHING, Counter, Sums, sums_in, together
from consumerd.wire.figures.histograms import BEHIND, CALLS, Counts, Histogram
from consumerd.wire.recent import FAILURES

NOTED = st.lists(st.tuples(st.integers(1, 1000), st.floats(0, 10_000)), max_size=20)


def noted(histogram: Histogram, found: list[tuple[int, float]]) -> Sums:
    board = Board.private()
    for times, together_s in found:
        histogram.note(board.words, times, together_s)
    sums, others = sums_in(board.words), [each for each in (CALLS, BEHIND) if each is not histogram]
    assert all(other.read(sums) == other.read(NOTHING) for other in others)
    board.close()
    return sums


def test_each_has_its_place_on_the_board() -> None:
    assert (CALLS.at, CALLS.end) == (0, BEHIND.at)
    assert counters.END <= FAILURES
    for histogram in (CALLS, BEHIND):
        assert sorted(histogram.bounds_s) == list(histogram.bounds_s)


@given(st.sampled_from([CALLS, BEHIND]), NOTED)
def test_each_is_counted_at_its_bound(histogram: Histogram, given: list[tuple[int, float]]) -> None:
    found = histogram.read(noted(histogram, given))
    assert sum(found.counts) == sum(times for times, _ in given)
    for bound, at_most in zip(histogram.bounds_s, range(1, len(found.counts)), strict=True):
        expected = sum(times for times, together_s in given if together_s / times <= bound)
        assert sum(found.counts[:at_most]) == expected
    assert abs(found.sum_s - sum(together_s for _, together_s in given)) < 1e-6


@given(NOTED, NOTED)
def test_those_of_several_workers_are_as_those_of_one(
    ours: list[tuple[int, float]], theirs: list[tuple[int, float]]
) -> None:
    found = CALLS.read(together([noted(CALLS, ours), noted(CALLS, theirs)]))
    expected = CALLS.read(noted(CALLS, ours + theirs))
    assert found.counts == expected.counts
    assert abs(found.sum_s - expected.sum_s) < 1e-6


def test_a_clock_apart_makes_no_task_early() -> None:
    board = Board.private()
    BoardWriter(board.words).note_behind(3, -5.0)
    assert BEHIND.read(sums_in(board.words)) == Counts((3, *BEHIND.read(NOTHING).counts[1:]), 0.0)


@pytest.mark.parametrize(
    ("outcome", "was_tried", "counter"),
    [
        (Retry(1.0), True, Counter.RETRIED),
        (Retry(1.0), False, Counter.PUT_OFF),
        (type("Ours", (Dead,), {})("no"), True, Counter.DEAD),
        (Expired("late"), True, Counter.EXPIRED),
        (DONE, True, None),
        (SKIPPED, True, None),
    ],
)
def test_each_outcome_is_counted_apart(outcome: Outcome, was_tried: bool, counter: Counter | None) -> None:
    board = Board.private()
    BoardWriter(board.words).note_outcome(outcome, was_tried=was_tried)
    assert [each.read(sums_in(board.words)) for each in Counter] == [int(each is counter) for each in Counter]


def test_batches_are_counted_with_their_tasks() -> None:
    board = Board.private()
    writer = BoardWriter(board.words)
    writer.note_batch(5)
    writer.note_batch(2)
    both = together([sums_in(board.words), sums_in(board.words)])
    assert (Counter.BATCHES.read(both), Counter.BATCHED.read(both)) == (4, 14)
