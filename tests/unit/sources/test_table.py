"""A claimed SQLite table: it passes the suite of all sources, and what is its own, on a clock that tests move."""

from __future__ import annotations

import contextlib
import socket
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from consumerd.consumers import BaseConsumer
from consumerd.errors import SourceAwayError, SourceRefusedError
from consumerd.model.outcome import Dead, Retry
from consumerd.model.parked import ParkedState
from consumerd.model.task import TaskId
from consumerd.sources.contract import Batch, Source, SourceContext
from consumerd.sources.table import KIND
from consumerd.sources.table.found import _hidden_in
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.schema import create_table, enqueue
from consumerd.sources.table.source import TableSource
from consumerd.sources.table.unclaimable import ROWS_A_LOOK
from consumerd.testing.clock import ManualClock
from consumerd.testing.running import Run
from consumerd.testing.source_context import StandInWorker
from consumerd.testing.source_contract import Feed, SourceContract
from contracts.claimed_table import ClaimedTableContract
from contracts.claimed_transactions import TransactionsContract
from contracts.moved_rows import MovedRowsContract
from contracts.parked_copies import ParkedCopiesContract
from contracts.side_table import SideTableContract
from contracts.table_as_it_is import TableAsItIsContract
from contracts.table_bench import (
    LEASE_S,
    NOW,
    TableBench,
    closing,
    died,
    fetched,
    record,
    settle,
)
from contracts.table_ddl import TableDdlContract, finds_unfit


class TableFeed:
    """A table of its own, and a clock that passes only while its sources wait."""

    def __init__(self, database: str) -> None:
        self._clock = ManualClock(NOW)
        self._database = database
        self._opened: list[Source] = []
        create_table(database)

    def produce(self, records: Sequence[dict[str, object]]) -> None:
        enqueue(self._database, records)

    def open(self, context: SourceContext) -> Source:
        source = TableSource()
        options = TableOptions(database=self._database)
        source.open(replace(context, options=options, clock=self._clock, worker=StandInWorker(self._clock)))
        self._opened.append(source)
        return source

    def take_away(self, keys: Sequence[int]) -> None:
        """Another worker has claimed these rows, a third of a lease ago."""
        with contextlib.closing(sqlite3.connect(self._database)) as connection, connection:
            connection.executemany("UPDATE tasks SET lease = 'other' WHERE id = ?", [(key,) for key in keys])
        self._clock.advance(LEASE_S / 2)

    def close(self) -> None:
        for source in self._opened:
            source.close(0.0)


class TestTable(SourceContract):
    def take_away(self, feed: Feed, source: Source, batch: Batch) -> bool:
        assert isinstance(feed, TableFeed)
        feed.take_away([raw[1] for raw in batch.raws])
        return True

    @pytest.fixture
    def feed(self, state_dir: Path) -> Iterator[Feed]:
        feed = TableFeed(str(state_dir / "tasks.sqlite"))
        yield feed
        feed.close()


class TestSQLite(ClaimedTableContract, TableAsItIsContract, MovedRowsContract, TableDdlContract, ParkedCopiesContract):
    """On a file; `bench` is this module's."""


class TestSQLitesTransactions(TransactionsContract):
    """On a file; `bench` is this module's."""


@pytest.fixture
def bench(state_dir: Path) -> Iterator[TableBench]:
    with closing(TableBench(str(state_dir / "tasks.sqlite"), is_server=False)) as bench:
        yield bench


