"""A claimed SQLite table: it passes the suite of all sources, and what is its own, on a clock that tests move."""

from __future__ import annotations

import contextlib
import sqlite3
import warnings
from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import pytest
from pydantic import ValidationError

from consumerd.consumers import BaseConsumer
from consumerd.errors import SourceAwayError, SourceRefusedError, UndecodableError
from consumerd.events.facts import Fact
from consumerd.model.outcome import DONE, SKIPPED, Dead, Expired, Outcome, Retry
from consumerd.model.parked import ParkedState
from consumerd.model.task import TaskId
from consumerd.sources.contract import Batch, Settlement, Source, SourceContext
from consumerd.sources.table import KIND
from consumerd.sources.table.lag import ROWS_A_LOOK
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.schema import create_table, enqueue
from consumerd.sources.table.source import TableSource
from consumerd.testing.clock import ManualClock
from consumerd.testing.running import Run
from consumerd.testing.source_context import StandInWorker, context_for_tests
from consumerd.testing.source_contract import Feed, SourceContract

LEASE_S = 30.0
NOW = 4_000_000_000.0  # later than what `enqueue` wrote, by the machine's clock


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

    def close(self) -> None:
        for source in self._opened:
            source.close(0.0)


class TestTable(SourceContract):
    @pytest.fixture
    def feed(self, state_dir: Path) -> Iterator[Feed]:
        feed = TableFeed(str(state_dir / "tasks.sqlite"))
        yield feed
        feed.close()


class Bench:
    """One table, sources on it, and a clock for all of them."""

    def __init__(self, folder: Path) -> None:
        self.database = folder / "tasks.sqlite"
        self.clock = ManualClock(NOW)
        self.facts: list[Fact] = []
        self.worker = StandInWorker(self.clock)
        self.sources: list[TableSource] = []
        create_table(str(self.database))

    def enqueue(self, *records: object) -> None:
        enqueue(str(self.database), records)

    def source(self, member: str = "m", generation: int = 1, **options: object) -> TableSource:
        source = TableSource()
        context = context_for_tests(options=TableOptions(database=str(self.database), **options))  # type: ignore[arg-type]
        source.open(
            replace(
                context,
                member=member,
                lease_owner=f"{member}#{generation}",
                clock=self.clock,
                worker=self.worker,
                emit=self.facts.append,
            )
        )
        self.sources.append(source)
        return source

    def rows(self, columns: str = "state") -> list[object]:
        connection = sqlite3.connect(self.database)
        found = connection.execute(f"SELECT {columns} FROM tasks ORDER BY id").fetchall()
        connection.close()
        return [row[0] if len(row) == 1 else row for row in found]

    def told(self, name: str) -> list[Fact]:
        return [fact for fact in self.facts if fact.name == name]


@pytest.fixture
def bench(state_dir: Path) -> Iterator[Bench]:
    bench = Bench(state_dir)
    yield bench
    for source in bench.sources:
        source.close(0.0)


def fetched(source: TableSource, limit: int = 100) -> Batch:
    batch = source.fetch(limit, 0.0)
    assert batch is not None
    return batch


def settle(source: TableSource, batch: Batch, outcome: Outcome = DONE, *, is_due: bool = True) -> None:
    source.settle([Settlement(batch, 0, len(batch.raws), outcome)], is_due=is_due)


# Claiming


def test_what_one_has_claimed_no_other_gets(bench: Bench) -> None:
    bench.enqueue(*range(3))
    first = fetched(bench.source("a"), 2)
    second = fetched(bench.source("b"))
    assert [len(first.raws), len(second.raws)] == [2, 1]
    assert bench.source("c").fetch(10, 0.0) is None


def test_a_lease_that_ran_out_is_claimed_first(bench: Bench) -> None:
    bench.enqueue("lost", *range(5))
    fetched(bench.source("a"), 1)
    bench.clock.advance(LEASE_S + 1)
    assert fetched(bench.source("b"), 1).task(0).payload == b'"lost"'


