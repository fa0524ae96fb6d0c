"""When a pool counts as one in which everything fails."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from consumerd.master.rules.streak import FAILURES_IN_A_ROW, Streak


def test_a_success_ends_a_streak_and_other_code_does() -> None:
    streak = Streak().after(handled=5, failed=3).after(handled=5, failed=3 + FAILURES_IN_A_ROW)
    assert streak.failures == FAILURES_IN_A_ROW
    assert streak.after(handled=6, failed=30).failures == 0
    assert streak.ended().failures == 0
    assert streak.ended().after(handled=5, failed=3 + 2 * FAILURES_IN_A_ROW).failures == FAILURES_IN_A_ROW


@given(st.lists(st.booleans(), max_size=200))
def test_it_is_never_longer_than_it_was(successes: list[bool]) -> None:
    streak, handled, failed, in_a_row = Streak(), 0, 0, 0
    for is_success in successes:
        handled, failed, in_a_row = handled + is_success, failed + (not is_success), 0 if is_success else in_a_row + 1
        streak = streak.after(handled=handled, failed=failed)
        assert streak.failures == (in_a_row if in_a_row >= FAILURES_IN_A_ROW else 0)
