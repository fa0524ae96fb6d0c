"""What drivers give of a row, as a task has it."""

from __future__ import annotations

import math
from datetime import date
from decimal import Decimal

import pytest

from consumerd.sources.table.batch import as_bytes, begun_at, record_of


@pytest.mark.parametrize(
    ("content", "expected"),
    [
        (b"\xff", b"\xff"),
        ("ä", "ä".encode()),
        (None, b""),
        (bytearray(b"a"), b"a"),
        (memoryview(b"a"), b"a"),
        (3_000_000_000, b"3000000000"),
        (Decimal("1.10"), b'"1.10"'),
        (date(2026, 1, 2), b'"2026-01-02"'),
        ({"a": [1]}, b'{"a":[1]}'),
    ],
)
def test_a_payload_is_its_bytes_or_its_json(content: object, expected: bytes) -> None:
    assert as_bytes(content) == expected


def test_a_handler_may_change_all_that_is_in_its_record() -> None:
    values = ({"n": [0]}, [1], {2}, ([3],), "x")
    names = ("a", "b", "c", "d", "e")
    record = record_of(names, values)
    for changed in (record["a"]["n"], record["b"], record["d"][0]):  # type: ignore[index]  # known here
        changed.append(9)
    assert record_of(names, values) == {"a": {"n": [0]}, "b": [1], "c": {2}, "d": ([3],), "e": "x"}


@pytest.mark.parametrize(
    ("age_s", "expected"), [(None, None), (5.0, 95.0), (Decimal(5), 95.0), (math.inf, None), (math.nan, None)]
)
def test_a_task_began_at_a_time_or_not_at_all(age_s: object, expected: float | None) -> None:
    assert begun_at(100.0, age_s) == expected
