"""Who listens for a pool rings its bell when somebody has added tasks, and nobody has to look for them."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from contextlib import closing
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine

from consumerd.database.claims import Claims
from consumerd.events.facts import Fact
from consumerd.sources.table.bell import Bell
from consumerd.sources.table.listening import Listening
from consumerd.sources.table.opening import Opening
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.schema import create_table, enqueue, telling
from consumerd.sources.table.shape import find_shape
from consumerd.sources.table.statements import Statements
from consumerd.testing.source_context import context_for_tests
from servers.database import DatabaseServer
from servers.waiting import wait_until

WITHIN_S = 60.0
PENDING = "INSERT INTO tasks (payload) VALUES ('1')"
IN_LISTEN = "SELECT pid FROM pg_stat_activity WHERE datname = current_database() AND starts_with(query, 'LISTEN')"


@dataclass
class Listener:
    """What one worker does for its pool; its bell hangs where nobody else rings it."""

    database: str
    folder: Path
    table: str = "tasks"
    facts: list[Fact] = field(default_factory=list)

    def __post_init__(self) -> None:
        create_table(self.database, self.table)
        options = TableOptions(database=self.database, table=self.table)
        self._opening = Opening(options)
        self.bell = Bell(options, "id.shop.jobs", self.folder)
        self.bell.hang()
        context = replace(context_for_tests(options=options), emit=self.facts.append)
        self._listening = Listening(options, context, self._opening, self.bell)
        with closing(self._opening.database()) as database:
            shape = database.read(lambda connection: find_shape(connection, options, self._opening.place))
        clock = None if options.is_server else context.clock.wall
        self._claims: Claims = Statements(options, shape, clock).claims

    def be(self, *, is_wanted: bool) -> None:
        self._listening.be(is_wanted, self._claims.is_due)

    def wait_for_ring(self, after: str) -> None:
        wait_until(self.bell.take, WITHIN_S, f"nobody rang after {after}")

    def close(self) -> None:
        self._listening.close()
        self.bell.close()
        self._opening.close()


@pytest.fixture
def listener(tmp_path: Path) -> Iterator[Callable[..., Listener]]:
    made: list[Listener] = []

    def make(database: str, *table: str) -> Listener:
        made.append(Listener(database, tmp_path, *table))
        made[-1].be(is_wanted=True)
        return made[-1]

    yield make
    for each in made:
        each.close()


def execute(url: str, *statements: str) -> list[tuple[object, ...]]:
    """Run them in one transaction; the rows of the last one, if it has any."""
    with create_engine(url, poolclass=NullPool).begin() as connection:
        results = [connection.exec_driver_sql(statement) for statement in statements]
        return [tuple(row) for row in results[-1]] if results[-1].returns_rows else []


def test_it_hears_of_what_enqueue_adds_to_a_server(listener: Callable[..., Listener], postgres_url: str) -> None:
    pool = listener(postgres_url)
    pool.wait_for_ring("it began to listen")
    enqueue(postgres_url, [1])
    pool.wait_for_ring("enqueue")


def test_with_a_trigger_it_hears_of_any_program(listener: Callable[..., Listener], postgres_url: str) -> None:
    pool = listener(postgres_url)
    execute(postgres_url, *telling())
    pool.wait_for_ring("it began to listen")
    execute(postgres_url, PENDING)
    pool.wait_for_ring("an insert")


def test_what_is_of_another_table_rings_its_bell_alone(listener: Callable[..., Listener], postgres_url: str) -> None:
    tasks, mails = listener(postgres_url), listener(postgres_url, "mails")
    for pool in (tasks, mails):
        pool.wait_for_ring("it began to listen")
    enqueue(postgres_url, [1], "mails")
    mails.wait_for_ring("enqueue")
    assert not tasks.bell.take()


def test_a_lost_connection_is_made_anew_and_looked_for_what_came_meanwhile(
    listener: Callable[..., Listener], postgres_url: str
) -> None:
    pool = listener(postgres_url)
    pool.wait_for_ring("it began to listen")
    execute(postgres_url, f"SELECT pg_terminate_backend(pid) FROM ({IN_LISTEN}) AS sessions")
    pool.wait_for_ring("its connection was killed")
    enqueue(postgres_url, [1])
    pool.wait_for_ring("enqueue")
    assert not pool.facts


def test_a_server_that_starts_again_is_listened_to_again(
    listener: Callable[..., Listener], restartable_postgres: DatabaseServer
) -> None:
    with restartable_postgres.fresh_database() as url:
        pool = listener(url)
        pool.wait_for_ring("it began to listen")
        restartable_postgres.restart()
        pool.wait_for_ring("the server came back")
        enqueue(url, [1])
        pool.wait_for_ring("enqueue")


def test_behind_a_pooler_it_says_once_that_nothing_comes(listener: Callable[..., Listener], pgbouncer_url: str) -> None:
    pool = listener(pgbouncer_url)
    wait_until(lambda: pool.facts, WITHIN_S, "nobody was told")
    for _ in range(3):
        pool.be(is_wanted=True)
    [fact] = pool.facts
    assert fact.name == "wakeups_missing"
    assert "PgBouncer" in str(fact.fields["error"])


def test_who_ceases_to_listen_lets_go_of_the_connection(listener: Callable[..., Listener], postgres_url: str) -> None:
    pool = listener(postgres_url)
    pool.wait_for_ring("it began to listen")
    assert execute(postgres_url, IN_LISTEN)
    pool.be(is_wanted=False)
    wait_until(lambda: not execute(postgres_url, IN_LISTEN), WITHIN_S, "it listens still")
    pool.be(is_wanted=True)
    pool.wait_for_ring("it listened again")


def test_a_file_is_looked_at_for_what_any_program_adds(listener: Callable[..., Listener], tmp_path: Path) -> None:
    pool = listener(str(tmp_path / "tasks.sqlite"))
    with closing(sqlite3.connect(tmp_path / "tasks.sqlite")) as file:
        file.execute(PENDING)
        assert not pool.bell.take()
        file.commit()
    pool.wait_for_ring("a commit")
