"""The bell of a pool: whoever may ring it, and what else may lie in its place."""

from __future__ import annotations

import os
import stat
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event, Thread

import pytest

from consumerd.sources.table.bell import Bell, ring
from consumerd.sources.table.options import TableOptions


def table(database: str = "mysql://app:secret@one/shop", name: str = "tasks") -> TableOptions:
    return TableOptions(database=database, table=name)


@pytest.fixture
def bell(tmp_path: Path) -> Iterator[Bell]:
    bell = Bell(table(), "id.shop.jobs", tmp_path)
    bell.hang()
    yield bell
    bell.close()


def test_all_that_was_rung_is_taken_at_once(bell: Bell, tmp_path: Path) -> None:
    assert not bell.is_rung
    assert not bell.take()
    for _ in range(3):
        ring(table(), tmp_path)
    bell.ring()
    assert bell.is_rung
    assert bell.take()
    assert not bell.take()


@pytest.mark.parametrize(
    "other",
    [
        table("mariadb://root@127.0.0.1:3307/shop"),
        table("mysql+pymysql://app@db.example/shop?charset=utf8mb4"),
        table(name="shop.tasks"),
    ],
)
def test_it_is_found_by_whatever_name_the_server_has(bell: Bell, tmp_path: Path, other: TableOptions) -> None:
    ring(other, tmp_path)
    assert bell.take()


@pytest.mark.parametrize(
    "other", [table(name="mails"), table("mysql://app@one/other"), table("postgresql://app@one/shop"), table("shop")]
)
def test_those_of_other_tables_do_not_ring_it(bell: Bell, tmp_path: Path, other: TableOptions) -> None:
    ring(other, tmp_path)
    assert not bell.take()


def test_each_pool_hears_it(bell: Bell, tmp_path: Path) -> None:
    other = Bell(table(), "id.shop.others", tmp_path)
    other.hang()
    ring(table(), tmp_path)
    assert (bell.take(), other.take()) == (True, True)
    other.close()


def test_a_file_is_known_by_whatever_path(tmp_path: Path) -> None:
    (tmp_path / "link.sqlite").symlink_to(tmp_path / "tasks.sqlite")
    bell = Bell(table(str(tmp_path / "tasks.sqlite")), "pool", tmp_path)
    bell.hang()
    ring(table(f"sqlite:///{tmp_path}/link.sqlite"), tmp_path)
    assert bell.take()
    bell.close()


def test_others_may_ring_and_not_hear(bell: Bell, tmp_path: Path) -> None:
    [path] = tmp_path.iterdir()
    assert stat.S_IMODE(path.stat().st_mode) == 0o622
    assert bell.descriptor is not None


def test_one_that_was_removed_is_made_anew(bell: Bell, tmp_path: Path) -> None:
    [path] = tmp_path.iterdir()
    path.unlink()
    bell.hang()
    ring(table(), tmp_path)
    assert bell.take()


def test_the_last_worker_removes_it(bell: Bell, tmp_path: Path) -> None:
    other = Bell(table(), "id.shop.jobs", tmp_path)
    other.hang()
    bell.close()
    assert list(tmp_path.iterdir())
    other.close()
    assert not list(tmp_path.iterdir())


def test_one_that_a_killed_pool_has_left_is_removed_by_who_rings(bell: Bell, tmp_path: Path) -> None:
    [path] = tmp_path.iterdir()
    stale = path.with_name(f"{path.name}-of-old")
    os.mkfifo(stale)
    ring(table(), tmp_path)
    assert list(tmp_path.iterdir()) == [path]


@contextmanager
def busy_with(act: Callable[[], object]) -> Iterator[list[OSError]]:
    """Have another thread do this again and again; with what it met."""
    errors: list[OSError] = []
    end = Event()

    def run() -> None:
        while not end.is_set():
            try:
                act()
            except OSError as error:
                errors.append(error)

    thread = Thread(target=run)
    thread.start()
    try:
        yield errors
    finally:
        end.set()
        thread.join()


def test_the_listening_thread_never_meets_a_bell_that_was_closed(bell: Bell, tmp_path: Path) -> None:
    [path] = tmp_path.iterdir()
    with busy_with(lambda: (bell.attend(), bell.ring(), bell.is_rung)) as errors:
        for _ in range(1_000):
            path.unlink(missing_ok=True)
            bell.hang()
    assert errors == []


def test_it_can_be_made_while_others_ring(bell: Bell, tmp_path: Path) -> None:
    [path] = tmp_path.iterdir()
    with busy_with(lambda: ring(table(), tmp_path)) as errors:
        for _ in range(300):
            path.unlink(missing_ok=True)
            bell.hang()
    assert errors == []


@pytest.mark.parametrize("kind", ["file", "link", "folder"])
def test_what_is_no_bell_is_neither_rung_nor_heard(tmp_path: Path, kind: str) -> None:
    bell = Bell(table(), "pool", tmp_path)
    bell.hang()
    [path] = tmp_path.iterdir()
    bell.close()
    target = tmp_path / "precious"
    target.write_text("as it was")
    if kind == "file":
        path.write_text("as it was")
    elif kind == "link":
        path.symlink_to(target)
    else:
        path.mkdir()
    ring(table(), tmp_path)
    with pytest.raises(OSError, match=r"somebody else|symbolic links|Is a directory"):
        bell.hang()
    assert bell.descriptor is None
    assert target.read_text() == "as it was"
    assert kind != "file" or path.read_text() == "as it was"


def test_a_full_one_keeps_nobody_waiting(bell: Bell, tmp_path: Path) -> None:
    assert bell.descriptor is not None
    while True:
        try:
            os.write(bell.descriptor, bytes(65_536))
        except BlockingIOError:
            break
    bell.ring()
    ring(table(), tmp_path)
    assert bell.take()


def test_where_there_is_no_folder_nothing_fails(tmp_path: Path) -> None:
    ring(table(), tmp_path / "missing")
    bell = Bell(table(), "pool", tmp_path / "missing")
    with pytest.raises(FileNotFoundError):
        bell.hang()
    bell.ring()
    assert not bell.take()
    bell.close()