def test_a_deferred_row_comes_when_it_is_due_with_its_attempts(bench: Bench) -> None:
    bench.enqueue("x")
    source = bench.source()
    batch = fetched(source)
    task = replace(batch.task(0), attempts=4, first_at=NOW - 5)
    source.settle([Settlement(batch, 0, 1, Retry(after=60), task)], is_due=True)
    assert source.fetch(10, 0.0) is None
    bench.clock.advance(61)
    again = fetched(source).task(0)
    assert (again.attempts, again.first_at, again.id) == (4, NOW - 5, "tasks:1")


def test_fresh_rows_and_rows_that_are_tried_again_take_turns(bench: Bench) -> None:
    source = bench.source()
    bench.enqueue(*({"number": number} for number in range(6)))
    batch = fetched(source, 6)
    for index in range(6):
        task = replace(batch.task(index), attempts=1)
        source.settle((Settlement(batch, index, index + 1, Retry(after=0), task),), is_due=False)
    source.settle((), is_due=True)
    bench.enqueue(*({"number": number} for number in range(6, 9)))
    with contextlib.closing(sqlite3.connect(bench.database, isolation_level=None)) as connection:
        connection.execute("UPDATE tasks SET due_at = ? WHERE attempts = 0", (NOW + 1,))  # behind all that were tried
    bench.clock.advance(2)
    attempts = []
    for _ in range(9):
        batch = fetched(source, 1)
        attempts.append(batch.task(0).attempts)
        settle(source, batch)
    assert attempts == [1, 0, 1, 0, 1, 0, 1, 1, 1]


def test_a_fetch_waits_no_longer_than_its_time(bench: Bench) -> None:
    before = bench.clock.monotonic()
    assert bench.source().fetch(10, 0.5) is None
    assert 0.5 <= bench.clock.monotonic() - before < 0.6


def test_no_batch_is_larger_than_batch_size(bench: Bench) -> None:
    bench.enqueue(*range(10))
    assert len(fetched(bench.source(batch_size=4)).raws) == 4


def test_nothing_is_written_while_there_is_nothing_to_do(bench: Bench) -> None:
    source = bench.source()
    source.fetch(10, 0.0)
    before = bench.rows("count(*)"), (bench.database.with_name("tasks.sqlite-wal")).stat().st_size
    for _ in range(5):
        source.fetch(10, 0.1)
    assert (bench.rows("count(*)"), bench.database.with_name("tasks.sqlite-wal").stat().st_size) == before


# Settling


@pytest.mark.parametrize(
    ("outcome", "state"),
    [(DONE, "done"), (Dead("x"), "dead"), (Expired("x"), "dead"), (SKIPPED, "dead"), (Retry(after=5.0), "pending")],
)
def test_an_outcome_becomes_the_rows_state(bench: Bench, outcome: Outcome, state: str) -> None:
    bench.enqueue("x")
    source = bench.source()
    settle(source, fetched(source), outcome)
    assert bench.rows("state, lease") == [(state, None)]
    assert source.unsettled() == 0


def test_done_rows_are_deleted_where_that_is_wanted(bench: Bench) -> None:
    bench.enqueue("x", "y")
    source = bench.source(done="delete")
    batch = fetched(source)
    source.settle([Settlement(batch, 0, 1, DONE), Settlement(batch, 1, 2, Dead("x"))], is_due=True)
    assert bench.rows("state") == ["dead"]


def test_what_is_not_due_is_settled_with_the_next_claim(bench: Bench) -> None:
    bench.enqueue(*range(4))
    source = bench.source(batch_size=2)
    settle(source, fetched(source), is_due=False)
    assert bench.rows() == ["claimed", "claimed", "pending", "pending"]
    assert source.unsettled() == 2
    fetched(source)
    assert bench.rows() == ["done", "done", "claimed", "claimed"]
    assert source.unsettled() == 2


def test_a_limit_of_nothing_settles_what_is_noted(bench: Bench) -> None:
    bench.enqueue("x", "y")
    source = bench.source()
    settle(source, fetched(source, 1), is_due=False)
    assert source.fetch(0, 0.0) is None
    assert bench.rows() == ["done", "pending"]


