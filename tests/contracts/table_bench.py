"""A claimed table on any database, sources on it, and a clock for all of them: what its suites work with."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace

import orjson
from sqlalchemy import NullPool, create_engine, text

from consumerd.clock import wall
from consumerd.database.engine import open_engine
from consumerd.events.facts import Fact
from consumerd.model.outcome import DONE, Dead, Outcome
from consumerd.sources.contract import Batch, Settlement
from consumerd.sources.table import KIND
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.schema import create_claims_table, create_table, enqueue, wake
from consumerd.sources.table.source import TableSource
from consumerd.testing.clock import ManualClock
from consumerd.testing.source_context import StandInWorker, context_for_tests

LEASE_S = 30.0
NOW = 4_000_000_000.0  # later than what `enqueue` wrote, by the machine's clock


class TableBench:
    """One table, sources on it, and a clock for all of them.

    is_server: the database has a clock of its own; what passes is taken from the rows' times instead.
    is_beside: the claims stand in a table beside it.
    claims: the table that has them.
    """

    def __init__(self, database: str, *, is_server: bool, is_beside: bool = False, is_made: bool = True) -> None:
        self.database = database
        self.is_beside = is_beside
        self.claims = "tasks_claims" if is_beside else "tasks"
        self.is_server = is_server
        self.clock = ManualClock(NOW)
        self.facts: list[Fact] = []
        self.worker = StandInWorker(self.clock)
        self.sources: list[TableSource] = []
        self.handlers_engine = open_engine(database)
        self._engine = create_engine(database if is_server else f"sqlite:///{database}", poolclass=NullPool)
        if is_made:
            self.make_table("tasks")
        if is_made and is_beside:
            create_claims_table(database, "tasks", self.claims)

    def make_table(self, name: str) -> None:
        """With a key and a payload, and the columns of claims unless they stand beside it."""
        create_table(self.database, name)
        if self.is_beside:
            index = f"ix_{name}_due"
            self.execute(f"DROP INDEX {index} ON {name}" if self._is_mysql else f"DROP INDEX {index}")
            for column in ("state", "due_at", "attempts", "first_at", "lease", "settled_at"):
                self.execute(f"ALTER TABLE {name} DROP COLUMN {column}")

    def make_claims(self, **options: object) -> None:
        """The table of claims beside another one."""
        assert KIND.changes is not None
        KIND.changes(self.keys(**options), True)

    @property
    def dialect(self) -> str:
        return self._engine.dialect.name

    @property
    def _is_mysql(self) -> bool:
        return self.dialect == "mysql"

    def enqueue(self, *records: object) -> None:
        if self.is_beside:
            self.insert(*records)
            self.source("taker").lag()
            wake(self.database, "tasks")
            if not self.is_server:
                self.execute("UPDATE tasks_claims SET due_at = :now WHERE due_at >= :later", now=wall(), later=NOW)
        else:
            assert enqueue(self.database, records) == len(records)

    def insert(self, *records: object) -> None:
        """As a program does that knows nothing of claims."""
        for each in records:
            payload = each if isinstance(each, bytes) else orjson.dumps(each)
            self.execute("INSERT INTO tasks (payload) VALUES (:payload)", payload=payload)

    def keys(self, **options: object) -> dict[str, object]:
        """The keys of a consumer's configuration."""
        beside = {"claims_table": f"{options.get('table', 'tasks')}_claims"} if self.is_beside else {}
        return {"database": self.database, **beside, **options}

    def options(self, **options: object) -> TableOptions:
        return TableOptions(**self.keys(**options))  # type: ignore[arg-type]

    def source(
        self, member: str = "m", generation: int = 1, max_unsettled: int = 10_000, **options: object
    ) -> TableSource:
        source = TableSource()
        context = context_for_tests(options=self.options(**options))
        source.open(
            replace(
                context,
                member=member,
                lease_owner=f"{member}#{generation}",
                clock=self.clock,
                worker=self.worker,
                max_unsettled=max_unsettled,
                emit=self.facts.append,
                engine=lambda: self.handlers_engine,
            )
        )
        self.sources.append(source)
        return source

    def execute(self, statement: str, **values: object) -> list[tuple[object, ...]]:
        with self._engine.begin() as connection:
            result = connection.execute(text(statement), values)
            return [tuple(row) for row in result] if result.returns_rows else []

    def execute_for(self, statement: str, values: list[dict[str, object]]) -> None:
        """Execute once for each of these, in one transaction."""
        with self._engine.begin() as connection:
            connection.execute(text(statement), values)

    def rows(self, columns: str = "state", table: str | None = None, order: str = "id") -> list[object]:
        table = table or self.claims
        found = self.execute(f"SELECT {columns} FROM {table} ORDER BY {order}")
        return [row[0] if len(row) == 1 else row for row in found]

    def told(self, name: str) -> list[Fact]:
        return [fact for fact in self.facts if fact.name == name]

    def let_pass(self, seconds: float) -> None:
        self.clock.advance(seconds)
        if self.is_server:
            sets = "due_at = due_at - :seconds, first_at = first_at - :seconds"
            self.execute(f"UPDATE {self.claims} SET {sets}", seconds=seconds)

    def refuse(self, what: str, key: int | None) -> None:
        """Have the database refuse to DELETE a row, or with None to no more; or to UPDATE any to `dead`."""
        if what == "UPDATE":
            if self.is_server:
                known = "CONSTRAINT known CHECK (state IN ('pending', 'claimed', 'done'))"
                self.execute(f"ALTER TABLE {self.claims} ADD {known}")
            else:
                self.execute(
                    f"CREATE TRIGGER known BEFORE UPDATE ON {self.claims} WHEN new.state = 'dead' "
                    "BEGIN SELECT RAISE(ABORT, 'no'); END"
                )
        elif key is None:
            self.execute("DELETE FROM others")
        else:
            self.execute("CREATE TABLE others (task BIGINT, FOREIGN KEY (task) REFERENCES tasks (id))")
            self.execute("INSERT INTO others VALUES (:key)", key=key)
            if not self.is_server:  # SQLite heeds the foreign keys of no connection that has not asked for that
                self.execute(
                    "CREATE TRIGGER referred BEFORE DELETE ON tasks WHEN old.id IN (SELECT task FROM others) "
                    "BEGIN SELECT RAISE(ABORT, 'no'); END"
                )

    def make_archive(self) -> None:
        """A table for rows that are done."""
        self.make_table("archive")

    def archived(self) -> list[object]:
        """The keys of the rows that are there, all of them done."""
        ends = set() if self.is_beside else set(self.rows("state, lease, settled_at IS NULL", "archive"))
        assert ends <= {("done", None, False)}
        return self.rows("id", "archive")

    def close(self) -> None:
        for source in self.sources:
            source.close(0.0)
        self.handlers_engine.dispose()
        self._engine.dispose()


@contextmanager
def closing(bench: TableBench) -> Iterator[TableBench]:
    try:
        yield bench
    finally:
        bench.close()


def fetched(source: TableSource, limit: int = 100) -> Batch:
    batch = source.fetch(limit, 0.0)
    assert batch is not None
    return batch


def settle(source: TableSource, batch: Batch, outcome: Outcome = DONE, *, is_due: bool = True) -> None:
    source.settle([Settlement(batch, 0, len(batch.raws), outcome)], is_due=is_due)


def died(source: TableSource) -> str:
    """The id of the first task, which is settled as dead."""
    batch = fetched(source, 1)
    settle(source, batch, Dead("no"))
    return str(batch.task(0).id)


def record(batch: Batch, index: int = 0) -> object:
    return batch.decode(batch.payload(batch.raws[index]))
