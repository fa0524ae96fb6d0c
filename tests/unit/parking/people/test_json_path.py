"""A condition on a record's JSON."""

from __future__ import annotations

import json
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.errors import UsageError
from consumerd.parking.people.json_path import Where

RECORD = b'{"user": {"id": 5, "name": "K\\u00f6ln", "a.b": [{"sku": "abc"}, null, true, 1.5]}, "n": "5", "e": ""}'
ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**53), 2**53)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)


@pytest.mark.parametrize(
    ("written", "matches"),
    [
        ("user.id=5", True),
        ("user.id=5.0", True),
        ('user.id="5"', False),
        ("user.id=6", False),
        ("n=5", True),
        ('n="5"', True),
        ("user.name=Köln", True),
        ('user["name"]=Köln', None),
        ('user."a.b"[0].sku=abc', True),
        ('user."a.b"[1]=null', True),
        ('user."a.b"[2]=true', True),
        ('user."a.b"[2]=1', False),
        ('user."a.b"[9]=1', False),
        ("user[0]=5", False),
        ("user.id.more=5", False),
        ("e=", True),
        ("missing=", False),
        ("user.id", None),
        ("=5", None),
        (".user=5", None),
        ("user..id=5", None),
        ("user.=5", None),
        ("user[x]=5", None),
        ("[0]user=5", None),
        ('"\\u12"=5', None),
    ],
)
def test_a_condition_means_what_stands_at_its_path_or_is_refused(written: str, matches: bool | None) -> None:
    if matches is None:
        with pytest.raises(UsageError, match=r"write it as user\.id=5 or items"):
            Where.parse(written)
    else:
        assert Where.parse(written).matches(RECORD) is matches


@pytest.mark.parametrize("payload", [b"", b"\xff", b"{", b"[" * 5_000, b'{"a": NaN}', b"null"])
def test_what_is_no_json_or_has_no_such_place_never_matches(payload: bytes) -> None:
    assert not Where.parse("a=1").matches(payload)


def test_a_record_that_is_a_list_has_places_too() -> None:
    assert Where.parse("[1][0]=x").matches(b'[0, ["x"]]')


@given(st.text(min_size=1), ANY_JSON)
def test_any_value_is_found_by_its_json_under_its_quoted_name(name: str, value: object) -> None:
    try:
        payload = json.dumps({name: value}, ensure_ascii=False).encode()
    except UnicodeEncodeError:
        return
    assert Where.parse(f"{json.dumps(name, ensure_ascii=False)}={json.dumps(value)}").matches(payload)


@pytest.mark.parametrize(
    ("written", "stands", "matches"),
    [
        ("12345678901234567890123", "12345678901234567890999", False),
        ("12345678901234567890123", "12345678901234567890123", True),
        ("9007199254740993.0", "9007199254740992", False),
        ("9007199254740993.0", "9007199254740993", True),
        ("0.1", "0.10000000000000000001", False),
        ("1e3", "1000", True),
        ("-0", "0", True),
        ("1e400", "2e400", False),
        ("1e99999999999999999999", "2e99999999999999999999", False),
        ("[1]", "[true]", False),
        ("[1.0]", "[1]", True),
        ('{"a": 12345678901234567890123}', '{"a": 12345678901234567890999}', False),
        ("1" * 5_000, "1" * 5_000, True),
        ("1" * 5_000, "1" * 4_999 + "2", False),
    ],
)
def test_numbers_are_compared_exactly(written: str, stands: str, matches: bool) -> None:
    assert Where.parse(f"id={written}").matches(f'{{"id": {stands}}}'.encode()) is matches


@given(st.integers(), st.integers(-3, 3), st.sampled_from(["", ".0", "e0"]))
def test_a_number_matches_no_other_number_that_is_near(number: int, apart: int, ending: str) -> None:
    payload = f'{{"id": {number}}}'.encode()
    assert Where.parse(f"id={number + apart}{ending}").matches(payload) is (apart == 0)


@given(st.text(), st.binary())
def test_whatever_is_written_is_a_condition_or_one_sentence(written: str, payload: bytes) -> None:
    with suppress(UsageError):
        assert Where.parse(written).matches(payload) in (True, False)
