"""Which task stands at a cursor."""

from __future__ import annotations

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.model.suspects import has_one_of, id_at, last_id
from consumerd.model.task import TaskId
from consumerd.sources.identities import by_offset, in_order, one_by_one

OFFSETS = (0, 1, 2)


@pytest.mark.parametrize(
    ("identities", "ids"),
    [
        (by_offset("t:u:3:"), ["t:u:3:0", "t:u:3:1", "t:u:3:2"]),
        (in_order("rows:", [17, "a ü", 0.5]), ["rows:17", "rows:a ü", "rows:0.5"]),
        (in_order("rows:", [b"\xff", None, 2**70]), ["rows:x'ff'", "rows:None", f"rows:{2**70}"]),
        (by_offset("t:\udc80:"), ["t:\udc80:0", "t:\udc80:1", "t:\udc80:2"]),
        (one_by_one({0: "a", 2: "c", 1: None}), ["a", None, "c"]),
        (b"", [None, None, None]),
        (b"nonsense", [None, None, None]),
    ],
)
def test_each_offset_has_its_task(identities: bytes, ids: list[str | None]) -> None:
    assert [id_at(identities, offset) for offset in OFFSETS] == ids


@pytest.mark.parametrize("identities", [by_offset("t:"), in_order("t:", [0, 1, 2]), one_by_one({0: "t:0", 1: "t:1"})])
def test_wanted_tasks_are_found_and_no_others(identities: bytes) -> None:
    assert has_one_of(identities, 0, 2, [TaskId("other"), TaskId("t:1")])
    assert not has_one_of(identities, 0, 2, [TaskId("t:10"), TaskId("t:3"), TaskId("t:")])
    assert not has_one_of(identities, 0, 2, [])


def test_an_offset_outside_of_a_list_has_no_task() -> None:
    assert id_at(in_order("t:", ["a"]), 1) is None
    assert id_at(in_order("t:", ["a"]), 2**64 - 1) is None


@pytest.mark.parametrize("nonsense", [b'{"0": 7}', b'{"0": null}', b"[" * 100_000, b"\xff", b"7", b"[1, 2]"])
def test_identities_that_a_crash_has_written_over_name_no_task(nonsense: bytes) -> None:
    assert id_at(nonsense, 0) is None


@given(st.text(), st.lists(st.integers() | st.text(), min_size=1, max_size=20))
def test_the_last_of_many_is_found_without_reading_them_all(start: str, ends: list[int | str]) -> None:
    identities = json.dumps([start, *ends], ensure_ascii=False).replace(", ", ",").encode(errors="surrogatepass")
    for offset in range(len(ends) + 1):
        assert last_id(identities, offset) == id_at(identities, offset)
