"""Claimed tables and the parking store, as users who have exactly the rights that stand in the manual."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from sqlalchemy import NullPool, create_engine, make_url

from consumerd.errors import SourceAwayError, SourceRefusedError, UsageError
from consumerd.model.outcome import DONE, Dead, Retry
from consumerd.model.task import TaskId
from consumerd.parking.opening import ask_parking, open_store
from consumerd.sources.contract import Settlement
from consumerd.sources.table import KIND
from consumerd.sources.table.schema import enqueue
from contracts.parking_store import dead_task
from contracts.table_bench import TableBench, closing, died, fetched, settle

MANUAL = Path(__file__).parents[2] / "docs"
WORKERS, DELETING, MOVING, ENQUEUE = "workers", 'with `done = "delete"`', 'with `done = "move"`', "enqueue"


BESIDE, BESIDE_DELETING = "beside: workers", "beside: `delete`"


def grants(page: str, *purposes: str) -> list[str]:
    """The GRANT lines of a page that are for one of these."""
    found = re.findall(r"^(GRANT .*?);\s*-- (.*)$", (MANUAL / page).read_text(), re.MULTILINE)
    chosen = [line for line, purpose in found if any(purpose.startswith(each) for each in purposes)]
    assert len(chosen) >= len(purposes)
    return chosen


@contextmanager
def user(database_url: str, lines: list[str]) -> Iterator[str]:
    """The URL of a user who has these rights and no others."""
    url, name = make_url(database_url), f"u{uuid.uuid4().hex[:8]}"
    is_mysql = url.get_backend_name() == "mysql"
    account = f"{name}@'127.0.0.1'" if is_mysql else name
    engine = create_engine(url, poolclass=NullPool, isolation_level="AUTOCOMMIT")
    tables = {"app.outbox_done": "archive", "app.outbox_claims": "tasks_claims", "app.outbox": "tasks"}
    with engine.connect() as connection:
        identified = f"IDENTIFIED BY '{name}'" if is_mysql else f"PASSWORD '{name}'"
        connection.exec_driver_sql(f"CREATE USER {account} {identified}")
        try:
            for line in lines:
                statement = re.sub(r"TO app$", f"TO {account}", line)
                for written, table in tables.items():
                    statement = statement.replace(f"{written} ", f"{table} ")
                connection.exec_driver_sql(statement.replace("app.*", f"{url.database}.*"))
            yield url.set(username=name, password=name).render_as_string(hide_password=False)
        finally:
            dropped = [f"DROP USER {account}"] if is_mysql else [f"DROP OWNED BY {name}", f"DROP ROLE {name}"]
            for statement in dropped:
                connection.exec_driver_sql(statement)


@contextmanager
def benches(database_url: str, *purposes: str, is_beside: bool = False) -> Iterator[tuple[TableBench, TableBench]]:
    """A table's owner, and one whose sources belong to a user who has the rights for this."""
    with closing(TableBench(database_url, is_server=True, is_beside=is_beside)) as owner:
        owner.make_archive()
        with (
            user(database_url, grants("claimed-tables.md", *purposes)) as url,
            closing(TableBench(url, is_server=True, is_beside=is_beside, is_made=False)) as limited,
        ):
            yield owner, limited


def work(owner: TableBench, limited: TableBench, **options: object) -> None:
    """All that a worker does with its rows, and what looks at them."""
    assert KIND.changes is not None
    owner.enqueue(*range(5))
    assert KIND.changes(limited.keys(**options), False) == ()
    source = limited.source(**options)
    parked_id = died(source)
    batch = fetched(source, 3)
    limited.clock.advance(20)  # a lease is due to be renewed
    source.tick()
    source.settle([Settlement(batch, 0, 1, DONE), Settlement(batch, 1, 2, Retry(after=60), batch.task(1))], is_due=True)
    source.release(batch, range(2, len(batch.raws)))
    source.finish_parked(TaskId(parked_id))
    settle(source, fetched(source), Dead("x"))
    for lag in (*source.lag(), *KIND.probe(limited.keys(**options))):
        assert (lag.tasks, lag.later, lag.complaint) == (0, 1, "")
    assert limited.told("settling_failed") == []


