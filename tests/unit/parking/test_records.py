"""A parked task as rows, and back."""

from __future__ import annotations

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from consumerd.parking.claims import within_size
from consumerd.parking.records import (
    INLINE_LIMIT_BYTES,
    PART_BYTES,
    joined,
    key_of,
    original,
    parts_of,
    storable,
    storable_source,
)
from consumerd.parking.schema import SOURCE_CHARACTERS
from contracts.parking_store import parked_task

ANY_TEXT = st.text(st.characters(min_codepoint=0))


@given(ANY_TEXT, st.booleans())
def test_storable_text_comes_back_as_it_was(text: str, is_unicode: bool) -> None:
    assert original(storable(text, is_unicode=is_unicode)) == text


@given(ANY_TEXT)
def test_storable_text_is_utf8_without_a_nul_or_ascii_where_that_is_wanted(text: str) -> None:
    assert b"\0" not in storable(text, is_unicode=True).encode("utf-8")
    assert b"\0" not in storable(text, is_unicode=False).encode("ascii")


@given(ANY_TEXT, ANY_TEXT)
def test_different_texts_stay_different(one: str, other: str) -> None:
    assert (storable(one, is_unicode=True) == storable(other, is_unicode=True)) == (one == other)
    assert (storable(one, is_unicode=False) == storable(other, is_unicode=False)) == (one == other)


def test_a_source_that_is_too_long_for_its_column_stays_itself() -> None:
    one, other = (storable_source("📦" * 600 + end, is_unicode=True) for end in "ab")
    assert len(one) == len(other) == SOURCE_CHARACTERS
    assert one != other
    assert storable_source("short", is_unicode=True) == "short"


@given(ANY_TEXT, ANY_TEXT)
def test_a_key_is_32_hexadecimal_digits_whatever_the_id(consumer: str, task_id: str) -> None:
    key = key_of(consumer, task_id)
    assert len(key) == 32
    assert int(key, 16) >= 0


def test_a_task_that_fits_has_no_parts() -> None:
    assert parts_of(replace(parked_task(), payload=b"x" * (INLINE_LIMIT_BYTES - 10))) == ()


@settings(max_examples=30)
@given(
    size=st.integers(INLINE_LIMIT_BYTES, 3 * PART_BYTES),
    key=st.none() | st.binary(max_size=50),
    headers=st.lists(st.tuples(ANY_TEXT, st.none() | st.binary(max_size=50)), max_size=3),
)
def test_long_contents_come_back_from_their_parts(
    size: int, key: bytes | None, headers: list[tuple[str, bytes | None]]
) -> None:
    task = replace(parked_task(), payload=bytes(size), key=key, headers=(*headers, ("more", b"\n")))
    parts = parts_of(task)
    assert all(len(part) <= PART_BYTES for part in parts)
    contents = joined(parts)
    assert (contents.payload, contents.key, contents.headers) == (task.payload, task.key, task.headers)


def test_a_claim_stays_within_its_size_but_takes_one_in_any_case() -> None:
    assert within_size([("a", 60), ("b", 40), ("c", 1)], 100) == [("a", 60), ("b", 40)]
    assert within_size([("a", 600), ("b", 1)], 100) == [("a", 600)]
    assert within_size([], 100) == []
