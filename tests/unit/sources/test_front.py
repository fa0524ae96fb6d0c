"""Where a claim begins to look."""

from __future__ import annotations

import pytest

from consumerd.database.claims import Place
from consumerd.sources.table.turns.front import SHARE, SHORTEST_S, Front
from consumerd.testing.clock import ManualClock

FIRST, SECOND = Place(50.0, 7), Place(60.0, 3)


@pytest.fixture
def clock() -> ManualClock:
    return ManualClock(0.0)


def test_a_claim_begins_where_the_last_one_ended_until_it_is_time_for_a_whole_one(clock: ManualClock) -> None:
    front = Front(clock.monotonic)
    began_at = clock.monotonic()
    assert front.since() is None
    clock.advance(0.1)
    front.note(began_at, None, FIRST, is_full=True)
    assert front.since() == FIRST
    front.note(clock.monotonic(), FIRST, SECOND, is_full=True)
    assert front.since() == SECOND
    clock.advance(0.1 * SHARE - 0.01)
    assert front.since() == SECOND
    clock.advance(0.02)
    assert front.since() is None


def test_where_nothing_more_is_found_the_next_looks_at_everything(clock: ManualClock) -> None:
    front = Front(clock.monotonic)
    front.note(clock.monotonic(), None, FIRST, is_full=True)
    front.note(clock.monotonic(), FIRST, SECOND, is_full=False)
    assert front.since() is None


def test_where_a_whole_look_takes_long_it_costs_a_twentieth_of_the_time_though_nothing_more_is_found(
    clock: ManualClock,
) -> None:
    front = Front(clock.monotonic)
    began_at = clock.monotonic()
    clock.advance(0.3)
    front.note(began_at, None, FIRST, is_full=True)
    front.note(clock.monotonic(), FIRST, SECOND, is_full=False)
    assert front.since() == SECOND
    clock.advance(0.3 * SHARE)
    assert front.since() is None


def test_where_as_many_claims_had_ended_as_were_wanted_the_next_looks_at_everything(clock: ManualClock) -> None:
    front = Front(clock.monotonic)
    front.note(clock.monotonic(), None, FIRST, is_full=True)
    clock.advance(SHORTEST_S)
    front.note(clock.monotonic(), None, None, is_full=True)
    assert front.since() is None
    front.note(clock.monotonic(), None, None, is_full=False)
    assert front.since() == FIRST
