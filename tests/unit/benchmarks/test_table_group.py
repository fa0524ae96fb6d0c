"""The pace of several workers together."""

from __future__ import annotations

import pytest
from benchmarks.table_group import pace_of


def test_the_pace_is_of_what_lies_between_a_tenth_and_nine_tenths() -> None:
    slow_begin = [(0, 10)]
    steady = [((10 + step) * 1_000_000_000, 10) for step in range(8)]
    slow_end = [(100_000_000_000, 10)]
    assert pace_of([*slow_begin, *steady, *slow_end], 100) == pytest.approx(80 / 17)


def test_what_nobody_has_reached_has_no_pace() -> None:
    with pytest.raises(AssertionError):
        pace_of([(0, 10)], 100)