@pytest.mark.parametrize(
    "options",
    [
        {"done": "move"},
        {"done_table": "archive"},
        {"done": "move", "done_table": "tasks"},
        {"done": "move", "done_table": "archive", "retention": 1.0},
    ],
)
def test_what_does_not_fit_moved_rows_is_refused(options: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        TableOptions.model_validate({"database": "tasks.sqlite", **options})


def test_a_payload_is_decoded_before_the_table_is_known() -> None:
    """As `consumerd task` does, which opens nothing."""
    assert TableSource().decode(b'{"order": 1}') == {"order": 1}


class TestBesideSQLite(
    ClaimedTableContract, TableAsItIsContract, MovedRowsContract, SideTableContract, ParkedCopiesContract
):
    """The same, where the claims stand beside the table."""

    @pytest.fixture
    def bench(self, state_dir: Path) -> Iterator[TableBench]:
        with closing(TableBench(str(state_dir / "tasks.sqlite"), is_server=False, is_beside=True)) as bench:
            yield bench

    def test_a_row_that_cannot_be_deleted_hides_none_that_cannot_be_taken_in(self, bench: TableBench) -> None:
        bench.enqueue(*range(3))
        source = bench.source(retention=60.0)
        settle(source, fetched(source))
        bench.refuse("DELETE", 3)
        bench.execute(
            "CREATE TRIGGER unknown BEFORE INSERT ON tasks_claims WHEN new.id = 4 BEGIN SELECT RAISE(ABORT, 'no'); END"
        )
        bench.let_pass(61)
        bench.insert("x")
        for _ in range(2):
            source.lag()
        told = [str(fact.fields["error"]) for fact in bench.told("settling_failed")]
        assert len(told) == 2, "each once an hour"
        assert "the database refuses to delete tasks:3, " in told[0]
        assert "is away: no" in told[1]


class TestBesideSQLitesTransactions(TransactionsContract):
    @pytest.fixture
    def bench(self, state_dir: Path) -> Iterator[TableBench]:
        with closing(TableBench(str(state_dir / "tasks.sqlite"), is_server=False, is_beside=True)) as bench:
            yield bench


def test_nothing_is_written_while_there_is_nothing_to_do(bench: TableBench) -> None:
    source = bench.source()
    source.fetch(10, 0.0)
    before = bench.rows("count(*)"), (Path(bench.database).with_name("tasks.sqlite-wal")).stat().st_size
    for _ in range(5):
        source.fetch(10, 0.1)
    assert (bench.rows("count(*)"), Path(bench.database).with_name("tasks.sqlite-wal").stat().st_size) == before


# Payloads


def test_text_that_is_not_utf8_holds_nobody_up(bench: TableBench) -> None:
    connection = sqlite3.connect(bench.database)
    connection.execute("INSERT INTO tasks (payload, due_at) VALUES (CAST(x'ff7b' AS TEXT), 1)")
    connection.commit()
    connection.close()
    assert fetched(bench.source()).task(0).payload == b"\xff\x7b"


# Tables of all kinds


def test_a_column_whose_text_is_no_utf8_is_bytes(bench: TableBench) -> None:
    bench.execute("ALTER TABLE tasks ADD COLUMN name TEXT")
    bench.enqueue(1, 2)
    bench.execute("UPDATE tasks SET name = CAST(X'ff00' AS TEXT) WHERE id = 2")
    batch = fetched(bench.source(columns=["name"]))
    assert [record(batch, index) for index in range(2)] == [{"name": None}, {"name": b"\xff\0"}]


def make(bench: TableBench, statement: str) -> None:
    connection = sqlite3.connect(bench.database)
    connection.executescript(statement)
    connection.close()


COLUMNS = "payload, state DEFAULT 'pending', due_at DEFAULT 0, attempts, first_at, lease, settled_at"


def test_ids_may_be_text_and_columns_have_other_names(bench: TableBench) -> None:
    make(bench, f'CREATE TABLE "order" ("select" TEXT PRIMARY KEY, {COLUMNS.replace("payload", "body")})')
    make(bench, """INSERT INTO "order" ("select", body) VALUES ('ä', '{"a": 1}'), ('b', '2')""")
    source = bench.source(table="order", id_column="select", payload_column="body")
    batch = fetched(source)
    assert {batch.task(index).id for index in range(2)} == {"order:ä", "order:b"}
    settle(source, batch)
    assert source.lag()[0].tasks == 0


def test_attempts_that_are_no_number_are_none(bench: TableBench) -> None:
    make(bench, f"CREATE TABLE t (id INTEGER PRIMARY KEY, {COLUMNS})")
    make(bench, "INSERT INTO t (payload, attempts) VALUES ('1', 'x'), ('2', x'00'), ('3', 9223372036854775807)")
    source = bench.source(table="t")
    batch = fetched(source)
    assert [batch.task(index).attempts for index in range(3)] == [0, 0, 2**31 - 2]
    settle(source, batch, Retry(after=0.0))
    assert bench.rows("state", "t") == ["pending"] * 3


def test_a_time_that_is_a_text_does_not_keep_the_lag_from_being_measured(bench: TableBench) -> None:
    make(bench, f"CREATE TABLE t (id INTEGER PRIMARY KEY, {COLUMNS})")
    make(bench, "INSERT INTO t (payload, state, due_at) VALUES ('1', 'done', 'yesterday'), ('2', 'pending', 0)")
    assert bench.source(table="t").lag()[0].tasks == 1


def test_a_column_named_rowid_is_a_column_like_others(bench: TableBench) -> None:
    make(bench, f"CREATE TABLE t (id TEXT PRIMARY KEY, rowid TEXT, {COLUMNS})")
    make(
        bench,
        "INSERT INTO t (id, rowid, payload, state) VALUES "
        "('a', 'x', '1', 'pending'), ('b', 'x', '2', 'done'), ('c', NULL, '3', 'pending'), ('d', 'x', '4', 'queued')",
    )
    source = bench.source(table="t")
    batch = fetched(source)
    assert [raw[1] for raw in batch.raws] == ["a", "c"]
    assert bench.rows("state", "t") == ["claimed", "done", "claimed", "queued"]
    assert "(id d)" in source.lag()[0].complaint


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("", "does not exist: make it with"),
        (f"CREATE TABLE t (id INTEGER PRIMARY KEY, {COLUMNS.replace('lease, ', '')})", "has no column lease"),
        (f"CREATE TABLE t (id INTEGER, {COLUMNS})", "no unique index on id"),
        (f"CREATE TABLE t (id TEXT PRIMARY KEY, {COLUMNS}) WITHOUT ROWID", "is WITHOUT ROWID"),
        (f"CREATE TABLE t (id TEXT PRIMARY KEY, _RowId_, {COLUMNS})", "has a column named _rowid_"),
    ],
)
def test_a_table_that_cannot_be_claimed_from_is_refused(bench: TableBench, table: str, complaint: str) -> None:
    make(bench, table)
    with pytest.raises(SourceRefusedError, match=complaint):
        bench.source(table="t")


