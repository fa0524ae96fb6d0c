"""Where a claim begins to look."""

from __future__ import annotations

from consumerd.sources.table.turns.front import SHARE, SHORTEST_S, Front
from consumerd.testing.clock import ManualClock


def test_a_claim_begins_where_the_last_one_ended_until_it_is_time_for_a_whole_one() -> None:
    clock = ManualClock(0.0)
    front = Front(clock.monotonic)
    began_at = clock.monotonic()
    assert front.since() is None
    clock.advance(0.1)
    front.note(began_at, None, 50.0, is_full=True)
    assert front.since() == 50.0
    front.note(clock.monotonic(), 50.0, 60.0, is_full=True)
    assert front.since() == 60.0
    clock.advance(0.1 * SHARE - 0.01)
    assert front.since() == 60.0
    clock.advance(0.02)
    assert front.since() is None


def test_where_nothing_more_is_found_the_next_looks_at_everything() -> None:
    clock = ManualClock(0.0)
    front = Front(clock.monotonic)
    front.note(0.0, None, 50.0, is_full=True)
    front.note(0.0, 50.0, 51.0, is_full=False)
    assert front.since() is None


def test_rows_whose_claim_had_ended_say_nothing_of_those_that_wait() -> None:
    clock = ManualClock(0.0)
    front = Front(clock.monotonic)
    front.note(0.0, None, None, is_full=True)
    assert front.since() is None
    clock.advance(SHORTEST_S + 1)
    assert front.since() is None
