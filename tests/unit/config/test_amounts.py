"""Numbers look the same wherever people read them, and take little room."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.config.amounts import count, duration, rate, size


@pytest.mark.parametrize(
    ("number", "text"),
    [
        *((0, "0"), (0.25, "0.25"), (12.34, "12.3"), (99.96, "100"), (1234, "1,234"), (99_999.6, "100 k")),
        *((123_456, "123 k"), (999_700, "1 M"), (4.5e6, "4.5 M"), (2e9, "2 G"), (3e12, "3 T")),
    ],
)
def test_counts_are_short(number: float, text: str) -> None:
    assert count(number) == text


@given(st.floats(0.01, 9e14) | st.integers(0, 10**14))
def test_no_count_is_wider_than_its_column(number: float) -> None:
    assert len(count(number)) <= 6


def test_a_rate_is_never_below_nothing() -> None:
    assert [rate(number) for number in (-1.0, 0.25, 1234)] == ["0/s", "0.25/s", "1,234/s"]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        *((-3.0, "0 s"), (0.0, "0 s"), (2.1e-6, "2.1 µs"), (0.000_999_7, "1 ms"), (0.0015, "1.5 ms")),
        *((0.3, "300 ms"), (0.9997, "1.0 s"), (2.5, "2.5 s"), (9.96, "10 s"), (75, "75 s"), (720, "12 min")),
        *((7_200, "2 h"), (4 * 86_400, "4 d")),
    ],
)
def test_durations_are_short(seconds: float, text: str) -> None:
    assert duration(seconds) == text


def test_sizes_are_written_as_the_configuration_has_them() -> None:
    assert [size(each) for each in (5, 2**20, 300 * 2**20, 3 * 2**30)] == ["5 B", "1 MiB", "300 MiB", "3.0 GiB"]
