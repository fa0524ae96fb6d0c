"""A claimed table on a server while its server is in trouble, or others are in the way: nothing is lost or held up."""

from __future__ import annotations

import shutil
import threading
import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import date
from pathlib import Path
from typing import ClassVar

import pytest
from sqlalchemy import Connection, NullPool, create_engine, make_url, text
from sqlalchemy.exc import DBAPIError

from consumerd.errors import SourceAwayError
from consumerd.sources.table.source import TableSource
from contracts.table_bench import TableBench, closing, fetched, record, settle
from integration.scenarios.recovery import Recovery
from integration.scenarios.store_away import CannotTakeAwayError, Thief, full
from servers.accounts import private_folder, server_account
from servers.database import DatabaseServer
from servers.environment import is_ci
from servers.proxy import Proxy, between
from servers.waiting import wait_until

WAIT_S = 60.0
_WAITS = {
    "mysql": "SELECT count(*) FROM information_schema.processlist WHERE state = 'Updating'",
    "postgresql": "SELECT count(*) FROM pg_stat_activity WHERE wait_event_type = 'Lock'",
}
_SESSIONS = {
    "mysql": "SELECT id FROM information_schema.processlist WHERE id <> connection_id() AND db = database()",
    "postgresql": "SELECT pid FROM pg_stat_activity WHERE pid <> pg_backend_pid() AND datname = current_database()",
}
_END = {"mysql": "KILL {0}", "postgresql": "SELECT pg_terminate_backend({0})"}


@pytest.fixture
def bench(database_url: str) -> Iterator[TableBench]:
    with closing(TableBench(database_url, is_server=True)) as bench:
        yield bench


@contextmanager
def somebody(url: str, **options: str) -> Iterator[Connection]:
    """Somebody else's connection; what it has not committed is rolled back."""
    engine = create_engine(url, poolclass=NullPool, **options)  # type: ignore[call-overload]  # options of any type
    with engine.connect() as connection:
        yield connection
        connection.rollback()


def handled(source: TableSource) -> int:
    """How many rows are claimed and settled until there are none."""
    count = 0
    while (batch := source.fetch(100, 0.0)) is not None:
        count += len(batch.raws)
        settle(source, batch)
    return count


def again(step: Callable[[], object], most: int) -> int:
    """Take a step until the source is not away, at most so often; how often it was away."""
    for times in range(most + 1):
        try:
            step()
        except SourceAwayError:
            continue
        return times
    raise AssertionError(f"the source is still away after {most} tries")


class TestLocks:
    def test_a_row_that_somebody_has_locked_is_settled_later_and_holds_up_no_other(self, bench: TableBench) -> None:
        bench.enqueue(1, 2, 3)
        source = bench.source()
        batch = fetched(source)
        with somebody(bench.database) as other:
            other.execute(text("SELECT * FROM tasks WHERE id = 2 FOR UPDATE"))
            settle(source, batch)
            assert bench.rows() == ["done", "claimed", "done"]
            bench.enqueue(4)
            settle(source, fetched(source))
        [told] = bench.told("settling_failed")
        assert "tasks:2" in str(told.fields["error"])
        assert "end the transaction that has locked it" in str(told.fields["error"])
        bench.clock.advance(1.0)
        assert source.fetch(100, 0.0) is None
        assert (bench.rows(), source.unsettled()) == (["done"] * 4, 0)
        assert bench.told("lease_lost") == []

    def test_a_successor_starts_although_a_row_of_its_slot_is_locked(self, bench: TableBench) -> None:
        bench.enqueue(1, 2)
        fetched(bench.source("m", 1), 1)
        with somebody(bench.database) as other:
            other.execute(text("SELECT * FROM tasks WHERE id = 1 FOR UPDATE"))
            successor = bench.source("m", 2)
            assert handled(successor) == 1
        assert [fact.fields["then"] for fact in bench.told("release_failed")] == ["the lease runs out"]
        bench.let_pass(31.0)
        assert handled(successor) == 1
        assert bench.rows() == ["done", "done"]

    def test_a_deadlock_with_somebody_is_over_by_itself(self, bench: TableBench) -> None:
        bench.enqueue(1, 2)
        source = bench.source()
        batch = fetched(source)
        with somebody(bench.database) as other, somebody(bench.database, isolation_level="AUTOCOMMIT") as observer:
            other.execute(text("UPDATE tasks SET payload = '7' WHERE id = 2"))
            settling = threading.Thread(target=lambda: settle(source, batch))
            settling.start()
            waits = text(_WAITS[other.dialect.name])
            wait_until(lambda: observer.execute(waits).scalar_one(), WAIT_S, "the settlement waits for a lock")
            try:
                other.execute(text("UPDATE tasks SET payload = '7' WHERE id = 1"))
                other.commit()
            except DBAPIError:  # the server ended this one
                other.rollback()
            settling.join(WAIT_S)
        bench.clock.advance(1.0)
        source.fetch(100, 0.0)
        assert (bench.rows(), source.unsettled()) == (["done", "done"], 0)


