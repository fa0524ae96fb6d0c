"""Whether anything is parked at all, asked of the file alone."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from consumerd.clock import monotonic
from consumerd.model.parked import ParkedState, ParkedTask
from consumerd.model.task import TaskId
from consumerd.parking.opening import open_store, open_store_thread
from consumerd.parking.presence import has_nothing_in_file

TASK = ParkedTask(
    consumer="shop/Mail",
    task_id=TaskId("mail:1"),
    source="mail",
    shard=0,
    position=1,
    offset=1,
    state=ParkedState.DEAD,
    due_at=None,
    attempts=1,
    first_at=0.0,
    last_at=0.0,
    error="",
    traceback="",
    payload=b"",
)


def test_where_no_store_was_ever_made_nothing_is_parked(state_dir: Path) -> None:
    assert has_nothing_in_file(state_dir / "parked.sqlite", "shop/Mail")


def test_what_is_parked_is_seen_by_its_consumer_alone(state_dir: Path) -> None:
    store = open_store(None, state_dir)
    store.park([TASK])
    path = state_dir / "parked.sqlite"
    assert not has_nothing_in_file(path, "shop/Mail")
    assert has_nothing_in_file(path, "shop/Login")
    store.park([replace(TASK, consumer="shop/Login")])
    assert not has_nothing_in_file(path, "shop/Login")
    store.close()


def test_where_the_folder_is_gone_or_the_file_is_no_database_nothing_is_certain(state_dir: Path) -> None:
    assert not has_nothing_in_file(state_dir / "gone" / "parked.sqlite", "shop/Mail")
    (state_dir / "parked.sqlite").write_bytes(b"no database " * 1000)
    assert not has_nothing_in_file(state_dir / "parked.sqlite", "shop/Mail")


def test_a_store_that_was_used_is_asked_itself(state_dir: Path) -> None:
    thread = open_store_thread(None, state_dir)
    assert thread.has_nothing("shop/Mail")
    thread.call(lambda store: store.park([TASK]))
    assert not thread.has_nothing("shop/Login")
    thread.close(monotonic() + 10)
