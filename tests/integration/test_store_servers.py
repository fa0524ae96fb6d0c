"""The parking store on the servers that hosts share passes the suite of all stores, and what is their own."""

from __future__ import annotations

from pathlib import Path

import pytest
from sqlalchemy import create_engine, text

from consumerd.clock import wall
from consumerd.errors import StoreAwayError
from consumerd.store import claims
from consumerd.store.claims import due_candidates
from consumerd.store.dialects import database_now
from consumerd.store.opening import open_store, parking_url
from consumerd.store.parking import ParkingStore
from contracts.parking_store import CONSUMER, OTHER, OWNER, ParkingStoreContract, Place, parked_task
from servers.database import DatabaseServer
from servers.waiting import wait_until

NOWHERE = Path("/nowhere")


class TestMariaDB(ParkingStoreContract):
    @pytest.fixture
    def place(self, mariadb_url: str) -> Place:
        return lambda: open_store(mariadb_url, NOWHERE)

    def test_the_claim_reads_its_index_in_order(self, store: ParkingStore, mariadb_url: str) -> None:
        """Sorted, the first claimer would lock every candidate."""
        store.park([parked_task(number) for number in range(1_000)])
        engine = create_engine(parking_url(mariadb_url, NOWHERE))
        with engine.connect() as connection:
            query = due_candidates(connection.dialect, CONSUMER, 20)
            compiled = str(query.compile(connection, compile_kwargs={"literal_binds": True}))
            plan = connection.exec_driver_sql(f"EXPLAIN {compiled}").mappings().one()
        engine.dispose()
        assert plan["key"] == "ix_parked_due"
        assert "filesort" not in plan["Extra"]

    def test_a_claim_leaves_free_what_it_does_not_take(self, store: ParkingStore, mariadb_url: str) -> None:
        store.park([parked_task(number) for number in range(200)])
        other = open_store(mariadb_url, NOWHERE)

        def claim_both(connection: object) -> tuple[int, int]:
            first = claims.claim_due(connection, CONSUMER, 20, OWNER)  # type: ignore[arg-type]  # a Connection
            return len(first), len(other.claim_due(CONSUMER, 200, OTHER))

        assert store._database.write(claim_both) == (20, 180)
        other.close()

    def test_the_clock_is_the_same_in_every_time_zone(self, store: ParkingStore, mariadb_url: str) -> None:
        store.park([parked_task()])
        engine = create_engine(parking_url(mariadb_url, NOWHERE))
        with engine.connect() as connection:
            connection.execute(text("SET time_zone = '+09:00'"))
            now = connection.execute(text(f"SELECT {database_now(connection.dialect.name)}")).scalar_one()
        engine.dispose()
        assert abs(float(now) - wall()) < 60


class TestPostgreSQL(ParkingStoreContract):
    @pytest.fixture
    def place(self, postgres_url: str) -> Place:
        return lambda: open_store(postgres_url, NOWHERE)


def test_a_server_that_stopped_is_told_and_found_again(restartable_mariadb: DatabaseServer) -> None:
    with restartable_mariadb.fresh_database() as url:
        _stop_and_start(restartable_mariadb, open_store(url, NOWHERE))


def test_a_postgres_that_stopped_is_told_and_found_again(restartable_postgres: DatabaseServer) -> None:
    with restartable_postgres.fresh_database() as url:
        _stop_and_start(restartable_postgres, open_store(url, NOWHERE))


def test_a_connection_that_was_cut_while_idle_is_replaced_unseen(mariadb_url: str) -> None:
    store = open_store(mariadb_url, NOWHERE)
    store.park([parked_task(1)])
    number = store._database.read(lambda connection: connection.execute(text("SELECT connection_id()")).scalar_one())
    engine = create_engine(parking_url(mariadb_url, NOWHERE))
    with engine.connect() as connection:
        connection.execute(text(f"KILL {number}"))
    engine.dispose()
    store.park([parked_task(2)])
    assert store.counts()[0].waiting == 2
    store.close()


def test_a_wrong_password_is_told_without_it(mariadb_url: str) -> None:
    wrong = parking_url(mariadb_url, NOWHERE).set(username="nobody", password="hunter2")
    store = open_store(wrong.render_as_string(hide_password=False), NOWHERE)
    with pytest.raises(StoreAwayError) as told:
        store.park([parked_task()])
    assert "hunter2" not in str(told.value)
    assert "\n" not in str(told.value)


def test_a_database_that_is_not_there_is_told(postgres_url: str) -> None:
    store = open_store(
        parking_url(postgres_url, NOWHERE).set(database="nosuch").render_as_string(hide_password=False), NOWHERE
    )
    with pytest.raises(StoreAwayError, match="does not exist"):
        store.park([parked_task()])


def _stop_and_start(server: DatabaseServer, store: ParkingStore) -> None:
    store.park([parked_task(1)])
    server.stop()
    with pytest.raises(StoreAwayError, match="is away"):
        store.park([parked_task(2)])
    server.start()

    def is_back() -> bool:
        try:
            store.park([parked_task(2)])
        except StoreAwayError:
            return False
        return True

    wait_until(is_back, 60, "the store did not find its server again")
    assert store.counts()[0].waiting == 2
    store.close()