def test_a_database_that_is_not_there_is_refused_and_not_made(bench: TableBench, state_dir: Path) -> None:
    bench.database = str(state_dir / "nosuch.sqlite")
    with pytest.raises(SourceRefusedError, match="there is no database"):
        bench.source()
    assert not Path(bench.database).exists()


def removed(bench: TableBench) -> Path:
    """The database is away, and there."""
    aside = Path(bench.database).with_name("aside")
    Path(bench.database).rename(aside)
    return aside


def settled_while_away(bench: TableBench) -> tuple[TableSource, Batch, Path]:
    """A source, its batch that was done while its database was away, and where that is."""
    bench.enqueue("x")
    source = bench.source()
    batch = fetched(source)
    aside = removed(bench)
    settle(source, batch)
    return source, batch, aside


def test_a_database_that_was_removed_is_away_until_it_is_back(bench: TableBench) -> None:
    bench.enqueue(*range(3))
    source = bench.source()
    settle(source, fetched(source, 1), is_due=False)
    aside = removed(bench)
    with pytest.raises(SourceAwayError):
        source.fetch(1, 0.0)
    assert source.unsettled() == 1
    aside.rename(bench.database)
    assert source.fetch(1, 0.0) is not None
    assert bench.rows() == ["done", "claimed", "pending"]


