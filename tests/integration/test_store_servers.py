"""The parking store on the servers that hosts share passes the suite of all stores, and what is their own."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import replace
from functools import partial
from pathlib import Path

import pytest
from sqlalchemy import URL, Connection, NullPool, create_engine, inspect, make_url, text

from consumerd.clock import monotonic, wall
from consumerd.database.dialects import database_now
from consumerd.database.sql import run
from consumerd.errors import StoreAwayError, UnstorableError, UsageError
from consumerd.model.task import TaskId
from consumerd.parking import claims
from consumerd.parking.claims import claims_in
from consumerd.parking.opening import ask_parking, open_store, open_store_thread, parking_url
from consumerd.parking.people.browsing import ParkedFilter, listed
from consumerd.parking.presence import has_nothing_on_server
from consumerd.parking.records import INLINE_LIMIT_BYTES
from consumerd.parking.schema import MIGRATIONS, ensure_schema
from consumerd.parking.store import ParkingStore
from consumerd.parking.thread import StoreThread
from contracts.parking_store import (
    CONSUMER,
    OTHER,
    OWNER,
    ParkingStoreContract,
    Place,
    dead_task,
    parked_task,
    rows,
    suspect_task,
)
from servers.database import DatabaseServer
from servers.waiting import wait_until

NOWHERE = Path("/nowhere")
PASSING = ("utf-8", "surrogatepass")


class TestMariaDB(ParkingStoreContract):
    @pytest.fixture
    def place(self, mariadb_url: str) -> Place:
        return lambda: open_store(mariadb_url, NOWHERE)

    def test_the_claim_reads_its_index_in_order(self, store: ParkingStore, mariadb_url: str) -> None:
        """Sorted, the first claimer would lock every candidate."""
        store.park([parked_task(number) for number in range(1_000)])
        engine = create_engine(parking_url(mariadb_url, NOWHERE))
        with engine.connect() as connection:
            query = claims_in(connection.dialect.name).looks.claiming().looks[0]
            explain = replace(query, text=f"EXPLAIN {query.text}")
            plan = run(connection, explain, consumer=CONSUMER, limit=20).mappings().one()
        engine.dispose()
        assert plan["key"] == "ix_parked_due"
        assert "filesort" not in plan["Extra"]

    def test_a_page_of_a_list_is_found_by_the_index(self, store: ParkingStore, mariadb_url: str) -> None:
        store.park([dead_task(number) for number in range(1_000)])
        last = rows(store)[500]
        after = (float(str(last["last_at"])), store.keys_of(str(last["handle"]))[0])
        engine = create_engine(parking_url(mariadb_url, NOWHERE))
        with engine.connect() as connection:
            query = listed(connection, ParkedFilter(), after, None).limit(10)
            compiled = str(query.compile(connection, compile_kwargs={"literal_binds": True}))
            plan = connection.exec_driver_sql(f"EXPLAIN {compiled}").mappings().one()
        engine.dispose()
        assert (plan["key"], plan["type"]) == ("ix_parked_last", "range")
        assert "filesort" not in plan["Extra"]

    def test_a_claim_leaves_free_what_it_does_not_take(self, store: ParkingStore, mariadb_url: str) -> None:
        store.park([parked_task(number) for number in range(200)])
        other = open_store(mariadb_url, NOWHERE)

        def claim_both(connection: object) -> tuple[int, int]:
            first = claims.claim_due(connection, CONSUMER, 20, OWNER)  # type: ignore[arg-type]  # a Connection
            return len(first), len(other.claim_due(CONSUMER, 200, OTHER))

        assert store.database.write(claim_both) == (20, 180)
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


ODD = "🎉 Zoë 漢 a\0b \udc80 \r back\\slash \\u0041"


@pytest.mark.parametrize("charset", ["latin1", "utf8mb3"])
def test_any_text_is_kept_in_a_mariadb_database_of_another_charset(mariadb_url: str, charset: str) -> None:
    engine = create_engine(mariadb_url)
    with engine.begin() as connection:
        connection.execute(text(f"ALTER DATABASE CHARACTER SET {charset}"))
    engine.dispose()
    _keeps_odd_text(make_url(mariadb_url).set(query={"charset": "utf8mb3"}))


@pytest.mark.parametrize("encoding", ["LATIN1", "SQL_ASCII"])
def test_any_text_is_kept_in_a_postgres_database_of_another_encoding(postgres: DatabaseServer, encoding: str) -> None:
    with postgres.fresh_database(f"ENCODING {encoding} TEMPLATE template0 LC_COLLATE 'C' LC_CTYPE 'C'") as url:
        _keeps_odd_text(make_url(url))


def _keeps_odd_text(url: URL) -> None:
    store = open_store(url.render_as_string(hide_password=False), NOWHERE)
    odd = replace(dead_task(), task_id=TaskId(ODD), source=ODD, error=ODD, traceback=ODD, payload=ODD.encode(*PASSING))
    odd = replace(odd, key=b"\xff\0", headers=((ODD, b"\xf0\0"),))
    store.park([odd, replace(dead_task(2), error="Zoë", traceback="x" * 100_000)])
    (found,) = store.find(ODD)
    assert found == odd
    assert store.parked_from(CONSUMER, ODD, 0, 0) == {ODD}
    assert [row["error"] for row in rows(store, ParkedFilter(error="Zoë 漢"))] == [ODD]
    store.note_suspect(replace(suspect_task(3, 1), error=ODD, source=ODD))
    assert [suspect.ends for suspect in store.suspects_of(CONSUMER)] == [ODD]
    store.close()


def test_a_task_is_kept_in_pieces_that_a_server_of_small_packets_takes(restartable_mariadb: DatabaseServer) -> None:
    with restartable_mariadb.fresh_database() as url, _small_packets(url):
        store = open_store(url, NOWHERE)
        for payload in (b"\0'" * 1_000_000, b"'" * INLINE_LIMIT_BYTES):
            task = replace(dead_task(), payload=payload, key=b"\0" * 90, traceback="'漢" * 40_000, error="'" * 9_000)
            store.park([task, *(replace(dead_task(n), payload=payload) for n in range(1, 4))])
            assert store.find(task.task_id)[0].payload == payload
        store.close()


@contextmanager
def _small_packets(url: str) -> Iterator[None]:
    """Let new connections to the server send no statement above 1 MiB."""
    engine = create_engine(url, poolclass=NullPool)
    with engine.begin() as connection:
        before = connection.execute(text("SELECT @@global.max_allowed_packet")).scalar_one()
        connection.execute(text("SET GLOBAL max_allowed_packet = 1048576"))
    try:
        yield
    finally:
        with engine.begin() as connection:
            connection.execute(text(f"SET GLOBAL max_allowed_packet = {before:d}"))


@pytest.mark.parametrize(
    "refused",
    [{"position": 2**70}, {"offset": -(2**63) - 1}, {"shard": 2**40}],
    ids=["a position too large", "an offset too small", "a shard too large"],
)
def test_what_no_column_holds_is_refused_and_the_store_is_not_away(database_url: str, refused: dict[str, int]) -> None:
    store = open_store(database_url, NOWHERE)
    with pytest.raises(UnstorableError):
        store.park([dead_task(1), replace(dead_task(2), **refused)])  # type: ignore[arg-type]  # numbers of any size
    store.park([dead_task(1)])
    assert store.parked_count(CONSUMER)[1] == 1
    store.close()


def test_a_server_that_stopped_is_told_and_found_again(restartable_mariadb: DatabaseServer) -> None:
    with restartable_mariadb.fresh_database() as url:
        _stop_and_start(restartable_mariadb, open_store(url, NOWHERE))


def test_a_postgres_that_stopped_is_told_and_found_again(restartable_postgres: DatabaseServer) -> None:
    with restartable_postgres.fresh_database() as url:
        _stop_and_start(restartable_postgres, open_store(url, NOWHERE))


def test_a_pooler_that_gives_each_transaction_another_connection_can_stand_before_the_store(pgbouncer_url: str) -> None:
    """Statements that one transaction had prepared on its server connection would be missing, or twice, in the next."""
    stores = [open_store(pgbouncer_url, NOWHERE) for _ in range(4)]
    ask_parking(pgbouncer_url)

    def work(store: ParkingStore, first: int) -> None:
        for number in range(first, first + 20):
            store.park([parked_task(number)])
            store.claim_due(CONSUMER, 1, OWNER)
            assert store.next_due(CONSUMER) is not None

    _side_by_side(partial(work, store, 1_000 * number) for number, store in enumerate(stores))
    assert stores[0].parked_count(CONSUMER)[0] == 80
    for store in stores:
        store.close()


def test_fewer_connections_than_stores_are_shared(database_url: str) -> None:
    _park_one(database_url)
    with _account(database_url, "SELECT, INSERT, UPDATE, DELETE", connections=2) as url:
        threads = [open_store_thread(url, NOWHERE) for _ in range(8)]

        def work(thread: StoreThread, first: int) -> None:
            for number in range(first, first + 5):
                park = partial(ParkingStore.park, tasks=[parked_task(number)])
                thread.call(park, 60)
                assert not thread.has_nothing(CONSUMER)

        _side_by_side(partial(work, thread, 1_000 * number) for number, thread in enumerate(threads, 1))
        for thread in threads:
            thread.close(monotonic() + 10)
    store = open_store(database_url, NOWHERE)
    assert store.parked_count(CONSUMER)[0] == 41
    store.close()


def test_a_store_that_is_not_used_holds_no_connection(database_url: str) -> None:
    with _account(database_url, "SELECT, INSERT, UPDATE, DELETE, CREATE") as url:
        assert has_nothing_on_server(parking_url(url, NOWHERE), CONSUMER)
    _park_one(database_url)
    with _account(database_url, "SELECT, INSERT, UPDATE, DELETE") as url:
        thread = open_store_thread(url, NOWHERE)
        assert thread.has_nothing("group/other")
        assert not thread.has_nothing(CONSUMER)
        assert thread.call(lambda store: store.next_due(CONSUMER)) == 0
        wait_until(lambda: _connections_of(database_url, url) == 0, 20, "it holds its connection")
        assert thread.call(lambda store: store.next_due(CONSUMER)) == 0
        thread.close(monotonic() + 10)


def _park_one(url: str) -> None:
    store = open_store(url, NOWHERE)
    store.park([parked_task()])
    store.close()


def _side_by_side(works: Iterable[Callable[[], None]]) -> None:
    with ThreadPoolExecutor(max_workers=8) as pool:
        for done in [pool.submit(work) for work in works]:
            done.result(60)


def _connections_of(database_url: str, account_url: str) -> int:
    """How many connections the account has now."""
    url, name = make_url(database_url), make_url(account_url).username
    views = {"mysql": "information_schema.processlist WHERE user", "postgresql": "pg_stat_activity WHERE usename"}
    engine = create_engine(url, poolclass=NullPool)
    with engine.connect() as connection:
        question = text(f"SELECT count(*) FROM {views[url.get_backend_name()]} = :name")
        return int(connection.execute(question, {"name": name}).scalar_one())


def test_a_connection_that_was_cut_while_idle_is_replaced_unseen(mariadb_url: str) -> None:
    store = open_store(mariadb_url, NOWHERE)
    store.park([parked_task(1)])
    number = store.database.read(lambda connection: connection.execute(text("SELECT connection_id()")).scalar_one())
    engine = create_engine(parking_url(mariadb_url, NOWHERE))
    with engine.connect() as connection:
        connection.execute(text(f"KILL {number}"))
    engine.dispose()
    store.park([parked_task(2)])
    assert store.parked_count(CONSUMER)[0] == 2
    store.close()


def test_a_wrong_password_is_told_without_it(mariadb_url: str) -> None:
    wrong = parking_url(mariadb_url, NOWHERE).set(username="nobody", password="hunter2")
    store = open_store(wrong.render_as_string(hide_password=False), NOWHERE)
    with pytest.raises(StoreAwayError) as told:
        store.park([parked_task()])
    assert "hunter2" not in str(told.value)
    assert "\n" not in str(told.value)


def test_check_names_a_wrong_password_and_an_unknown_database(database_url: str) -> None:
    url = make_url(database_url)
    for wrong, words in ((url.set(password="hunter2"), "correct its user"), (url.set(database="nosuch"), "nosuch")):
        with pytest.raises(UsageError, match=words) as told:
            ask_parking(wrong.render_as_string(hide_password=False))
        assert "hunter2" not in str(told.value)


def test_check_is_content_with_a_store_whatever_is_there_and_changes_nothing(database_url: str) -> None:
    ask_parking(database_url)
    engine = create_engine(database_url, poolclass=NullPool)
    assert inspect(engine).get_table_names() == []
    store = open_store(database_url, NOWHERE)
    store.park([dead_task()])
    ask_parking(database_url)
    assert store.parked_count(CONSUMER)[1] == 1
    store.close()


def test_an_older_store_is_brought_to_this_version_once_by_many_at_once(database_url: str) -> None:
    def add_column(connection: Connection) -> None:
        connection.exec_driver_sql("ALTER TABLE parked ADD COLUMN told_at DOUBLE PRECISION")

    _park_one(database_url)
    stores = [open_store(database_url, NOWHERE) for _ in range(4)]
    for store in stores:
        assert store.parked_count(CONSUMER)[0] == 1
    bring = partial(ensure_schema, migrations=[*MIGRATIONS, add_column])
    _side_by_side(partial(store.database.write, bring) for store in stores)
    assert stores[0].parked_count(CONSUMER)[0] == 1
    for store in stores:
        store.close()
    with pytest.raises(StoreAwayError, match="update consumerd"):
        _park_one(database_url)


def test_check_says_of_a_server_that_does_not_run_that_it_may_be_up_later() -> None:
    for url in ("mysql://u@127.0.0.1:9/d", "postgresql://u@127.0.0.1:9/d"):
        with pytest.raises(StoreAwayError, match=r"cannot be used.*see that it runs"):
            ask_parking(url)


@pytest.mark.parametrize(
    ("rights", "has_tables"),
    [("SELECT", False), ("SELECT, INSERT, UPDATE, DELETE, CREATE", False), ("SELECT, INSERT, UPDATE", True)],
)
def test_check_names_a_right_that_is_missing(database_url: str, rights: str, has_tables: bool) -> None:
    if has_tables:
        store = open_store(database_url, NOWHERE)
        store.park([dead_task()])
        store.close()
    with _account(database_url, rights) as url:
        if "CREATE" in rights and url.startswith("postgresql"):
            ask_parking(url)  # who may make a table there may index it
            return
        with pytest.raises(UsageError, match=r"denied.*grant its user|denied.*see who may"):
            ask_parking(url)


@contextmanager
def _account(database_url: str, rights: str, connections: int = 50) -> Iterator[str]:
    """The URL of an account that has these rights alone, on what the database holds now, and so many connections."""
    url, name = make_url(database_url), f"u{uuid.uuid4().hex[:8]}"
    is_mysql = url.get_backend_name() == "mysql"
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    tables, create = rights.removesuffix(", CREATE"), rights.endswith("CREATE")
    made = [
        f"CREATE USER {name} PASSWORD 'x' CONNECTION LIMIT {connections}",
        f"GRANT {tables} ON ALL TABLES IN SCHEMA public TO {name}",
    ]
    made += [f"GRANT CREATE ON SCHEMA public TO {name}"] if create else []
    dropped = [f"DROP OWNED BY {name}", f"DROP ROLE {name}"]
    if is_mysql:
        account = f"{name}@'127.0.0.1'"
        made = [
            f"CREATE USER {account} IDENTIFIED BY 'x' WITH MAX_USER_CONNECTIONS {connections}",
            f"GRANT {rights} ON {url.database}.* TO {account}",
        ]
        dropped = [f"DROP USER {account}"]
    with engine.connect() as connection:
        for statement in made:
            connection.exec_driver_sql(statement)
        try:
            yield url.set(username=name, password="x").render_as_string(hide_password=False)
        finally:
            for statement in dropped:
                connection.exec_driver_sql(statement)


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
    assert store.parked_count(CONSUMER)[0] == 2
    store.close()