def test_workers_need_what_the_manual_says(database_url: str) -> None:
    with benches(database_url, WORKERS) as (owner, limited):
        work(owner, limited)


@pytest.mark.parametrize("options", [{"done": "delete"}, {"retention": 0.001}])
def test_who_deletes_rows_needs_what_the_manual_says(database_url: str, options: dict[str, object]) -> None:
    with benches(database_url, WORKERS, DELETING) as (owner, limited):
        work(owner, limited, **options)
        assert "done" not in owner.rows()


def test_who_moves_rows_needs_what_the_manual_says(database_url: str) -> None:
    with benches(database_url, WORKERS, DELETING, MOVING) as (owner, limited):
        work(owner, limited, done="move", done_table="archive")
        assert len(owner.archived()) == 2


@pytest.mark.parametrize(
    ("purposes", "options"),
    [
        ((), {}),
        ((BESIDE_DELETING,), {"done": "delete"}),
        ((BESIDE_DELETING,), {"retention": 0.001}),
        ((BESIDE_DELETING, MOVING), {"done": "move", "done_table": "archive"}),
    ],
)
def test_claims_beside_a_table_need_what_the_manual_says(
    database_url: str, purposes: tuple[str, ...], options: dict[str, object]
) -> None:
    with benches(database_url, BESIDE, *purposes, is_beside=True) as (owner, limited):
        work(owner, limited, **options)
        assert ("done" in owner.rows()) == (not options)


def test_who_enqueues_needs_what_the_manual_says(database_url: str) -> None:
    with benches(database_url, ENQUEUE) as (owner, limited):
        assert enqueue(limited.database, [1, 2]) == 2
        assert owner.rows() == ["pending", "pending"]


@pytest.mark.parametrize(
    ("purposes", "options"),
    [
        ((ENQUEUE,), {}),
        ((WORKERS,), {"done": "delete"}),
        ((WORKERS,), {"retention": 60.0}),
        ((WORKERS, DELETING), {"done": "move", "done_table": "archive"}),
    ],
)
def test_a_right_that_is_missing_is_one_sentence(
    database_url: str, purposes: tuple[str, ...], options: dict[str, object]
) -> None:
    assert KIND.changes is not None
    with benches(database_url, *purposes) as (owner, limited):
        owner.execute("INSERT INTO tasks (payload) VALUES ('1')")
        with pytest.raises(SourceRefusedError, match=r"denied .*: grant its user what it needs$"):
            KIND.changes({"database": limited.database, **options}, False)


def test_a_worker_without_a_right_is_told_in_one_sentence(database_url: str) -> None:
    select = [line.replace("SELECT, UPDATE", "SELECT") for line in grants("claimed-tables.md", WORKERS)]
    with closing(TableBench(database_url, is_server=True)) as owner, user(database_url, select) as url:
        owner.enqueue(1)
        with (
            closing(TableBench(url, is_server=True, is_made=False)) as limited,
            pytest.raises(SourceAwayError, match=r"denied .*: grant its user what it needs$"),
        ):
            limited.source().fetch(1, 0.0)


def test_the_parking_store_needs_what_the_manual_says(database_url: str, tmp_path: Path) -> None:
    kind = "MySQL" if database_url.startswith("mysql") else "PostgreSQL"
    with user(database_url, grants("parking.md", f"{kind}: until", f"{kind}: always")) as url:
        store = open_store(url, tmp_path)
        store.park([dead_task()])
        store.close()
        ask_parking(url)
    store = open_store(database_url, tmp_path)
    store.park([dead_task(1)])
    store.close()
    with user(database_url, grants("parking.md", f"{kind}: always")) as url:
        ask_parking(url)
        store = open_store(url, tmp_path)
        store.park([dead_task(2)])
        store.close()
    with user(database_url, []) as url, pytest.raises(UsageError, match=r"denied .*: (grant its user|see who)"):
        ask_parking(url)