def test_a_settlement_that_could_not_be_written_is_told_and_kept(bench: TableBench) -> None:
    source, _, aside = settled_while_away(bench)
    assert source.unsettled() == 1
    assert bench.told("settling_failed")
    aside.rename(bench.database)
    source.settle((), is_due=True)
    assert (source.unsettled(), bench.rows()) == (0, ["done"])
    assert not bench.told("lease_lost")


def test_who_wants_nothing_says_that_its_database_is_away_while_something_is_to_be_settled(bench: TableBench) -> None:
    source, _, aside = settled_while_away(bench)
    told = len(bench.told("settling_failed"))
    with pytest.raises(SourceAwayError):
        source.fetch(0, 5.0)
    assert len(bench.told("settling_failed")) == told
    aside.rename(bench.database)
    assert source.fetch(0, 5.0) is None
    assert (source.unsettled(), bench.rows()) == (0, ["done"])


def run_of_one_row(bench: TableBench, consumer_class: type[BaseConsumer]) -> Run:
    """A run over the table, in which one row is due."""
    bench.enqueue("x")
    bench.execute("UPDATE tasks SET due_at = 0")  # by the run's clock, which is early

    class Table(TableSource):
        def open(self, context: SourceContext) -> None:
            super().open(replace(context, options=TableOptions(database=bench.database)))

    return Run(consumer_class, source=Table())


def test_a_paused_worker_rests_until_the_database_is_back_that_has_to_settle(bench: TableBench) -> None:
    class Handles(BaseConsumer):
        def handle_task(self, offset: int, record: object) -> None:
            del offset, record

    run = run_of_one_row(bench, Handles)
    run.turn()
    aside = removed(bench)
    run.interrupts.is_paused, paused_at = True, run.clock.monotonic()
    run.turn(100)
    due = (run.clock.monotonic() - paused_at) / run.context.common.settle_interval
    assert (run.done, run.source.unsettled(), len(run.told("source_away"))) == (1, 1, 1)
    assert 1 < len(run.told("settling_failed")) <= due + 1, "as often as it settles"
    aside.rename(bench.database)
    run.turn(20)
    assert (run.source.unsettled(), bench.rows(), len(run.told("source_back"))) == (0, ["done"], 1)
    run.source.close(0.0)


def test_of_a_settlement_that_could_not_be_written_nothing_is_told_once_its_lease_is_lost(bench: TableBench) -> None:
    source, batch, aside = settled_while_away(bench)
    source.release(batch, ())
    bench.clock.advance(LEASE_S)
    assert not source.keeps(batch)
    with pytest.raises(SourceAwayError):
        source.fetch(1, 0.0)
    told = len(bench.told("settling_failed"))
    source.settle((), is_due=True)
    assert (source.unsettled(), len(bench.told("settling_failed"))) == (0, told)
    aside.rename(bench.database)


# Lag and probe


def test_a_probe_reads_the_lag_and_leaves_no_trace(bench: TableBench) -> None:
    bench.enqueue(*range(5))
    before = sorted(file.name for file in Path(bench.database).parent.iterdir())
    (lag,) = KIND.probe({"database": bench.database})
    assert lag.tasks == 5
    assert sorted(file.name for file in Path(bench.database).parent.iterdir() if "-" not in file.name) == before


def test_a_probe_of_nothing_is_refused(bench: TableBench) -> None:
    with pytest.raises(SourceRefusedError):
        KIND.probe({"database": str(Path(bench.database).with_name("nosuch"))})
    with pytest.raises(SourceRefusedError):
        KIND.probe({"database": bench.database, "table": "nosuch"})


def test_a_probe_of_a_server_that_does_not_run_finds_it_away() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening:
        address = f"127.0.0.1:{listening.getsockname()[1]}"
    with pytest.raises(SourceAwayError, match="see that it runs"):
        KIND.probe({"database": f"mysql://shop:secret@{address}/shop"})


# Options


@pytest.mark.parametrize("database", ["", ":memory:", "sqlite:///:memory:", "sqlite://", "oracle://host/d", "file:x"])
def test_what_is_no_file_is_refused(database: str) -> None:
    with pytest.raises(ValidationError):
        TableOptions(database=database)


