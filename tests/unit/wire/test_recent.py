"""Of which tasks of a pool's workers the last ones failed, whoever had them."""

from __future__ import annotations

import os

from hypothesis import given
from hypothesis import strategies as st

from consumerd.model.outcome import Dead
from consumerd.testing.clock import ManualClock
from consumerd.wire.board import Board
from consumerd.wire.board_writer import BoardWriter
from consumerd.wire.recent import KEPT, Recent, recent_in, together

WORKERS = 3


def board() -> Board:
    made, fd = Board.create()
    os.close(fd)
    return made


@given(st.lists(st.tuples(st.integers(0, WORKERS - 1), st.booleans()), max_size=150))
def test_the_failures_in_a_row_are_known_whichever_worker_had_them(tasks: list[tuple[int, bool]]) -> None:
    boards, clock = [board() for _ in range(WORKERS)], ManualClock()
    writers = [BoardWriter(each.words, clock) for each in boards]
    in_a_row, handled, failed = 0, 0, 0
    for worker, is_success in tasks:
        clock.advance(1.0)
        if is_success:
            writers[worker].note_done(1)
        else:
            writers[worker].note_outcome(Dead("no"), was_tried=True)
        in_a_row = 0 if is_success else in_a_row + 1
        handled, failed = handled + is_success, failed + (not is_success)
    counted = len(together(recent_in(each.words) for each in boards).failed_ns)
    assert min(counted, KEPT) == min(in_a_row, KEPT)
    readings = [each.read() for each in boards]
    assert (sum(each.handled for each in readings), sum(each.failed for each in readings)) == (handled, failed)


def test_the_failures_of_one_worker_are_no_streak_while_another_has_successes() -> None:
    failing, succeeding = Recent(1, tuple(range(2, 2 + KEPT))), Recent(2 + KEPT)
    assert together([failing, succeeding]).failed_ns == ()
    assert len(together([failing, Recent(1)]).failed_ns) == KEPT
