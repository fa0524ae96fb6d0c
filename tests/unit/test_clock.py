"""How far another clock is ahead, as far as a question and its answer can tell."""

from __future__ import annotations

import pytest

from consumerd.clock import ahead_s


@pytest.mark.parametrize(
    ("told", "ahead"), [(10.0, 0.0), (11.5, 0.0), (12.0, 0.0), (312.0, 300.0), (9.5, -0.5)], ids=str
)
def test_what_may_be_the_time_of_the_way_is_not_taken_for_a_clock_that_is_apart(told: float, ahead: float) -> None:
    assert ahead_s(told, 10.0, 12.0) == ahead