@pytest.mark.parametrize(
    "database",
    [
        "mysql:/app:hunter2@db/app",
        "mysql:app:hunter2@db",
        "postgresql//app:hunter2@db/app",
        "MySQL+pymysql:/app:hunter2@db",
        " postgres:app:hunter2@db",
        "postgre:/app:hunter2@db",
        "Mysql://app:hunter2@db/app",
    ],
)
def test_what_is_almost_a_url_is_no_path_and_is_not_repeated(database: str) -> None:
    with pytest.raises(ValidationError) as raised:
        TableOptions(database=database)
    assert "hunter2" not in str(raised.value)


@pytest.mark.parametrize("database", ["/data/a b.sqlite", "sqlite:////data/a%20b.sqlite"])
def test_a_database_is_a_path_or_a_url(database: str) -> None:
    assert TableOptions(database=database).path == Path("/data/a b.sqlite")


@pytest.mark.parametrize("name", ["", "a\0b", "a\nb", "x" * 129])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        TableOptions(database="/x", table=name)


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError):
        TableOptions.model_validate({"database": "/x", "tabel": "tasks"})


def test_the_claim_reads_by_its_index(bench: TableBench) -> None:
    source = bench.source()
    connection = sqlite3.connect(bench.database)
    claim = source._claims.looks.claiming().quick
    assert claim is not None
    plan = connection.execute(f"EXPLAIN QUERY PLAN {claim.text}", [1] * len(claim.names)).fetchall()
    connection.close()
    steps = [row[3] for row in plan if "tasks" in row[3]]
    assert sum("USING COVERING INDEX ix_tasks_due" in step for step in steps) == 2
    assert not any(step.startswith("SCAN tasks") or "TEMP B-TREE" in step for step in (row[3] for row in plan))


def test_an_index_by_another_collation_does_not_serve(bench: TableBench) -> None:
    assert finds_unfit(bench, "(state COLLATE NOCASE, due_at)")


def test_a_whole_life_warns_of_nothing(bench: TableBench) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bench.enqueue("x")
        source = bench.source()
        settle(source, fetched(source))
        source.tick()
        source.lag()
        source.close(0.0)


# What became of a parked copy


def test_a_row_is_found_by_an_id_of_text_as_well(bench: TableBench) -> None:
    with sqlite3.connect(bench.database) as connection:
        connection.execute("CREATE TABLE named AS SELECT * FROM tasks")
        connection.execute("ALTER TABLE named ADD COLUMN name TEXT")
        connection.execute("CREATE UNIQUE INDEX by_name ON named (name)")
        connection.execute("INSERT INTO named (name, payload, state, due_at) VALUES ('a:7', '{}', 'pending', 0)")
    connection.close()
    source = bench.source(table="named", id_column="name")
    source.finish_parked(TaskId(died(source)))
    with sqlite3.connect(bench.database) as connection:
        assert connection.execute("SELECT name, state FROM named").fetchall() == [("a:7", "done")]
    connection.close()


def test_a_row_that_cannot_be_marked_now_is_marked_with_what_settles_next(bench: TableBench) -> None:
    bench.enqueue(1)
    source = bench.source()
    parked_id = died(source)
    away = Path(bench.database).with_suffix(".away")
    Path(bench.database).rename(away)
    source.finish_parked(TaskId(parked_id))
    assert bench.told("settling_failed")
    away.rename(bench.database)
    source.settle((), is_due=True)
    assert bench.rows() == ["done"]


def test_all_is_closed_though_the_table_is_gone_in_which_a_row_is_to_be_marked(bench: TableBench) -> None:
    bench.enqueue(1)
    source = bench.source()
    parked_id = died(source)
    source.lag()
    while source._bell.descriptor is None:
        assert source.fetch(1, 1.0) is None
    aside = removed(bench)
    source.finish_parked(TaskId(parked_id))
    aside.rename(bench.database)
    bench.execute("DROP TABLE tasks")
    assert bench.database in opened_files()
    source.close(bench.clock.monotonic() + 1.0)
    assert source._bell.descriptor is None
    assert bench.database not in opened_files()
    assert "does not exist" in str(bench.told("release_failed")[0].fields["error"])


