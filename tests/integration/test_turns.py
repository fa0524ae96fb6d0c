"""Rows of a claimed table take turns, on servers."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any, cast

import pytest
from sqlalchemy import Connection, CursorResult

from contracts.table_bench import TableBench, closing
from contracts.turns import TurnsContract, add_turns, make_turn_index


class TestServers(TurnsContract):
    @pytest.fixture
    def bench(self, database_url: str) -> Iterator[TableBench]:
        with closing(TableBench(database_url, is_server=True)) as bench:
            yield bench


class Explained:
    """A connection that has each query explained before it runs it."""

    def __init__(self, connection: Connection) -> None:
        self.dialect = connection.dialect
        self.plans: list[str] = []
        self._connection = connection

    def exec_driver_sql(self, statement: str, parameters: tuple[object, ...] = ()) -> CursorResult[Any]:
        if statement.lstrip().startswith(("SELECT", "WITH")):
            steps = self._connection.exec_driver_sql(f"EXPLAIN {statement}", parameters).fetchall()
            self.plans.append("\n".join(str(step) for step in steps))
        return self._connection.exec_driver_sql(statement, parameters)


@pytest.mark.parametrize("is_ours", [False, True], ids=["theirs", "ours"])
@pytest.mark.parametrize(
    "options",
    [{"priority": "priority"}, {"fair_by": "tenant"}, {"priority": "priority", "fair_by": "tenant"}],
    ids=["priority", "fair", "both"],
)
def test_claims_in_turn_go_by_their_index_alone(database_url: str, options: dict[str, str], *, is_ours: bool) -> None:
    rows = [(number % 2, "a") for number in range(120)] + [(2, "b"), (None, None), (3, None), (None, "c")]
    with closing(TableBench(database_url, is_server=True)) as bench:
        add_turns(bench, rows, *options.values())
        if is_ours:
            make_turn_index(bench, options)
        bench.execute("CREATE INDEX ix_tenant ON tasks (tenant)")  # as a foreign key has one
        bench.execute("ANALYZE TABLE tasks" if database_url.startswith("mysql") else "ANALYZE tasks")
        source = bench.source(**options)
        plans = []
        for _ in range(8):

            def take(connection: Connection) -> None:
                explained = Explained(connection)
                source._claiming.take(cast("Connection", explained), 20)
                plans.extend(explained.plans)

            source._database.write(take)
        assert bench.rows().count("claimed") == len(rows)
        assert len([plan for plan in plans if ("ix_tasks_turns" if is_ours else "ix_turns") in plan]) > 8
        for plan in plans:
            assert not re.search(r"filesort|temporary|Sort|Seq Scan|Bitmap|ix_tenant", plan), plan


def test_a_claim_begins_behind_the_last_row_by_the_index_alone(database_url: str) -> None:
    with closing(TableBench(database_url, is_server=True)) as bench:
        bench.enqueue(*range(120))
        bench.execute("UPDATE tasks SET due_at = 7")
        source = bench.source()
        plans: list[str] = []
        taken: list[object] = []
        for _ in range(6):

            def take(connection: Connection) -> None:
                explained = Explained(connection)
                batch = source._claiming.take(cast("Connection", explained), 20)
                assert batch is not None
                taken.extend(batch.keys(0, 20))
                plans.extend(explained.plans)

            source._database.write(take)
        assert taken == list(range(1, 121))
        for plan in plans:
            assert not re.search(r"filesort|temporary|Sort|Seq Scan|Bitmap", plan), plan
        if database_url.startswith("postgres"):
            assert "ROW(due_at, id) > ROW('7'" in plans[-1], plans[-1]