class TestValues:
    ODD: ClassVar[dict[str, dict[str, str]]] = {
        "mysql": {
            "a": "DECIMAL(30, 10) DEFAULT 12345678901234567890.0123456789",
            "b": "DATE DEFAULT '2026-02-28'",
            "c": "DATETIME(6) DEFAULT '2026-02-28 23:59:59.999999'",
            "d": "TIME(6) DEFAULT '-12:00:00.5'",
            "e": "BLOB DEFAULT X'00FF00'",
            "f": "TEXT CHARACTER SET utf8mb4 DEFAULT 'Zoë 🎉 漢'",
            "g": "BOOLEAN DEFAULT TRUE",
            "h": "BIGINT UNSIGNED DEFAULT 18446744073709551615",
            "i": "ENUM('x', 'y') DEFAULT 'y'",
            "j": "JSON DEFAULT '{\"n\": [1.5, null]}'",
        },
        "postgresql": {
            "a": "NUMERIC(30, 10) DEFAULT 12345678901234567890.0123456789",
            "b": "DATE DEFAULT '2026-02-28'",
            "c": "TIMESTAMPTZ DEFAULT '2026-02-28 23:59:59.999999+09'",
            "d": "INTERVAL DEFAULT '-1 day 00:00:00.5'",
            "e": "BYTEA DEFAULT '\\x00ff00'",
            "f": "TEXT DEFAULT 'Zoë 🎉 漢'",
            "g": "BOOLEAN DEFAULT TRUE",
            "h": "UUID DEFAULT 'a0eebc99-9c0b-4ef8-bb6d-6bb9bd380a11'",
            "i": "INTEGER[] DEFAULT '{1,2,NULL}'",
            "j": "JSONB DEFAULT '{\"n\": [1.5, null]}'",
            "k": "DOUBLE PRECISION DEFAULT 'NaN'",
        },
    }

    def test_a_row_of_any_values_is_the_same_from_the_table_and_from_its_parked_copy(self, bench: TableBench) -> None:
        columns = self.ODD[make_url(bench.database).get_backend_name()]
        for name, kind in columns.items():
            bench.execute(f"ALTER TABLE tasks ADD COLUMN {name} {kind}".replace(":", "\\:"))
        bench.enqueue(1)
        source = bench.source(columns=list(columns))
        batch = fetched(source)
        row, copy = record(batch), source.decode(batch.task(0).payload or b"")
        assert isinstance(row, dict)
        assert isinstance(copy, dict)
        assert [(name, type(value), str(value)) for name, value in copy.items()] == [
            (name, type(value), str(value)) for name, value in row.items()
        ]
        assert list(row) == list(columns)

    def test_dates_that_python_has_not_come_as_text(self, postgres_url: str) -> None:
        with closing(TableBench(postgres_url, is_server=True)) as bench:
            bench.execute("ALTER TABLE tasks ADD COLUMN until TIMESTAMPTZ, ADD COLUMN days DATE[], ADD COLUMN at TIME")
            bench.enqueue(1)
            bench.execute("UPDATE tasks SET until = 'infinity', days = '{infinity,2026-02-28}', at = '24:00'")
            source = bench.source(columns=["until", "days", "at"])
            found = record(fetched(source))
            assert found == {"until": "infinity", "days": ["infinity", date(2026, 2, 28)], "at": "24:00:00"}


