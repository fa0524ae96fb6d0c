"""Rows of a claimed table take turns, in a SQLite file; `integration/test_turns.py` has the servers."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest
from pydantic import ValidationError

from consumerd.database.embedded import driver_of
from consumerd.sources.table.options import TableOptions
from contracts.table_bench import TableBench, closing, fetched
from contracts.turns import TurnsContract, add_turns, make_turn_index


@pytest.fixture
def bench(state_dir: Path) -> Iterator[TableBench]:
    with closing(TableBench(str(state_dir / "tasks.sqlite"), is_server=False)) as bench:
        yield bench


class TestSQLite(TurnsContract):
    """In a file."""


@pytest.mark.parametrize("is_ours", [False, True])
@pytest.mark.parametrize("options", [{"priority": "priority"}, {"fair_by": "priority", "priority": "tenant"}])
def test_claims_in_turn_go_by_their_index(bench: TableBench, options: dict[str, str], *, is_ours: bool) -> None:
    columns = [options[name] for name in ("priority", "fair_by") if name in options]
    add_turns(bench, [(2, "a"), (1, "b"), (None, None)] * 9, *columns)
    if is_ours:
        make_turn_index(bench, options)
    bench.execute("CREATE INDEX ix_tenant ON tasks (tenant)")
    source = bench.source(**options)
    statements: list[str] = []
    source._database.write(lambda connection: driver_of(connection).set_trace_callback(statements.append))
    assert len(fetched(source).raws) == 27
    source._database.write(lambda connection: driver_of(connection).set_trace_callback(None))
    connection = sqlite3.connect(bench.database)
    looked = [each for each in statements if each.lstrip().startswith(("SELECT", "UPDATE")) and "tasks" in each]
    plans = [[row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {each}")] for each in looked]
    connection.close()
    steps = [step for plan in plans for step in plan]
    assert sum(f"INDEX {'ix_tasks_turns' if is_ours else 'ix_turns'}" in step for step in steps) > 9
    assert not [step for step in steps if step.startswith("SCAN tasks") or "TEMP" in step or "ix_tenant" in step]


def test_weights_need_a_column_and_turns_claims_in_the_table_itself() -> None:
    with pytest.raises(ValidationError, match="says nothing without `fair_by`"):
        TableOptions(database="/x", fair_weight={"a": 2.0})
    with pytest.raises(ValidationError, match="leave `claims_table` out"):
        TableOptions(database="/x", fair_by="tenant", claims_table="claims")
