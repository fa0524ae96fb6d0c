"""Records as bytes and back."""

from __future__ import annotations

import contextlib
import sqlite3
import uuid
from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from enum import Enum

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.errors import UndecodableError
from consumerd.sources.records import TAG, decode_record, encode_record

scalars = (
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats(allow_nan=False)
    | st.text(st.characters(exclude_categories=["Cs"]))
    | st.binary()
    | st.decimals(allow_nan=False)
    | st.datetimes()
    | st.dates()
    | st.uuids()
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
    assert again == row


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


def test_a_row_of_a_driver_that_is_no_mapping_is_kept_by_its_columns() -> None:
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        database.row_factory = sqlite3.Row
        row = database.execute("SELECT 7 AS id, 'x' AS name").fetchone()
    assert decode_record(encode_record(row)) == {"id": 7, "name": "x"}


def test_what_has_no_encoding_is_kept_as_text_and_never_as_something_else() -> None:
    class Colour(Enum):
        RED = "red"

    class Raising:
        def __getattr__(self, name: str) -> object:
            raise OSError(name)

    class Surrogate:
        def __repr__(self) -> str:
            return "\ud800"

    for record in (Colour.RED, {"colour": Colour.RED}, Raising(), Surrogate()):
        with pytest.raises(UndecodableError, match="as text only"):
            decode_record(encode_record(record))


def test_a_number_of_a_kind_of_its_own_is_kept_as_a_number() -> None:
    class Ratio(float):
        """As libraries of numbers have them."""

    assert encode_record({"ratio": Ratio(0.5)}) == b'{"ratio":0.5}'