class TestLostAnswers:
    @pytest.fixture
    def through(self, database_url: str) -> Iterator[tuple[TableBench, Proxy]]:
        with between(database_url) as (url, proxy), closing(TableBench(url, is_server=True)) as bench:
            yield bench, proxy

    def test_a_settlement_whose_answer_is_lost_is_written_again_and_told_as_no_loss(
        self, through: tuple[TableBench, Proxy]
    ) -> None:
        bench, proxy = through
        bench.enqueue(*range(10))
        source = bench.source()
        batch = fetched(source, 5)
        settle(source, batch, is_due=False)
        proxy.loses_commits = True
        with pytest.raises(SourceAwayError):
            source.fetch(100, 0.0)
        proxy.loses_commits = False
        assert proxy.lost > 0
        assert bench.rows().count("done") == 5, "the answer was lost, not the transaction"
        assert handled(source) == 5
        assert (bench.rows(), source.unsettled(), bench.told("lease_lost")) == (["done"] * 10, 0, [])

    def test_rows_of_a_claim_whose_answer_is_lost_are_claimed_again_at_once(
        self, through: tuple[TableBench, Proxy]
    ) -> None:
        bench, proxy = through
        bench.enqueue(*range(3))
        source = bench.source()
        proxy.loses_commits = True
        with pytest.raises(SourceAwayError):
            source.fetch(100, 0.0)
        proxy.loses_commits = False
        assert bench.rows() == ["claimed"] * 3, "the answer was lost, not the transaction"
        assert handled(source) == 3


class TestConnections:
    @pytest.mark.parametrize("phase", ["before a claim", "before a settlement", "before a renewal"])
    def test_connections_that_are_ended_cost_nothing(self, bench: TableBench, phase: str) -> None:
        bench.enqueue(*range(6))
        source = bench.source()
        batch = fetched(source, 3)
        bench.clock.advance(11.0)
        source.tick()
        if phase == "before a claim":
            settle(source, batch)
        end_connections(bench.database)
        if phase == "before a renewal":
            bench.clock.advance(11.0)
            assert again(source.tick, 1) == 1
        settle(source, batch)
        assert again(lambda: handled(source), 1) <= 1
        assert (bench.rows(), source.unsettled(), bench.told("lease_lost")) == (["done"] * 6, 0, [])

    def test_a_server_that_only_reads_is_away_until_it_writes_again(
        self, mariadb: DatabaseServer, database_url: str
    ) -> None:
        url = make_url(database_url)
        with closing(TableBench(database_url, is_server=True)) as bench:
            bench.enqueue(1, 2)
            bench.database = limited_user(mariadb, database_url) if url.get_backend_name() == "mysql" else database_url
            source = bench.source()
            batch = fetched(source, 1)
            with reading_only(database_url):
                settle(source, batch)
                with pytest.raises(SourceAwayError, match="see that it runs"):
                    source.fetch(100, 0.0)
                with pytest.raises(SourceAwayError, match="see who may write there"):
                    source.fetch(100, 0.0)
            again(lambda: handled(source), 1)
            assert (bench.rows(), bench.told("lease_lost")) == (["done", "done"], [])


