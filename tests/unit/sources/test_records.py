"""Records as bytes and back."""

from __future__ import annotations

import contextlib
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.errors import UndecodableError
from consumerd.sources.records import TAG, decode_record, encode_record

scalars = (
    st.none()
    | st.booleans()
    | st.integers(-(2**63), 2**64 - 1)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.dates()
    | st.timedeltas(max_value=timedelta(days=10_000), min_value=timedelta(days=-10_000))
)
records = st.recursive(
    scalars,
    lambda inner: (
        st.lists(inner) | st.tuples(inner, inner) | st.dictionaries(st.text(max_size=5) | st.just(TAG), inner)
    ),
    max_leaves=8,
)


@given(records)
def test_a_record_of_plain_values_comes_back_as_it_was(record: object) -> None:
    assert decode_record(encode_record(record)) == record


def test_a_row_keeps_its_types() -> None:
    row = {
        "id": uuid.UUID(int=7),
        "created": datetime(2026, 1, 2, 3, 4, 5, 678, tzinfo=UTC),
        "day": date(2026, 1, 2),
        "at": time(3, 4),
        "price": Decimal("1.10"),
        "body": b"\xff\x00",
    }
    again = decode_record(encode_record(row))
    assert isinstance(again, dict)
    assert str(again["id"]) == str(row["id"])
    assert {key: again[key] for key in row if key != "id"} == {key: row[key] for key in row if key != "id"}


def test_plain_json_stays_plain_json() -> None:
    assert encode_record({"uid": 7, "names": ["a"]}) == b'{"uid":7,"names":["a"]}'


def test_an_object_is_kept_as_its_text_and_says_so_when_read() -> None:
    class Hostile:
        def __repr__(self) -> str:
            raise RuntimeError

    with pytest.raises(UndecodableError, match="as text only"):
        decode_record(encode_record(object()))
    with pytest.raises(UndecodableError, match="as text only"):
        decode_record(encode_record({"inner": Hostile()}))


def test_a_record_that_contains_itself_does_not_break_the_encoder() -> None:
    record: list[object] = []
    record.append(record)
    with pytest.raises(UndecodableError):
        decode_record(encode_record(record))


@given(st.binary(max_size=40))
def test_garbage_in_the_store_is_undecodable_or_a_value(payload: bytes) -> None:
    with contextlib.suppress(UndecodableError):
        encode_record(decode_record(payload))


def test_a_record_that_cannot_be_read_back_is_told_in_one_line() -> None:
    with pytest.raises(UndecodableError) as caught:
        decode_record(b"no\njson")
    assert "\n" not in str(caught.value)
