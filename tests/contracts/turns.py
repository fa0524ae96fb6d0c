"""Rows of a claimed table take turns: subclass `TurnsContract`, give it a `bench`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pytest

from consumerd.errors import SourceRefusedError
from consumerd.sources.table import KIND
from contracts.table_bench import LEASE_S, TableBench, fetched, record, settle


def add_turns(bench: TableBench, rows: Sequence[tuple[int | None, str | None]], *columns: str) -> None:
    """Fill the table with the numbers of these rows, of a priority and a tenant each, due one after the other."""
    bench.execute("ALTER TABLE tasks ADD COLUMN priority INTEGER")
    bench.execute("ALTER TABLE tasks ADD COLUMN tenant VARCHAR(20)")
    bench.execute(f"CREATE INDEX ix_turns ON tasks (state, {', '.join(columns)}, due_at)")
    bench.enqueue(*range(len(rows)))
    values = [
        {"priority": priority, "tenant": tenant, "due": 1e9 + number, "number": number}
        for number, (priority, tenant) in enumerate(rows, 1)
    ]
    bench.execute_for(
        "UPDATE tasks SET priority = :priority, tenant = :tenant, due_at = :due WHERE id = :number", values
    )


def make_turn_index(bench: TableBench, options: Mapping[str, str]) -> None:
    """In the place of that of `add_turns`, the one that consumerd makes."""
    bench.execute("DROP INDEX ix_turns" + (" ON tasks" if bench.database.startswith("mysql") else ""))
    assert KIND.changes is not None
    [change] = KIND.changes(bench.keys(**options), True)
    assert (" WHERE " in change.statement) != bench.database.startswith("mysql")


class TurnsContract:
    """The suite."""

    def test_rows_of_the_largest_priority_come_first_and_null_last(self, bench: TableBench) -> None:
        add_turns(bench, [(2, None), (None, None), (1, None), (2, None), (3, None)], "priority")
        source = bench.source(priority="priority", batch_size=2)
        assert [record(fetched(source, 1)) for _ in range(5)] == [4, 0, 3, 2, 1]

    def test_the_smallest_priority_may_come_first(self, bench: TableBench) -> None:
        add_turns(bench, [(2, None), (None, None), (-1, None)], "priority")
        batch = fetched(bench.source(priority="priority", priority_first="smallest"))
        assert [record(batch, index) for index in range(3)] == [2, 0, 1]

    def test_rows_of_a_higher_priority_that_are_due_later_hold_nothing_up(self, bench: TableBench) -> None:
        add_turns(bench, [(1, None), (2, None)], "priority")
        bench.execute("UPDATE tasks SET due_at = due_at + 1e9 + 1e9 + 1e9 WHERE priority = 2")
        assert len(fetched(bench.source(priority="priority")).raws) == 1

    @pytest.mark.parametrize("limit", [1, 8])
    def test_the_rows_of_one_tenant_do_not_hold_up_another(self, bench: TableBench, limit: int) -> None:
        add_turns(bench, [(None, name) for name in ["a"] * 40 + ["b", None, "b"]], "tenant")
        source = bench.source(fair_by="tenant")
        found: list[object] = []
        while len(found) < 16:
            batch = fetched(source, limit)
            found += [record(batch, index) for index in range(len(batch.raws))]
        assert {40, 41, 42} <= set(found)

    def test_a_tenant_has_as_many_rows_as_its_weight_says(self, bench: TableBench) -> None:
        add_turns(bench, [(None, name) for name in ["a"] * 60 + ["b"] * 60], "tenant")
        source = bench.source(fair_by="tenant", fair_weight={"a": 3})
        batches = [fetched(source, 8) for _ in range(5)]
        found = [record(batch, index) for batch in batches for index in range(len(batch.raws))]
        assert len(found) == 40
        assert len([number for number in found if isinstance(number, int) and number < 60]) == 30

    def test_tenants_take_turns_within_a_priority(self, bench: TableBench) -> None:
        rows = [(1, "a"), *[(2, "a")] * 4, (2, None), (None, "b"), (1, "b"), (2, "b")]
        add_turns(bench, rows, "priority", "tenant")
        source = bench.source(priority="priority", fair_by="tenant")
        found = [record(fetched(source, 1)) for _ in rows]
        assert set(found[:6]) == {1, 2, 3, 4, 5, 8}
        assert {5, 8} <= set(found[:4])
        assert set(found[6:8]) == {0, 7}

    def test_all_of_many_tenants_are_handled(self, bench: TableBench) -> None:
        add_turns(bench, [(number % 2, f"t{number % 450}") for number in range(900)], "priority", "tenant")
        source = bench.source(priority="priority", fair_by="tenant")
        handled = 0
        while (batch := source.fetch(100, 0.0)) is not None:
            handled += len(batch.raws)
            settle(source, batch)
        assert handled == 900

    def test_a_lease_that_ran_out_is_claimed_before_any_priority(self, bench: TableBench) -> None:
        add_turns(bench, [(1, None), (1, None)], "priority")
        fetched(bench.source("a", priority="priority"), 1)
        bench.execute("UPDATE tasks SET priority = 9 WHERE state = 'pending'")
        bench.let_pass(LEASE_S + 1)
        assert record(fetched(bench.source("b", priority="priority"), 1)) == 0

    def test_what_is_released_takes_its_turn_again(self, bench: TableBench) -> None:
        add_turns(bench, [(None, "a")] * 80, "tenant")
        source = bench.source(fair_by="tenant")
        fetched(source, 1)
        source.release(fetched(source, 40), range(40))
        assert len(fetched(source, 79).raws) == 79

    def test_turns_without_an_index_are_refused(self, bench: TableBench) -> None:
        with pytest.raises(SourceRefusedError, match=r"has no index on \(state, attempts, due_at\), by which"):
            bench.source(priority="attempts")
