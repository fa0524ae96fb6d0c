"""What `where` concludes of what its source, the parking store and the workers tell, and how `peek` shows a record."""

from __future__ import annotations

import unicodedata
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.cli.peek import shown
from consumerd.cli.where import concluded, has_ended
from consumerd.model.identity import ConsumerName
from consumerd.sources.askable import TaskState
from consumerd.state.host_identity import own_id
from consumerd.state.state_dir import StateDirectory

RUNNING = {"worker_id": 3, "pid": 4711, "task": "shop/Jobs#3:0:17", "busy_s": 12.0}
PARKED = {
    "handle": "0a1b2c3d4e",
    "state": "dead",
    "due_at": None,
    "attempts": 4,
    "crashes": 0,
    "error": "KeyError: 'x'",
}


def found(state: str = "pending", parked: Any = None) -> dict[str, Any]:
    return {"state": state, "told": "the evidence", "ids": ["tasks:17"], "facts": {"before": 3}, "parked": parked}


@pytest.mark.parametrize("state", TaskState)
@pytest.mark.parametrize("parked", [None, PARKED])
def test_a_worker_that_runs_it_knows_best(state: str, parked: Any) -> None:
    answer = concluded(found(state, parked), RUNNING, now=0.0)
    assert answer["state"] == "running"
    assert answer["told"] == "worker 3 has run it for 12 s; consumerd cancel shop/Jobs#3:0:17 ends that"


@pytest.mark.parametrize("state", TaskState)
def test_what_is_parked_goes_before_what_its_source_says(state: str) -> None:
    answer = concluded(found(state, PARKED), None, now=0.0)
    assert answer["state"] == "dead"
    assert "parked as dead after 4 attempts" in answer["told"]
    assert answer["told"].endswith("KeyError: 'x': see consumerd parked show 0a1b2c3d4e")


def test_a_parked_task_that_waits_tells_when_it_is_tried_again() -> None:
    answer = concluded(found("done", PARKED | {"state": "waiting", "due_at": 600.0, "attempts": 1}), None, now=0.0)
    assert answer["state"] == "waiting"
    assert "after 1 attempt, and is tried again in 10 min (1970-01-01T00:10:00.000Z)" in answer["told"]


def test_a_suspect_is_where_its_source_says_and_its_crashes_are_told() -> None:
    answer = concluded(found("pending", PARKED | {"state": "suspect", "crashes": 2}), None, now=0.0)
    assert answer["state"] == "pending"
    assert answer["told"] == "the evidence; a worker died while it ran, 2 times so far"
    answer = concluded(found("pending", PARKED | {"state": "suspect", "crashes": 1}), None, now=0.0)
    assert answer["told"].endswith("a worker died while it ran, once so far")


def test_the_holder_of_a_lease_has_ended_where_its_slot_of_this_state_directory_is_empty(tmp_path: Path) -> None:
    state_dir = StateDirectory(tmp_path / "state")
    assert not has_ended(state_dir, "shop/Jobs", "None.shop.Jobs.3#7/12")
    state_dir.prepare()
    lease = f"{own_id(state_dir)}.shop.Jobs.3#7/12"
    assert has_ended(state_dir, "shop/Jobs", lease)
    assert not has_ended(state_dir, "shop/Others", lease)
    for other in (None, "", f"0{lease[1:]}" if lease[0] != "0" else f"1{lease[1:]}", "shop.5e8c#0/1"):
        assert not has_ended(state_dir, "shop/Jobs", other)


def test_the_holder_of_a_lease_lives_where_its_slot_has_a_process(tmp_path: Path) -> None:
    state_dir = StateDirectory(tmp_path / "state")
    state_dir.prepare()
    lock = state_dir.slot_lock(ConsumerName.parse("shop/Jobs"), 3)
    lock.symlink_to(lock.name)  # a lock that cannot be asked about counts as held
    assert not has_ended(state_dir, "shop/Jobs", f"{own_id(state_dir)}.shop.Jobs.3#7/12")


@pytest.mark.parametrize("state", TaskState)
def test_that_the_holder_of_a_lease_has_ended_is_told_of_a_task_that_it_holds(state: TaskState) -> None:
    told = concluded(found(state), None, now=0.0, has_holder_ended=True)["told"]
    is_held = state in (TaskState.CLAIMED, TaskState.RUNNING)
    assert told.startswith("the evidence; that worker has ended" if is_held else "the evidence")
    assert is_held or told == "the evidence"


@pytest.mark.parametrize("state", TaskState)
def test_where_nobody_else_knows_its_source_says_it(state: str) -> None:
    answer = concluded(found(state), None, now=0.0)
    assert (answer["state"], answer["told"]) == (state, "the evidence")


@given(st.text(), st.integers(1, 50), st.integers(0, 10_000))
def test_a_record_is_shown_short_and_steers_no_terminal(text: str, longest: int, more: int) -> None:
    size_bytes = len(text.encode("utf-8", "surrogatepass")) + more
    line = shown(text, size_bytes, longest)
    assert not any(unicodedata.category(character) in ("Cc", "Cf", "Cs") for character in line)
    assert len(line) <= longest + len(f"… ({size_bytes} bytes)")
    assert line


def test_bytes_that_are_no_text_are_shown_as_escapes() -> None:
    assert shown(b"a\xff".decode("utf-8", "surrogateescape"), 2, 100) == "a\\udcff"
    assert shown("", 0, 100) == "(empty)"
    assert shown("x" * 800, 1_000_000, 200) == "x" * 200 + "… (1000000 bytes)"