def test_who_lost_its_lease_settles_nothing_and_says_so(bench: Bench) -> None:
    bench.enqueue("x")
    slow, quick = bench.source("a"), bench.source("b")
    late = fetched(slow)
    bench.clock.advance(LEASE_S + 1)
    settle(quick, fetched(quick))
    settle(slow, late, Dead("late"))
    assert bench.rows() == ["done"]
    assert [fact.fields["tasks"] for fact in bench.told("lease_lost")] == [1]


def test_another_worker_is_said_to_have_rows_only_where_it_has(bench: Bench) -> None:
    bench.enqueue(1, 2)
    source = bench.source()
    batch = fetched(source)
    with sqlite3.connect(bench.database) as connection:
        connection.execute("DELETE FROM tasks WHERE id = 1")
        connection.execute("UPDATE tasks SET lease = 'other' WHERE id = 2")
    connection.close()
    source.settle([Settlement(batch, 0, 1, DONE)], is_due=True)
    source.settle([Settlement(batch, 1, 2, DONE)], is_due=True)
    assert [fact.fields["then"] for fact in bench.told("lease_lost")] == [
        "they were done by another worker, changed or deleted meanwhile",
        "another worker has them by now",
    ]


def test_what_is_released_is_pending_again_at_once(bench: Bench) -> None:
    bench.enqueue(*range(3))
    source = bench.source()
    batch = fetched(source)
    source.settle([Settlement(batch, 0, 1, DONE)], is_due=False)
    source.release(batch, 1)
    assert bench.rows() == ["done", "pending", "pending"]
    assert source.unsettled() == 0


def test_closing_settles_what_is_finished_and_gives_back_the_rest(bench: Bench) -> None:
    bench.enqueue(*range(3))
    source = bench.source()
    batch = fetched(source)
    source.settle([Settlement(batch, 0, 2, DONE)], is_due=False)
    source.close(0.0)
    assert bench.rows() == ["done", "done", "pending"]


# Leases


def test_a_new_generation_frees_what_the_earlier_ones_of_its_slot_had(bench: Bench) -> None:
    bench.enqueue(*range(3))
    fetched(bench.source("slot.1", 1), 1)
    fetched(bench.source("slot.11", 1), 1)
    fetched(bench.source("slot.2", 1), 1)
    bench.source("slot.1", 2)
    assert bench.rows() == ["pending", "claimed", "claimed"]


def test_the_keeper_renews_a_lease_once_a_third_is_over(bench: Bench) -> None:
    bench.enqueue("x")
    source = bench.source()
    batch = fetched(source)
    for _ in range(100):
        bench.clock.advance(1)
        source.tick()
        assert source.keeps(batch)
    assert bench.source("b").fetch(1, 0.0) is None
    settle(source, batch)
    assert bench.rows() == ["done"]
    assert not bench.worker.interrupts


def test_an_old_lease_is_not_trusted(bench: Bench) -> None:
    bench.enqueue("x")
    source = bench.source()
    batch = fetched(source)
    bench.clock.advance(LEASE_S * 0.79)
    assert source.keeps(batch)
    bench.clock.advance(LEASE_S * 0.02)
    assert not source.keeps(batch)


def test_a_lease_that_others_took_is_noticed_and_what_is_left_goes_back(bench: Bench) -> None:
    bench.enqueue(*range(3))
    frozen = bench.source("a")
    batch = fetched(frozen)
    bench.clock.advance(LEASE_S + 1)
    fetched(bench.source("b"), 1)
    frozen.tick()
    assert not frozen.keeps(batch)
    assert bench.worker.interrupts
    frozen.release(batch, 1)
    assert frozen.fetch(0, 0.0) is None
    assert frozen.unsettled() == 0
    assert sorted(map(str, bench.rows())) == ["claimed", "pending", "pending"]


# Payloads


