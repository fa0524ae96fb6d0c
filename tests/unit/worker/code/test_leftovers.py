"""What an import leaves behind, found by looking at the process before and after."""

from __future__ import annotations

import contextlib
import os
import select
import socket
import sqlite3
import threading
from pathlib import Path

import pytest

from consumerd.worker.code.leftovers import Inventory, Leftovers


def test_an_import_that_leaves_nothing_is_not_remarked_upon() -> None:
    left = Inventory.now().left_since()
    assert left == Leftovers()
    assert left.is_forkable
    assert left.remarks(is_forking=True) == ()


def test_a_thread_is_named_and_forbids_a_fork() -> None:
    before, ended = Inventory.now(), threading.Event()
    thread = threading.Thread(target=ended.wait, name="heartbeat")
    thread.start()
    left = before.left_since()
    ended.set()
    thread.join()
    assert left.threads == ("heartbeat",)
    assert not left.is_forkable
    (remark,) = left.remarks(is_forking=False)
    assert "leaves a thread behind (heartbeat): each worker is executed instead of forked" in remark
    assert "the forked workers do not have it" in left.remarks(is_forking=True)[0]


def test_a_sqlite_file_and_an_event_loop_are_connections(tmp_path: Path) -> None:
    before = Inventory.now()
    with contextlib.closing(sqlite3.connect(tmp_path / "orders.db")) as orders, select.epoll():
        orders.execute("CREATE TABLE orders (id)")
        left = before.left_since()
    assert left.connections == (f"the SQLite file {tmp_path}/orders.db",)
    assert left.event_loops == 1
    assert not left.is_forkable
    assert f"the SQLite file {tmp_path}/orders.db, an event loop" in left.remarks(is_forking=False)[0]


def test_what_is_harmless_to_share_does_not_count(tmp_path: Path) -> None:
    before = Inventory.now()
    ours, theirs = socket.socketpair()
    read_end, write_end = os.pipe()
    with ours, theirs, socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM), (tmp_path / "log").open("w"):
        left = before.left_since()
    os.close(read_end)
    os.close(write_end)
    assert left == Leftovers()


def test_what_only_waits_to_be_collected_does_not_count() -> None:
    before = Inventory.now()
    cycle: list[object] = [select.epoll()]
    cycle.append(cycle)
    del cycle
    assert before.left_since().is_forkable


def test_a_changed_directory_is_named_and_forbids_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = Inventory.now()
    monkeypatch.chdir(tmp_path)
    left = before.left_since()
    assert left.is_forkable
    assert f"changes the directory to {tmp_path}" in left.remarks(is_forking=True)[0]
