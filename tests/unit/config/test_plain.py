"""What a configuration may be made of."""

import datetime as dt
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.config.plain import DEEPEST, Table, plain
from consumerd.config.problems import KeyPath

PLAIN = st.recursive(
    st.none()
    | st.booleans()
    | st.integers(-(2**63) + 1, 2**63 - 1)
    | st.text(st.characters(codec="utf-8"))
    | st.floats(allow_nan=False, allow_infinity=False),
    lambda inner: (
        st.lists(inner, max_size=3) | st.dictionaries(st.text(st.characters(codec="utf-8")), inner, max_size=3)
    ),
    max_leaves=12,
)


def examined(value: object) -> tuple[Any, list[tuple[KeyPath, str]]]:
    found: list[tuple[KeyPath, str]] = []
    result = plain(value, lambda path, sentence: found.append((path, sentence)))
    return result, found


@given(PLAIN)
def test_plain_data_passes_unchanged(value: object) -> None:
    assert examined(value) == (value, [])


@pytest.mark.parametrize(
    "value",
    [float("nan"), float("-inf"), 2**63, {1, 2}, b"bytes", dt.date(2020, 1, 1), object(), "\ud800", print],
)
def test_what_is_not_plain_is_reported_with_its_path(value: object) -> None:
    result, found = examined({"group": [{"key": value}]})
    assert [path for path, _ in found] == [("group", 0, "key")]
    assert result == {"group": [{"key": None}]}


@pytest.mark.parametrize("key", [1, None, ("a",), "\udfff"])
def test_a_key_that_is_not_text_is_reported(key: object) -> None:
    result, found = examined({"table": {key: 1, "fine": 2}})
    assert [path for path, _ in found] == [("table",)]
    assert result == {"table": {"fine": 2}}


def test_a_tuple_is_a_list() -> None:
    assert examined({"a": (1, 2)}) == ({"a": [1, 2]}, [])


def test_a_key_that_stands_twice_is_reported() -> None:
    _, found = examined({"group": Table([("workers", 1), ("workers", 2), ("name", 3)])})
    assert [path for path, _ in found] == [("group", "workers")]


def test_deep_nesting_ends_at_a_bound() -> None:
    value: object = 1
    for _ in range(900):
        value = [value]
    _, found = examined(value)
    assert [len(path) for path, _ in found] == [DEEPEST + 1]


def test_a_list_that_holds_itself_ends_at_the_bound() -> None:
    loop: list[object] = []
    loop.append(loop)
    _, found = examined(loop)
    assert len(found) == 1
