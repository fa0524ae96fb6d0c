"""Rows whose parked copies are tried again, as they are then: subclass `ParkedCopiesContract`, give it a `bench`."""

from __future__ import annotations

import pytest

from consumerd.model.task import TaskId
from consumerd.sources.abilities import RowNow
from consumerd.sources.table.source import TableSource
from contracts.moved_rows import MOVE
from contracts.table_bench import TableBench, died


def row_now(source: TableSource, parked_id: str = "tasks:1") -> RowNow:
    [row] = source.parked_rows([TaskId(parked_id)]).values()
    return row


class ParkedCopiesContract:
    """The suite."""

    def test_a_dead_row_has_the_content_that_it_has_now(self, bench: TableBench) -> None:
        bench.enqueue("wrong", "other")
        source = bench.source()
        parked_id = died(source)
        bench.execute("UPDATE tasks SET payload = :payload WHERE id = 1", payload=b'"right"')
        row = row_now(source, parked_id)
        assert (source.decode(row.payload or b""), row.fate) == ("right", "")

    def test_a_row_of_columns_has_those_that_it_has_now(self, bench: TableBench) -> None:
        bench.execute("ALTER TABLE tasks ADD COLUMN address VARCHAR(20) DEFAULT 'wrong'")
        bench.enqueue("x")
        source = bench.source(columns=["id", "address"])
        parked_id = died(source)
        bench.execute("UPDATE tasks SET address = 'right'")
        assert source.decode(row_now(source, parked_id).payload or b"") == {"id": 1, "address": "right"}

    @pytest.mark.parametrize(
        ("state", "fate", "is_over"),
        [("done", "is done", True), ("pending", "waits as a new task", True), ("held", "has the state 'held'", False)],
    )
    def test_a_row_that_is_not_dead_any_more_is_not_tried(
        self, bench: TableBench, state: str, fate: str, is_over: bool
    ) -> None:
        bench.enqueue("x")
        source = bench.source()
        parked_id = died(source)
        bench.execute(f"UPDATE {bench.claims} SET state = :state", state=state)
        row = row_now(source, parked_id)
        assert (row.payload, row.is_claimed, row.is_over) == (None, False, is_over)
        assert fate in row.fate

    def test_a_row_that_a_worker_has_is_claimed(self, bench: TableBench) -> None:
        bench.enqueue("x")
        source = bench.source()
        parked_id = died(source)
        bench.execute(f"UPDATE {bench.claims} SET state = 'claimed', lease = 'other'")
        assert row_now(source, parked_id) == RowNow(is_claimed=True)

    def test_a_row_that_was_deleted_or_does_not_match_any_more_is_gone(self, bench: TableBench) -> None:
        bench.execute("ALTER TABLE tasks ADD COLUMN kind VARCHAR(9) DEFAULT 'mail'")
        bench.enqueue("x")
        source = bench.source(where="kind = 'mail'")
        parked_id = died(source)
        assert row_now(source, parked_id).payload == b'"x"'
        bench.execute("UPDATE tasks SET kind = 'none'")
        row = row_now(source, parked_id)
        assert ("is gone" in row.fate, row.is_over) == (True, False)
        bench.execute("UPDATE tasks SET kind = 'mail'")
        bench.execute("DELETE FROM tasks")
        row = row_now(source, parked_id)
        assert ("is gone" in row.fate, row.is_over) == (True, False)

    def test_a_row_that_was_done_and_moved_is_done(self, bench: TableBench) -> None:
        bench.make_archive()
        bench.enqueue("x")
        source = bench.source(**MOVE)
        parked_id = died(source)
        source.finish_parked(TaskId(parked_id))
        assert row_now(source, parked_id) == RowNow(fate="its row is done", is_over=True)

    def test_a_row_is_found_by_a_key_of_two_columns(self, bench: TableBench) -> None:
        bench.execute(
            "CREATE TABLE orders (region VARCHAR(9), number INTEGER, payload VARCHAR(9), state VARCHAR(9) "
            "DEFAULT 'pending', due_at DOUBLE PRECISION DEFAULT 0, attempts INTEGER DEFAULT 0, "
            "first_at DOUBLE PRECISION, lease VARCHAR(255), settled_at DOUBLE PRECISION, PRIMARY KEY (region, number))"
        )
        bench.execute("INSERT INTO orders (region, number, payload) VALUES ('a,b', 1, '1'), ('a,b', 2, '2')")
        options = {"table": "orders", "id_column": ["region", "number"]}
        if bench.is_beside:
            bench.make_claims(**options)
        else:
            bench.execute("CREATE INDEX ix_orders ON orders (state, due_at)")
        source = bench.source(**options)
        parked_id = died(source)
        assert parked_id == "orders:a\\,b,1"
        assert row_now(source, parked_id).payload == b"1"
        assert row_now(source, "orders:a\\,b,9").fate

    def test_what_is_no_row_of_the_table_is_not_judged(self, bench: TableBench) -> None:
        bench.enqueue("x")
        source = bench.source()
        assert source.parked_rows([TaskId("mails:1")]) == {}
        assert row_now(source, "tasks:no-such-key").fate
