"""Archive old data: nothing deleted before its copy is found good, in pieces, resumable, and back again."""

from __future__ import annotations

import sqlite3
import time
from contextlib import closing
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from consumerd.testing import Run, run_consumer
from gop_consumer import archive_manager, database
from gop_consumer.archive_manager import TABLES, NotArchivedError
from gop_consumer.consumers.archive_consumer import ArchiveConsumer

RUN = {"scheduled": "2026-06-01T03:00:00Z"}
OLD, YOUNG = "2026-01-01 00:00:00", "2026-05-31 00:00:00"
ORDERS = "SELECT * FROM {} ORDER BY id"


@pytest.fixture(autouse=True)
def orders(rows: sqlite3.Connection) -> list[Any]:
    """Ten old orders, an open one, a young one, three old events that were sent, one that was not. The old orders."""
    add = "INSERT INTO game_order (account_id, item, amount, state, finished_at) VALUES (?, 'sword', 5, ?, ?)"
    rows.executemany(add, [(number, "finished", OLD) for number in range(10)])
    rows.executemany(add, [(11, "open", None), (12, "finished", YOUNG)])
    add = "INSERT INTO app_event (app_id, name, body, state, created_at) VALUES (7, 'level_up', '{}', ?, ?)"
    rows.executemany(add, [("sent", OLD)] * 3 + [("failed", OLD)])
    return rows.execute("SELECT * FROM game_order WHERE finished_at = ? ORDER BY id", (OLD,)).fetchall()


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "archive"
    made.mkdir()
    return made


def archived(path: str, run: dict[str, Any] = RUN, **configs: Any) -> Run:  # what JSON has, and any keys
    return run_consumer(ArchiveConsumer, [run], configs={"database": path, "page": 4, "pause": 0, **configs})


def left(rows: sqlite3.Connection) -> tuple[int, int]:
    """Orders and events that are where they were."""
    counts = "SELECT (SELECT count(*) FROM game_order), (SELECT count(*) FROM app_event)"
    orders, events = rows.execute(counts).fetchone()
    return orders, events


def test_what_is_old_and_finished_goes_to_the_archive(path: str, rows: sqlite3.Connection, orders: list[Any]) -> None:
    run = archived(path)
    assert (run.done, left(rows)) == (1, (2, 1))
    assert rows.execute(ORDERS.format("game_order_archive")).fetchall() == orders
    assert run.checkpoints == [[0, 4], [0, 8], [0, 10], [1, 13]]


def test_files_have_all_rows_and_a_manifest(path: str, rows: sqlite3.Connection, folder: Path) -> None:
    assert archived(path, folder=folder).done == 1
    assert left(rows) == (2, 1)
    files = list(archive_manager.files(folder))
    assert [path.name for path in files][:2] == ["app_event-000000000001.jsonl.gz", "game_order-000000000001.jsonl.gz"]
    assert sorted(row["account_id"] for path in files[1:] for row in archive_manager.read_rows(path)) == list(range(10))


def test_a_run_that_was_left_goes_on(path: str, rows: sqlite3.Connection) -> None:
    rows.execute("CREATE TRIGGER full BEFORE INSERT ON game_order_archive WHEN NEW.account_id = 5"
                 " BEGIN SELECT RAISE(ABORT, 'disk full'); END")  # fmt: skip
    run = archived(path, back_off_time=60)
    assert (run.checkpoints, left(rows), len(run.waiting())) == ([[0, 4]], (8, 4), 1)
    rows.execute("DROP TRIGGER full")
    run.advance(seconds=60)
    assert (run.done, run.checkpoints[-1], left(rows)) == (1, [1, 13], (2, 1))