@pytest.mark.parametrize("payload", [b"\xff\xfe", b"", b"{", b"\0"])
def test_a_payload_is_kept_byte_for_byte_whatever_it_is(bench: Bench, payload: bytes) -> None:
    bench.enqueue(payload)
    source = bench.source()
    batch = fetched(source)
    assert batch.task(0).payload == payload
    with pytest.raises(UndecodableError):
        source.decode(batch.task(0).payload)


def test_text_that_is_not_utf8_holds_nobody_up(bench: Bench) -> None:
    connection = sqlite3.connect(bench.database)
    connection.execute("INSERT INTO tasks (payload, due_at) VALUES (CAST(x'ff7b' AS TEXT), 1)")
    connection.commit()
    connection.close()
    assert fetched(bench.source()).task(0).payload == b"\xff\x7b"


def test_a_payload_over_the_limit_is_refused_before_it_is_decoded(bench: Bench) -> None:
    bench.enqueue("x" * 1_048_577, "small")
    batch = fetched(bench.source())
    with pytest.raises(UndecodableError, match="over payload_limit"):
        batch.decode(batch.payload(batch.raws[0]))
    assert batch.decode(batch.payload(batch.raws[1])) == "small"


# Tables of all kinds


def make(bench: Bench, statement: str) -> None:
    connection = sqlite3.connect(bench.database)
    connection.executescript(statement)
    connection.close()


COLUMNS = "payload, state DEFAULT 'pending', due_at DEFAULT 0, attempts, first_at, lease, settled_at"


def test_ids_may_be_text_and_columns_have_other_names(bench: Bench) -> None:
    make(bench, f'CREATE TABLE "order" ("select" TEXT PRIMARY KEY, {COLUMNS.replace("payload", "body")})')
    make(bench, """INSERT INTO "order" ("select", body) VALUES ('ä', '{"a": 1}'), ('b', '2')""")
    source = bench.source(table="order", id_column="select", payload_column="body")
    batch = fetched(source)
    assert {batch.task(index).id for index in range(2)} == {"order:ä", "order:b"}
    settle(source, batch)
    assert source.lag()[0].tasks == 0


@pytest.mark.parametrize(
    ("table", "complaint"),
    [
        ("", "does not exist: make it with"),
        (f"CREATE TABLE t (id INTEGER PRIMARY KEY, {COLUMNS.replace('lease, ', '')})", "has no column lease"),
        (f"CREATE TABLE t (id INTEGER, {COLUMNS})", "no unique index on id"),
        (f"CREATE TABLE t (id TEXT PRIMARY KEY, {COLUMNS}) WITHOUT ROWID", "is WITHOUT ROWID"),
    ],
)
def test_a_table_that_cannot_be_claimed_from_is_refused(bench: Bench, table: str, complaint: str) -> None:
    make(bench, table)
    with pytest.raises(SourceRefusedError, match=complaint):
        bench.source(table="t")


def test_a_database_that_is_not_there_is_refused_and_not_made(bench: Bench, state_dir: Path) -> None:
    bench.database = state_dir / "nosuch.sqlite"
    with pytest.raises(SourceRefusedError, match="there is no database"):
        bench.source()
    assert not bench.database.exists()


def test_a_database_that_was_removed_is_away_until_it_is_back(bench: Bench) -> None:
    bench.enqueue(*range(3))
    source = bench.source()
    settle(source, fetched(source, 1), is_due=False)
    aside = bench.database.with_name("aside")
    bench.database.rename(aside)
    with pytest.raises(SourceAwayError):
        source.fetch(1, 0.0)
    assert source.unsettled() == 1
    aside.rename(bench.database)
    assert source.fetch(1, 0.0) is not None
    assert bench.rows() == ["done", "claimed", "pending"]


def test_a_settlement_that_could_not_be_written_is_told_and_kept(bench: Bench) -> None:
    bench.enqueue("x")
    source = bench.source()
    batch = fetched(source)
    aside = bench.database.with_name("aside")
    bench.database.rename(aside)
    settle(source, batch)
    assert source.unsettled() == 1
    assert bench.told("settling_failed")
    aside.rename(bench.database)
    source.settle((), is_due=True)
    assert (source.unsettled(), bench.rows()) == (0, ["done"])
    assert not bench.told("lease_lost")


