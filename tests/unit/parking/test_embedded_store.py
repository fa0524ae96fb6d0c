"""The embedded parking store passes the suite of all stores, and what is its own."""

from __future__ import annotations

import sqlite3
import stat
from pathlib import Path

import pytest
from sqlalchemy import Connection

from consumerd.errors import StoreAwayError
from consumerd.parking.opening import open_store
from consumerd.parking.schema import MIGRATIONS, ensure_schema
from consumerd.parking.store import ParkingStore
from contracts.parking_store import CONSUMER, ParkingStoreContract, Place, parked_task


class TestEmbedded(ParkingStoreContract):
    @pytest.fixture
    def place(self, state_dir: Path) -> Place:
        return lambda: open_store("embedded", state_dir)


@pytest.fixture
def store(state_dir: Path) -> ParkingStore:
    return open_store("embedded", state_dir)


def test_its_files_are_for_its_user_only(store: ParkingStore, state_dir: Path) -> None:
    store.park([parked_task()])
    modes = {file.name: stat.S_IMODE(file.stat().st_mode) for file in state_dir.iterdir()}
    assert modes.keys() >= {"parked.sqlite", "parked.lock"}
    assert set(modes.values()) == {0o600}
    store.close()


def test_nothing_is_made_before_its_first_use(store: ParkingStore, state_dir: Path) -> None:
    assert list(state_dir.iterdir()) == []
    store.close()


def test_a_commit_is_on_the_disk_before_it_is_told(store: ParkingStore) -> None:
    store.park([parked_task()])
    database = store.database
    assert database.read(lambda connection: connection.exec_driver_sql("PRAGMA synchronous").scalar()) == 2
    assert database.read(lambda connection: connection.exec_driver_sql("PRAGMA journal_mode").scalar()) == "persist"
    store.close()


def test_a_missing_folder_is_told_and_noticed_when_it_is_there(state_dir: Path) -> None:
    store = open_store(None, state_dir / "gone")
    with pytest.raises(StoreAwayError, match=r"gone/parked\.sqlite is away.*see that its folder is there"):
        store.park([parked_task()])
    (state_dir / "gone").mkdir()
    store.park([parked_task()])
    store.close()


def test_a_folder_that_became_a_file_is_told_and_noticed_when_it_is_back(state_dir: Path) -> None:
    folder, aside = state_dir / "store", state_dir / "aside"
    folder.mkdir()
    store = open_store(None, folder)
    store.park([parked_task(1)])
    folder.rename(aside)
    folder.touch()
    for _ in range(2):
        with pytest.raises(StoreAwayError):
            store.park([parked_task(2)])
    folder.unlink()
    aside.rename(folder)
    store.park([parked_task(2)])
    assert store.parked_count(CONSUMER)[0] == 2
    store.close()


def test_a_database_that_was_removed_is_not_written_on_into_nowhere(store: ParkingStore, state_dir: Path) -> None:
    store.park([parked_task(1)])
    for file in state_dir.glob("parked.*"):
        file.unlink()
    with pytest.raises(StoreAwayError, match="No such file or directory"):
        store.park([parked_task(2)])
    store.park([parked_task(2)])
    assert (state_dir / "parked.sqlite").exists()
    store.close()


def test_a_database_that_was_replaced_is_noticed(store: ParkingStore, state_dir: Path) -> None:
    store.park([parked_task(1)])
    (state_dir / "parked.sqlite").rename(state_dir / "aside")
    (state_dir / "parked.sqlite").touch()
    with pytest.raises(StoreAwayError, match="removed or replaced"):
        store.parked_count(CONSUMER)
    store.close()


def test_a_file_that_is_no_database_is_told(store: ParkingStore, state_dir: Path) -> None:
    (state_dir / "parked.sqlite").write_bytes(b"this is something else" * 1000)
    with pytest.raises(StoreAwayError, match="not a database: restore it from a copy"):
        store.park([parked_task()])
    (state_dir / "parked.sqlite").unlink()
    store.park([parked_task()])
    store.close()


def test_a_store_of_a_newer_consumerd_is_left_alone(store: ParkingStore, state_dir: Path) -> None:
    store.park([parked_task()])
    store.close()
    with sqlite3.connect(state_dir / "parked.sqlite") as connection:
        connection.execute("UPDATE parked_schema SET version = 99")
    connection.close()
    with pytest.raises(StoreAwayError, match=r"version 99.*update consumerd"):
        store.parked_count(CONSUMER)


def test_an_older_store_is_brought_to_this_version_once_and_is_then_a_newer_one_for_others(
    store: ParkingStore, state_dir: Path
) -> None:
    def add_column(connection: Connection) -> None:
        connection.exec_driver_sql("ALTER TABLE parked ADD COLUMN told_at DOUBLE PRECISION")

    store.park([parked_task()])
    for _ in range(2):
        store.database.write(lambda connection: ensure_schema(connection, [*MIGRATIONS, add_column]))
    assert store.parked_count(CONSUMER)[0] == 1
    store.close()
    with pytest.raises(StoreAwayError, match=r"update consumerd"):
        store.parked_count(CONSUMER)


def test_an_error_of_a_step_rolls_back_and_leaves_the_store_usable(store: ParkingStore) -> None:
    def fail(connection: object) -> None:
        raise KeyError("a bug")

    store.park([parked_task()])
    with pytest.raises(KeyError):
        store.database.write(fail)
    store.park([parked_task(2)])
    assert store.parked_count(CONSUMER)[0] == 2
    store.close()


def test_no_error_tells_what_was_parked(store: ParkingStore, state_dir: Path) -> None:
    store.park([parked_task()])
    store.close()
    with sqlite3.connect(state_dir / "parked.sqlite") as connection:
        connection.execute("DROP TABLE parked")
    connection.close()
    with pytest.raises(StoreAwayError) as told:
        store.park([parked_task()])
    assert "number" not in str(told.value)
    assert "\n" not in str(told.value)