def test_a_copy_that_is_not_the_same_deletes_nothing(
    path: str, rows: sqlite3.Connection, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write = archive_manager.write_whole
    monkeypatch.setattr(archive_manager, "write_whole", lambda path, content: write(path, content[:-9] + b"\0" * 9))
    [error] = archived(path, folder=folder).dead().values()
    assert "BadGzipFile" in error or "NotArchivedError" in error
    assert (left(rows), list(archive_manager.files(folder))) == ((12, 4), [])


def test_files_whose_rows_were_not_deleted_yet_are_written_again(
    path: str, rows: sqlite3.Connection, folder: Path
) -> None:
    rows.execute("CREATE TRIGGER kept BEFORE DELETE ON game_order BEGIN SELECT RAISE(ABORT, 'read-only'); END")
    assert len(archived(path, folder=folder).dead()) == 1
    assert (len(list(folder.iterdir())), left(rows)) == (2, (12, 4))
    rows.execute("DROP TRIGGER kept")
    archived(path, folder=folder)
    kept = [row["id"] for path in archive_manager.files(folder) for row in archive_manager.read_rows(path)]
    assert (len(kept), left(rows)) == (13, (2, 1))


def test_rows_come_back_as_they_were(
    path: str, rows: sqlite3.Connection, folder: Path, orders: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    before = rows.execute(ORDERS.format("game_order")).fetchall()
    archived(path, folder=folder)
    monkeypatch.setenv("GOP_DATABASE", f"sqlite:///{path}")
    for file in list(archive_manager.files(folder)):
        with database.engine().begin() as connection:
            archive_manager.restore(connection, file)
        archive_manager.set_aside(file)
    assert rows.execute(ORDERS.format("game_order")).fetchall() == before
    assert list(archive_manager.files(folder)) == []


def test_what_json_cannot_say_stays_where_it_is(path: str, rows: sqlite3.Connection, folder: Path) -> None:
    rows.execute("UPDATE game_order SET item = x'00ff10' WHERE id = 5")
    [error] = archived(path, folder=folder).dead().values()
    assert "NotArchivedError: a value of type bytes cannot stand in JSON" in error
    assert rows.execute("SELECT item FROM game_order WHERE id = 5").fetchone() == (b"\x00\xff\x10",)


def test_nobody_changes_rows_while_they_are_archived(
    path: str, rows: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    del rows
    monkeypatch.setenv("GOP_DATABASE", f"sqlite:///{path}")
    refused: list[str] = []

    def keep(connection: Any, aging: Any, found: Any) -> None:  # as archive_manager.Keep
        del connection, aging, found
        with closing(sqlite3.connect(path, timeout=0)) as other, pytest.raises(sqlite3.OperationalError) as locked:
            other.execute("UPDATE game_order SET item = 'axe'")
        refused.append(str(locked.value))

    with database.engine().begin() as connection:
        assert archive_manager.archive_page(connection, TABLES[0], datetime(2026, 3, 1, tzinfo=UTC), 4, keep) == 4
    assert refused == ["database is locked"]


def test_what_was_set_aside_is_never_written_over(folder: Path) -> None:
    for content in ("first", "second"):
        file = folder / "game_order-000000000001.jsonl.gz"
        for each in (file, archive_manager.manifest_of(file)):
            each.write_text(content)
        archive_manager.set_aside(file)
    assert sorted(path.read_text() for path in folder.iterdir()) == ["first", "first", "second", "second"]


def test_a_file_that_was_touched_is_not_restored(path: str, folder: Path) -> None:
    archived(path, folder=folder)
    file = next(archive_manager.files(folder))
    manifest = archive_manager.manifest_of(file)
    manifest.write_text(manifest.read_text().replace('"sha256": "', '"sha256": "0'))
    with pytest.raises(NotArchivedError, match="is not what its manifest says"):
        archive_manager.read_rows(file)


def test_the_plan_counts_and_changes_nothing(
    path: str, rows: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GOP_DATABASE", f"sqlite:///{path}")
    with database.engine().connect() as connection:
        found = archive_manager.plan(connection, TABLES[0], datetime(2026, 3, 1, tzinfo=UTC), page=4)
    assert found == archive_manager.Plan("game_order", rows=10, pages=3, oldest=OLD, newest=OLD)
    assert left(rows) == (12, 4)


def test_while_the_server_has_much_to_do_it_waits(
    path: str, rows: sqlite3.Connection, monkeypatch: pytest.MonkeyPatch
) -> None:
    loads = [50, 30, 5]
    waited: list[float] = []
    monkeypatch.setattr(archive_manager, "load", lambda connection: loads.pop(0) if loads else 0)
    monkeypatch.setattr(time, "sleep", waited.append)
    run = archived(path, most_running=20)
    assert (run.done, waited.count(1), left(rows)) == (1, 2, (2, 1))
    assert run.checkpoints[:3] == [[0, 0], [0, 0], [0, 4]]
