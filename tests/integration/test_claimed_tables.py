"""Claimed tables pass their suite, and that of all sources, on servers."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace

import pytest

from consumerd.errors import SourceRefusedError
from consumerd.model.outcome import Retry
from consumerd.sources.contract import Settlement, Source, SourceContext
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.schema import create_table, enqueue
from consumerd.sources.table.source import TableSource
from consumerd.testing.source_contract import Feed, SourceContract
from contracts.claimed_table import ClaimedTableContract
from contracts.claimed_transactions import TransactionsContract
from contracts.moved_rows import MovedRowsContract
from contracts.parked_copies import ParkedCopiesContract
from contracts.side_table import SideTableContract
from contracts.table_as_it_is import TableAsItIsContract
from contracts.table_bench import TableBench, closing, fetched, record, settle
from contracts.table_ddl import TableDdlContract, finds_unfit


class TestServers(ClaimedTableContract, TableAsItIsContract, MovedRowsContract, ParkedCopiesContract):
    @pytest.fixture(params=[False, True], ids=["own columns", "claims beside it"])
    def bench(self, database_url: str, request: pytest.FixtureRequest) -> Iterator[TableBench]:
        with closing(TableBench(database_url, is_server=True, is_beside=request.param)) as bench:
            yield bench

    def test_what_is_released_keeps_its_place(self, bench: TableBench) -> None:
        bench.enqueue(*range(4))
        source = bench.source()
        batch = fetched(source, 2)
        source.release(batch, range(len(batch.raws)))
        assert record(fetched(source, 1)) == 0


class TestServersTransactions(TransactionsContract):
    @pytest.fixture(params=[False, True], ids=["own columns", "claims beside it"])
    def bench(self, database_url: str, request: pytest.FixtureRequest) -> Iterator[TableBench]:
        with closing(TableBench(database_url, is_server=True, is_beside=request.param)) as bench:
            yield bench


class TestServersDdl(TableDdlContract):
    @pytest.fixture
    def bench(self, database_url: str) -> Iterator[TableBench]:
        with closing(TableBench(database_url, is_server=True)) as bench:
            yield bench


class TestBesideOnServers(SideTableContract):
    @pytest.fixture
    def bench(self, database_url: str) -> Iterator[TableBench]:
        with closing(TableBench(database_url, is_server=True, is_beside=True)) as bench:
            yield bench


@pytest.mark.parametrize("kind", ["REAL", "FLOAT(10)", "BIT(8)"])
def test_a_key_by_which_no_row_is_found_again_is_refused(database_url: str, kind: str) -> None:
    is_mysql = database_url.startswith("mysql")
    with closing(TableBench(database_url, is_server=True)) as bench:
        bench.execute("CREATE TABLE inexact AS SELECT * FROM tasks")
        bench.execute("ALTER TABLE inexact DROP COLUMN id")
        bench.execute(f"ALTER TABLE inexact ADD COLUMN id {kind} PRIMARY KEY")
        if is_mysql and kind == "REAL":  # which is DOUBLE there
            bench.source(table="inexact")
            return
        with pytest.raises(SourceRefusedError, match=r"of its key, as .*, by which a row is not found again"):
            bench.source(table="inexact")


def test_an_index_that_mariadb_ignores_is_none(mariadb_url: str) -> None:
    with closing(TableBench(mariadb_url, is_server=True)) as bench:
        bench.enqueue(1)
        bench.execute("ALTER TABLE tasks ALTER INDEX ix_tasks_due IGNORED")
        assert record(fetched(bench.source())) == 1


@pytest.mark.parametrize("where", ["payload <> $$it's :x$$", r"payload <> E'it\'s :x'", "(ARRAY[1, 2])[1:2] = '{1,2}'"])
def test_a_condition_may_have_all_that_postgresql_knows(postgres_url: str, where: str) -> None:
    with closing(TableBench(postgres_url, is_server=True)) as bench:
        bench.enqueue(1, 2)
        source = bench.source(where=where)
        settle(source, fetched(source))
        assert (bench.rows(), source.lag()[0].tasks) == (["done", "done"], 0)


def test_an_index_that_has_no_order_does_not_serve(postgres_url: str) -> None:
    with closing(TableBench(postgres_url, is_server=True)) as bench:
        assert finds_unfit(bench, "USING brin (state, due_at)")


def test_times_that_are_infinite_are_no_measure_of_the_lag(postgres_url: str) -> None:
    with closing(TableBench(postgres_url, is_server=True)) as bench:
        bench.enqueue(*range(4))
        bench.execute("UPDATE tasks SET due_at = '-infinity', first_at = '-infinity' WHERE id = 1")
        bench.execute("UPDATE tasks SET due_at = 'infinity', state = 'done' WHERE id = 2")
        bench.execute("UPDATE tasks SET due_at = 'nan', state = 'dead' WHERE id = 3")
        source = bench.source()
        lag = source.lag()[0]
        assert (lag.tasks, lag.oldest_s, lag.position) == (2, None, 0)
        batch = fetched(source)
        source.settle([Settlement(batch, 0, 1, Retry(after=0.0))], is_due=False)
        source.release(batch, range(1, len(batch.raws)))
        assert bench.rows() == ["pending", "done", "dead", "pending"]


def test_what_is_nested_in_a_row_is_each_attempts_own(postgres_url: str) -> None:
    with closing(TableBench(postgres_url, is_server=True)) as bench:
        bench.enqueue(1)
        bench.execute("ALTER TABLE tasks ADD COLUMN data JSONB DEFAULT '{\"n\": [0]}'")
        batch = fetched(bench.source(columns=["data"]))
        first = batch.decode(batch.payload(batch.raws[0]))
        first["data"]["n"].append(1)  # type: ignore[index]  # a row
        assert batch.decode(batch.payload(batch.raws[0])) == {"data": {"n": [0]}}
        assert b"1" not in batch.task(0).payload


class ServerFeed:
    """A table of its own."""

    def __init__(self, database: str) -> None:
        self._database = database
        self._opened: list[Source] = []
        create_table(database)

    def produce(self, records: Sequence[dict[str, object]]) -> None:
        enqueue(self._database, records)

    def open(self, context: SourceContext) -> Source:
        source = TableSource()
        source.open(replace(context, options=TableOptions(database=self._database, poll_interval=0.05)))
        self._opened.append(source)
        return source

    def close(self) -> None:
        for source in self._opened:
            source.close(0.0)


class TestSources(SourceContract):
    @pytest.fixture
    def feed(self, database_url: str) -> Iterator[Feed]:
        feed = ServerFeed(database_url)
        yield feed
        feed.close()
