"""Durations on a board: each call is counted once, at the first bound that it did not exceed."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consumerd.wire.board import IDENTITIES_WORD, Board
from consumerd.wire.board_writer import BoardWriter
from consumerd.wire.durations import BOUNDS_S, END, Durations, durations_in, together

CALLS = st.lists(st.tuples(st.integers(1, 1000), st.floats(0, 10_000)), max_size=20)


def noted(calls: list[tuple[int, float]]) -> Durations:
    board = Board.private()
    writer = BoardWriter(board.words)
    for count, took_s in calls:
        writer.note_calls(count, took_s)
    found = durations_in(board.words)
    del writer
    board.close()
    return found


def test_they_have_their_place_on_the_board() -> None:
    assert sorted(BOUNDS_S) == list(BOUNDS_S)
    assert END <= 576 < IDENTITIES_WORD


@given(CALLS)
def test_every_call_is_counted_at_its_bound(calls: list[tuple[int, float]]) -> None:
    found = noted(calls)
    assert sum(found.counts) == sum(count for count, _ in calls)
    for bound, at_most in zip(BOUNDS_S, range(1, len(found.counts)), strict=True):
        expected = sum(count for count, took_s in calls if took_s / count <= bound)
        assert sum(found.counts[:at_most]) == expected
    assert abs(found.sum_s - sum(took_s for _, took_s in calls)) < 1e-6


@given(CALLS, CALLS)
def test_those_of_several_workers_are_as_those_of_one(
    ours: list[tuple[int, float]], theirs: list[tuple[int, float]]
) -> None:
    found, expected = together([noted(ours), noted(theirs)]), noted(ours + theirs)
    assert found.counts == expected.counts
    assert abs(found.sum_s - expected.sum_s) < 1e-6