# Lag and probe


def test_the_lag_counts_what_is_due_and_claimed_and_its_position_grows(bench: Bench) -> None:
    bench.enqueue(*range(5))
    source = bench.source()
    assert (source.lag()[0].tasks, source.lag()[0].position) == (5, 0)
    settle(source, fetched(source, 2))
    batch = fetched(source, 1)
    source.settle([Settlement(batch, 0, 1, Retry(after=60))], is_due=True)
    fetched(source, 1)
    assert (source.lag()[0].tasks, source.lag()[0].position) == (2, 2)
    assert (source.lag()[0].oldest_s or 0) > 0


def test_a_probe_reads_the_lag_and_leaves_no_trace(bench: Bench) -> None:
    bench.enqueue(*range(5))
    before = sorted(file.name for file in bench.database.parent.iterdir())
    (lag,) = KIND.probe({"database": str(bench.database)})
    assert lag.tasks == 5
    assert sorted(file.name for file in bench.database.parent.iterdir() if "-" not in file.name) == before


def test_a_probe_of_nothing_is_refused(bench: Bench) -> None:
    with pytest.raises(SourceRefusedError):
        KIND.probe({"database": str(bench.database.with_name("nosuch"))})
    with pytest.raises(SourceRefusedError):
        KIND.probe({"database": str(bench.database), "table": "nosuch"})


# Options


@pytest.mark.parametrize("database", ["", ":memory:", "sqlite:///:memory:", "sqlite://", "mysql://host/d"])
def test_what_is_no_file_is_refused(database: str) -> None:
    with pytest.raises(ValidationError):
        TableOptions(database=database)


@pytest.mark.parametrize("database", ["/data/a b.sqlite", "sqlite:////data/a%20b.sqlite"])
def test_a_database_is_a_path_or_a_url(database: str) -> None:
    assert TableOptions(database=database).path == Path("/data/a b.sqlite")


@pytest.mark.parametrize("name", ["a b", "a;b", 'a"b', "1a", "a-b", ""])
def test_a_name_that_is_none_is_refused(name: str) -> None:
    with pytest.raises(ValidationError):
        TableOptions(database="/x", table=name)


def test_an_unknown_key_is_refused() -> None:
    with pytest.raises(ValidationError):
        TableOptions.model_validate({"database": "/x", "tabel": "tasks"})


def test_the_claim_reads_by_its_index(bench: Bench) -> None:
    source = bench.source()
    connection = sqlite3.connect(bench.database)
    claim = source._claims.quick[False]
    plan = connection.execute(f"EXPLAIN QUERY PLAN {claim.text}", [1] * len(claim.names)).fetchall()
    connection.close()
    steps = [row[3] for row in plan if "tasks" in row[3]]
    assert sum("USING COVERING INDEX ix_tasks_due" in step for step in steps) == 2
    assert not any(step.startswith("SCAN tasks") or "TEMP B-TREE" in step for step in (row[3] for row in plan))


def test_a_whole_life_warns_of_nothing(bench: Bench) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        bench.enqueue("x")
        source = bench.source()
        settle(source, fetched(source))
        source.tick()
        source.lag()
        source.close(0.0)


# What became of a parked copy


def died(source: TableSource) -> str:
    """The id of the first task, which is settled as dead."""
    batch = fetched(source, 1)
    settle(source, batch, Dead("no"))
    return str(batch.task(0).id)


def test_a_row_whose_parked_copy_was_tried_again_with_success_is_done(bench: Bench) -> None:
    bench.enqueue(1, 2)
    source = bench.source()
    parked_id = died(source)
    source.finish_parked(TaskId(parked_id))
    assert bench.rows("state, settled_at IS NULL") == [("done", 0), ("pending", 1)]
    assert not bench.told("lease_lost")