def opened_files() -> list[str]:
    return [str(each.readlink()) for each in Path("/proc/self/fd").iterdir() if each.is_symlink()]


def test_a_task_that_waits_in_its_row_is_told(bench: TableBench) -> None:
    class Fails(BaseConsumer):
        def handle_task(self, offset: int, record: object) -> object:
            return Retry(after=90.0) if self.attempt == 1 else Dead("no")

    run = run_of_one_row(bench, Fails)
    run.turn()
    [deferred] = [fact for fact in run.facts if fact.name == "task_deferred"]
    assert deferred.fields == {
        "task": "tasks:1",
        "offset": 0,
        "shard": 0,
        "attempts": 1,
        "after_s": 90.0,
        "error": "the handler asked for a retry",
    }
    run.source.close(0.0)


def test_an_index_that_mysql_keeps_and_does_not_use_is_none() -> None:
    shown = [
        {"Key_name": "PRIMARY", "Visible": "YES"},
        {"Key_name": "by_state", "Visible": "NO"},
        {"Key_name": "by_due", "Ignored": "YES"},
        {"Key_name": "by_both", "Ignored": "NO"},
    ]
    assert _hidden_in(shown) == {"by_state", "by_due"}


def test_a_parked_retry_that_succeeds_marks_the_row_before_the_store_forgets_the_task(bench: TableBench) -> None:
    bench.enqueue("x")
    with sqlite3.connect(bench.database) as connection:
        connection.execute("UPDATE tasks SET due_at = 0")  # by the run's clock, which is early
    connection.close()
    rows_when_finished: list[object] = []

    class Table(TableSource):
        def open(self, context: SourceContext) -> None:
            super().open(replace(context, options=TableOptions(database=bench.database)))

        def finish_parked(self, task_id: TaskId) -> None:
            super().finish_parked(task_id)
            rows_when_finished.extend([bench.rows(), set(run.store.rows)])

    class FailsOnce(BaseConsumer):
        def handle_task(self, offset: int, record: object) -> object:
            return Dead("no") if self.attempt == 1 else None

    run = Run(FailsOnce, source=Table())
    run.until_idle()
    assert (bench.rows(), set(run.dead())) == (["dead"], {"tasks:1"})
    run.store.rows["tasks:1"] = replace(run.store.rows["tasks:1"], state=ParkedState.WAITING, due_at=0.0)
    run.clock.advance(15)
    run.turn()
    assert rows_when_finished == [["done"], {"tasks:1"}]
    assert (bench.rows(), run.store.rows) == (["done"], {})
    run.source.close(0.0)


@pytest.mark.parametrize("columns", [None, ["id", "address"]])
def test_only_a_table_of_consumerds_own_is_offered_to_be_made(
    bench: TableBench, state_dir: Path, columns: list[str] | None
) -> None:
    for options in ({"table": "missing"}, {"database": str(state_dir / "missing.sqlite")}):
        with pytest.raises(SourceRefusedError) as refused:
            KIND.probe({**bench.keys(**options), **({} if columns is None else {"columns": columns})})
        assert ("--create" in str(refused.value)) == (columns is None)