class TestPools:
    @pytest.mark.parametrize("server", ["mariadb", "postgres"])
    def test_a_pool_works_on_after_its_server_was_in_trouble(
        self, request: pytest.FixtureRequest, state_dir: Path, server: str
    ) -> None:
        database: DatabaseServer = request.getfixturevalue(f"restartable_{server}")
        url: str = request.getfixturevalue(f"{server}_url")
        recovery = Recovery(state_dir, database, url, workers=4, window_s=2.0)
        report = recovery.run(["restarted", "connections", "exhausted"], back_within_s=2.0)
        assert report.complaints == [], report
        assert min(recovery.ratios().values()) > 0, "a pool stands still"

    def test_rows_are_claimed_through_a_pooler_that_takes_no_settings(self, pgbouncer_url: str) -> None:
        with closing(TableBench(pgbouncer_url, is_server=True)) as bench:
            bench.enqueue(1, 2)
            assert handled(bench.source()) == 2


@pytest.fixture
def small_disk() -> Iterator[tuple[Path, Thief]]:
    """A folder of PostgreSQL's, which is a small file system of its own, and what fills it."""
    account = server_account("postgres")
    folder = private_folder("disk", account)
    try:
        with full(folder) as thief:
            shutil.chown(folder, account)
            yield folder, thief
    except CannotTakeAwayError as error:
        pytest.fail(str(error)) if is_ci() else pytest.skip(str(error))
    finally:
        folder.rmdir()


def test_a_table_on_a_full_disk_is_away_until_there_is_room(postgres_url: str, small_disk: tuple[Path, Thief]) -> None:
    folder, disk = small_disk
    space = f"small_{uuid.uuid4().hex[:8]}"
    with somebody(postgres_url, isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(f"CREATE TABLESPACE {space} LOCATION '{folder}'"))
        try:
            with closing(TableBench(postgres_url, is_server=True)) as bench:
                bench.execute(f"ALTER TABLE tasks SET TABLESPACE {space}")
                bench.enqueue(*("x" * 1_000 for _ in range(50)))
                source = bench.source()
                settle(source, fetched(source, 10))
                disk.take()
                with pytest.raises(SourceAwayError, match="free some space"):
                    handled(source)
                disk.give_back()
                again(lambda: handled(source), 1)
                assert (bench.rows(), bench.told("lease_lost")) == (["done"] * 50, [])
        finally:
            connection.execute(text("DROP TABLE tasks"))
            connection.execute(text(f"DROP TABLESPACE {space}"))


def end_connections(url: str) -> None:
    with somebody(url, isolation_level="AUTOCOMMIT") as connection:
        backend = connection.dialect.name
        for session in connection.execute(text(_SESSIONS[backend])).scalars().all():
            connection.execute(text(_END[backend].format(session)))


@contextmanager
def reading_only(url: str) -> Iterator[None]:
    """The server takes no writes, and its connections begin anew, as when it has become the copy of another one."""
    name = make_url(url).database
    switch = {
        "mysql": "SET GLOBAL read_only = {0}",
        "postgresql": f"ALTER DATABASE {name} SET default_transaction_read_only = {{0}}",
    }[make_url(url).get_backend_name()]
    with somebody(url, isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text(switch.format("ON")))
    end_connections(url)
    try:
        yield
    finally:
        with somebody(url, isolation_level="AUTOCOMMIT") as connection:
            if connection.dialect.name == "postgresql":
                connection.execute(text("SET default_transaction_read_only = OFF"))
            connection.execute(text(switch.format("OFF")))
        end_connections(url)


def limited_user(server: DatabaseServer, url: str) -> str:
    """The URL of the same database for a user who may not write where others may not."""
    place = make_url(url)
    with somebody(server.url.render_as_string(hide_password=False), isolation_level="AUTOCOMMIT") as connection:
        connection.execute(text("CREATE OR REPLACE USER limited@'127.0.0.1' IDENTIFIED BY 'secret'"))
        connection.execute(text(f"GRANT SELECT, UPDATE ON {place.database}.* TO limited@'127.0.0.1'"))
    return place.set(username="limited", password="secret").render_as_string(hide_password=False)