def test_a_row_that_is_deleted_when_done_goes_with_its_parked_copy(bench: Bench) -> None:
    bench.enqueue(1, 2)
    source = bench.source(done="delete")
    source.finish_parked(TaskId(died(source)))
    assert bench.rows() == ["pending"]


def test_a_row_that_its_owner_made_pending_again_is_left_alone(bench: Bench) -> None:
    bench.enqueue(1)
    source = bench.source()
    parked_id = died(source)
    with sqlite3.connect(bench.database) as connection:
        connection.execute("UPDATE tasks SET state = 'pending', due_at = 0")
    connection.close()
    source.finish_parked(TaskId(parked_id))
    assert bench.rows() == ["pending"]


def test_a_row_is_found_by_an_id_of_text_as_well(bench: Bench) -> None:
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


def test_a_row_that_cannot_be_marked_now_is_marked_with_what_settles_next(bench: Bench) -> None:
    bench.enqueue(1)
    source = bench.source()
    parked_id = died(source)
    away = bench.database.with_suffix(".away")
    bench.database.rename(away)
    source.finish_parked(TaskId(parked_id))
    assert bench.told("settling_failed")
    away.rename(bench.database)
    source.settle((), is_due=True)
    assert bench.rows() == ["done"]


def test_a_parked_retry_that_succeeds_marks_the_row_before_the_store_forgets_the_task(bench: Bench) -> None:
    bench.enqueue("x")
    with sqlite3.connect(bench.database) as connection:
        connection.execute("UPDATE tasks SET due_at = 0")  # by the run's clock, which is early
    connection.close()
    rows_when_finished: list[object] = []

    class Table(TableSource):
        def open(self, context: SourceContext) -> None:
            super().open(replace(context, options=TableOptions(database=str(bench.database))))

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


def test_rows_that_can_never_be_claimed_are_counted_with_why(bench: Bench) -> None:
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
    for lag in (*source.lag(), *KIND.probe({"database": str(bench.database)})):
        assert (lag.tasks, lag.complaint) == (1, complaint)
    with sqlite3.connect(bench.database) as connection:
        connection.execute("UPDATE tasks SET state = 'pending', due_at = 0")
    connection.close()
    assert bench.source().lag()[0].complaint == ""
    source.lag()
    assert source.lag()[0].complaint == ""


def test_rows_are_looked_at_window_by_window_and_what_is_corrected_is_forgotten(bench: Bench) -> None:
    with sqlite3.connect(bench.database) as connection:
        for row in (3, 4 * ROWS_A_LOOK + 1, 9 * ROWS_A_LOOK):
            connection.execute("INSERT INTO tasks (id, payload) VALUES (?, '{}')", (row,))
    connection.close()
    source = bench.source()
    counts = [int(source.lag()[0].complaint.partition(" ")[0]) for _ in range(4)]
    assert counts == [1, 2, 3, 3]
    assert KIND.probe({"database": str(bench.database)})[0].complaint.startswith("3 rows of tasks")
    with sqlite3.connect(bench.database) as connection:
        connection.execute("DELETE FROM tasks WHERE id > 3")
        connection.execute("UPDATE tasks SET due_at = 0")
    connection.close()
    assert [bool(source.lag()[0].complaint) for _ in range(3)][-1] is False


def test_a_row_without_a_key_is_never_claimed_and_told(bench: Bench) -> None:
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


def test_rows_that_are_due_later_are_counted(bench: Bench) -> None:
    bench.enqueue(1, 2, 3)
    with sqlite3.connect(bench.database) as connection:
        connection.execute("UPDATE tasks SET due_at = ? WHERE id > 1", (NOW + 7200,))
    connection.close()
    lag = bench.source().lag()[0]
    assert (lag.tasks, lag.later, lag.complaint) == (1, 2, "")


@pytest.mark.parametrize("row_id", [b"\x00\xff", b"", 7, -3, 1.5, "7", "x'0g'", "", 2**62])
def test_a_key_of_any_type_is_the_tables_own_from_claim_to_parked_copy(bench: Bench, row_id: object) -> None:
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