def test_rows_that_can_never_be_claimed_are_counted_with_why(bench: TableBench) -> None:
    bench.enqueue(*range(9))
    spoilt = {
        1: "due_at = NULL",
        2: "due_at = '2024-01-01 00:00:00'",
        3: "due_at = 1764000000000",
        4: "state = 'PENDING'",
        5: "state = 'queued'",
        6: "state = 'archived', due_at = NULL",
        7: "state = 'done', due_at = NULL",
        8: "state = 'claimed', due_at = NULL",
    }
    with sqlite3.connect(bench.database) as connection:
        for row, change in spoilt.items():
            connection.execute(f"UPDATE tasks SET {change} WHERE id = {row}")
    connection.close()
    complaint = (
        "6 rows of tasks can never be claimed: 1 whose due_at is a text (id 2), "
        "1 whose due_at is no unix time in seconds (id 3), 2 whose state is neither "
        "pending, claimed, done nor dead (id 4), 2 without due_at (id 1)"
    )
    source = bench.source()
    for lag in (*source.lag(), *KIND.probe({"database": bench.database})):
        assert (lag.tasks, lag.complaint) == (1, complaint)
    with sqlite3.connect(bench.database) as connection:
        connection.execute("UPDATE tasks SET state = 'pending', due_at = 0")
    connection.close()
    assert bench.source().lag()[0].complaint == ""
    source.lag()
    assert source.lag()[0].complaint == ""


def test_rows_are_looked_at_window_by_window_and_what_is_corrected_is_forgotten(bench: TableBench) -> None:
    with sqlite3.connect(bench.database) as connection:
        for row in (3, 4 * ROWS_A_LOOK + 1, 9 * ROWS_A_LOOK):
            connection.execute("INSERT INTO tasks (id, payload, due_at) VALUES (?, '{}', NULL)", (row,))
    connection.close()
    source = bench.source()
    counts = [int(source.lag()[0].complaint.partition(" ")[0]) for _ in range(4)]
    assert counts == [1, 2, 3, 3]
    assert KIND.probe({"database": bench.database})[0].complaint.startswith("3 rows of tasks")
    with sqlite3.connect(bench.database) as connection:
        connection.execute("DELETE FROM tasks WHERE id > 3")
        connection.execute("UPDATE tasks SET due_at = 0")
    connection.close()
    assert [bool(source.lag()[0].complaint) for _ in range(3)][-1] is False


def test_a_row_without_a_key_is_never_claimed_and_told(bench: TableBench) -> None:
    with sqlite3.connect(bench.database) as connection:
        connection.execute("CREATE TABLE named AS SELECT * FROM tasks")
        connection.execute("ALTER TABLE named ADD COLUMN name TEXT")
        connection.execute("CREATE UNIQUE INDEX by_name ON named (name)")
        connection.execute("INSERT INTO named (payload, state, due_at) VALUES ('{}', 'pending', 0)")
    connection.close()
    source = bench.source(table="named", id_column="name")
    assert source.fetch(10, 0.0) is None
    lag = source.lag()[0]
    assert (lag.tasks, lag.complaint) == (
        0,
        "1 row of named can never be claimed: 1 without name",
    )


def test_rows_that_are_due_later_are_counted(bench: TableBench) -> None:
    bench.enqueue(1, 2, 3)
    with sqlite3.connect(bench.database) as connection:
        connection.execute("UPDATE tasks SET due_at = ? WHERE id > 1", (NOW + 7200,))
    connection.close()
    lag = bench.source().lag()[0]
    assert (lag.tasks, lag.later, lag.complaint) == (1, 2, "")


@pytest.mark.parametrize("row_id", [b"\x00\xff", b"", 7, -3, 1.5, "7", "x'0g'", "", 2**62])
def test_a_key_of_any_type_is_the_tables_own_from_claim_to_parked_copy(bench: TableBench, row_id: object) -> None:
    with sqlite3.connect(bench.database) as connection:
        connection.execute("CREATE TABLE keyed AS SELECT * FROM tasks")
        connection.execute("ALTER TABLE keyed ADD COLUMN key")
        connection.execute("CREATE UNIQUE INDEX by_key ON keyed (key)")
        connection.execute("INSERT INTO keyed (key, payload, state, due_at) VALUES (?, '{}', 'pending', 0)", (row_id,))
    connection.close()
    source = bench.source(table="keyed", id_column="key")
    source.finish_parked(TaskId(died(source)))
    with sqlite3.connect(bench.database) as connection:
        assert connection.execute("SELECT key, state FROM keyed").fetchall() == [(row_id, "done")]
    connection.close()
