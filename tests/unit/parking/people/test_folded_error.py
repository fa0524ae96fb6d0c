"""Errors that differ in numbers and ids alone are one."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.parking.people.folded_error import LONGEST, folded, kind_of, searchable


@pytest.mark.parametrize(
    ("error", "shown"),
    [
        ("ValueError: no", "ValueError: no"),
        ("KeyError: 'user_17'", "KeyError: 'user_#'"),
        ("Http2Error: stream 12 of 3.5 s", "Http2Error: stream # of # s"),
        ("TimeoutError: 10.0.0.1:5432 at 12:30:01", "TimeoutError: # at #"),
        ("Error: 3f0c9a1e-0b1d-4c5e-8f00-aaaaaaaaaaaa is gone", "Error: # is gone"),
        ("Error: object at 0x7f3a1c", "Error: object at #"),
        ("Error: commit deadbee7 beefed", "Error: commit # beefed"),
        ("Error: session V1StGXR8Z5jdHi6Bmy is over", "Error: session # is over"),
        ("2 × SIGSEGV", "2 × SIGSEGV"),
        ("", ""),
    ],
)
def test_numbers_and_ids_are_left_out(error: str, shown: str) -> None:
    assert folded(error) == shown


@given(st.text(st.characters(min_codepoint=32, max_codepoint=383), max_size=400))
def test_what_is_searched_for_stands_in_the_error_itself(error: str) -> None:
    assert len(folded(error)) <= LONGEST
    assert searchable(folded(error)) in error
    assert error.startswith(kind_of(error))


@given(st.integers(0), st.integers(0))
def test_errors_that_differ_in_a_number_are_folded_to_the_same(one: int, other: int) -> None:
    assert folded(f"ValueError: row {one} is odd") == folded(f"ValueError: row {other} is odd")
