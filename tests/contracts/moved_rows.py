"""Rows that go to another table when they are done: subclass `MovedRowsContract`, give it a `bench`."""

from __future__ import annotations

import pytest

from consumerd.errors import SourceAwayError, SourceRefusedError
from consumerd.model.outcome import DONE, Dead
from consumerd.model.task import TaskId
from consumerd.sources.contract import Settlement
from contracts.table_bench import LEASE_S, TableBench, died, fetched, settle

MOVE = {"done": "move", "done_table": "archive"}


class MovedRowsContract:
    """The suite."""

    def test_a_done_row_goes_to_the_other_table_as_done(self, bench: TableBench) -> None:
        bench.make_archive()
        bench.enqueue(*range(4))
        source = bench.source(**MOVE)
        batch = fetched(source, 3)
        source.settle([Settlement(batch, 0, 2, DONE), Settlement(batch, 2, 3, Dead("x"))], is_due=True)
        assert bench.rows() == ["dead", "pending"]
        assert bench.archived() == [1, 2]
        assert source.unsettled() == 0

    def test_a_row_is_moved_with_its_parked_copy(self, bench: TableBench) -> None:
        bench.make_archive()
        bench.enqueue(1, 2)
        source = bench.source(**MOVE)
        source.finish_parked(TaskId(died(source)))
        assert (bench.rows(), bench.archived()) == (["pending"], [1])

    def test_who_lost_its_lease_moves_nothing(self, bench: TableBench) -> None:
        bench.make_archive()
        bench.enqueue("x")
        slow, quick = bench.source("a", **MOVE), bench.source("b", **MOVE)
        late = fetched(slow)
        bench.let_pass(LEASE_S + 1)
        held = fetched(quick)
        settle(slow, late)
        assert (bench.rows(), bench.archived()) == (["claimed"], [])
        settle(quick, held)
        assert (bench.rows(), bench.archived()) == ([], [1])
        assert [fact.fields["tasks"] for fact in bench.told("lease_lost")] == [1]

    def test_a_row_that_cannot_be_moved_holds_nothing_else_up(self, bench: TableBench) -> None:
        bench.make_archive()
        bench.enqueue(*range(5))
        more = ("", "") if bench.is_beside else (", state, settled_at", ", 'done', 1")
        bench.execute(f"INSERT INTO archive (id, payload{more[0]}) VALUES (3, :own{more[1]})", own=b"1")
        source = bench.source(**MOVE)
        settle(source, fetched(source, 4), is_due=False)
        assert len(fetched(source, 1).raws) == 1
        assert bench.archived() == [1, 2, 3, 4]
        assert bench.rows("id, state") == [(3, "claimed"), (5, "claimed")]
        (told,) = bench.told("settling_failed")
        assert "the database refuses to settle tasks:3: " in str(told.fields["error"])
        bench.execute("DELETE FROM archive WHERE id = 3")
        for _ in range(13):
            bench.let_pass(5)
            source.tick()
            source.settle((), is_due=True)
        assert (bench.rows("id"), bench.archived()) == ([5], [1, 2, 3, 4])

    def test_a_table_that_is_gone_for_a_moment_is_away_while_rows_are_in_hand(self, bench: TableBench) -> None:
        bench.make_archive()
        bench.enqueue(*range(3))
        source = bench.source(**MOVE)
        batch = fetched(source, 2)
        bench.execute("ALTER TABLE archive RENAME TO aside")
        settle(source, batch)
        for _ in range(2):
            with pytest.raises(SourceAwayError):
                source.fetch(1, 0.0)
        assert source.unsettled() == 2
        bench.execute("ALTER TABLE aside RENAME TO archive")
        assert len(fetched(source, 1).raws) == 1
        assert bench.archived() == [1, 2]
        assert source.unsettled() == 1

    def test_a_table_that_is_gone_at_the_end_is_told(self, bench: TableBench) -> None:
        bench.make_archive()
        bench.enqueue("x")
        source = bench.source(**MOVE)
        settle(source, fetched(source), is_due=False)
        bench.execute("ALTER TABLE archive RENAME TO aside")
        source.close(0.0)
        assert bench.told("settling_failed")
        bench.execute("ALTER TABLE aside RENAME TO archive")

    def test_another_table_that_lacks_a_column_is_refused(self, bench: TableBench) -> None:
        with pytest.raises(SourceRefusedError, match=r"archive of .* does not exist: make it with all columns"):
            bench.source(**MOVE)
        bench.make_archive()
        bench.execute("ALTER TABLE archive DROP COLUMN payload")
        with pytest.raises(SourceRefusedError, match=r"archive of .* has no column payload: add it"):
            bench.source(**MOVE)
