"""Claims that stand beside a table, on every database: subclass `SideTableContract`, give it a `bench` of that kind."""

from __future__ import annotations

import pytest

from consumerd.errors import SourceRefusedError
from consumerd.model.outcome import DONE, Dead, Retry
from consumerd.model.task import TaskId
from consumerd.sources.contract import Batch, Settlement
from consumerd.sources.table import KIND
from consumerd.sources.table.side.intake import ROWS
from consumerd.sources.table.source import TableSource
from contracts.table_bench import TableBench, fetched, record, settle

KEYS = {
    "VARCHAR(20)": ("'b'", "'a,1'", "'é '"),
    "CHAR(9)": ("'b'", "'a,1'", "'c'"),
    "NUMERIC(9, 2)": ("1.50", "-2", "3"),
    "DOUBLE PRECISION": ("0.1", "2", "1e300"),
    "DATE": ("'2026-01-02'", "'1999-12-31'", "'2026-01-01'"),
    "BIGINT": ("-5", "9223372036854775807", "0"),
}


UUIDS = ("'018f0000-0000-7000-8000-000000000002'", "'018f0000-0000-7000-8000-000000000001'")
OF_ITS_OWN = {
    "mysql": {"UUID": UUIDS, "BINARY(4)": ("X'00ff0a01'", "X'27000000'"), "VARBINARY(9)": ("X'ff'", "X''", "X'2c00'")},
    "postgresql": {"UUID": UUIDS, "BYTEA": ("'\\x00ff0a01'", "'\\x27'", "'\\x'")},
    "sqlite": {"BLOB": ("X'00ff0a01'", "X'27'", "X''")},
}
"""Types of keys that not all databases have, or that are written in another way."""


class SideTableContract:
    """The suite."""

    # Rows become known

    def test_rows_of_a_program_that_knows_nothing_of_claims_are_handled(self, bench: TableBench) -> None:
        source = bench.source()
        assert source.fetch(10, 0.0) is None
        bench.insert("a", "b")
        assert found(source) == ["a", "b"]
        bench.insert("c")
        assert found(source) == ["c"]

    def test_a_row_that_commits_after_others_with_higher_keys_is_handled(self, bench: TableBench) -> None:
        source = bench.source()
        bench.execute("INSERT INTO tasks (id, payload) VALUES (5, :one), (9, :one)", one=b"1")
        settle(source, fetched(source))
        bench.execute("INSERT INTO tasks (id, payload) VALUES (7, :two)", two=b"2")
        assert records(fetched(source)) == [2]

    def test_a_row_far_behind_the_end_is_found_by_who_measures_the_lag(self, bench: TableBench) -> None:
        keys = [key for key in range(1, 3 * ROWS) if key != 7]
        for start in range(0, len(keys), 500):
            values = ", ".join(f"({key}, '1')" for key in keys[start : start + 500])
            bench.execute(f"INSERT INTO tasks (id, payload) VALUES {values}")
        bench.source().lag()
        bench.execute("UPDATE tasks_claims SET state = 'done', settled_at = 1")
        assert bench.rows("count(*)", order="1") == [len(keys)]
        source = bench.source()
        bench.execute("INSERT INTO tasks (id, payload) VALUES (7, :two)", two=b"2")
        assert source.fetch(10, 0.0) is None
        for _ in range(2):  # it begins anywhere
            source.lag()
        assert found(source) == [2]

    def test_all_rows_of_a_table_that_was_there_before_are_taken_in_in_pieces(self, bench: TableBench) -> None:
        keys = range(1, 2 * ROWS + 10)
        for start in range(0, len(keys), 500):
            values = ", ".join(f"({key}, '1')" for key in keys[start : start + 500])
            bench.execute(f"INSERT INTO tasks (id, payload) VALUES {values}")
        workers = [bench.source("a", batch_size=1000), bench.source("b", batch_size=1000)]
        handled: list[object] = []
        for turn in range(8):
            if (batch := workers[turn % 2].fetch(1000, 0.0)) is not None:
                handled += batch.keys(0, len(batch.raws))
                settle(workers[turn % 2], batch)
        assert handled == list(keys)

    # Rows that change

    def test_a_row_is_handled_as_it_is_when_it_is_claimed(self, bench: TableBench) -> None:
        bench.enqueue("old", "old")
        bench.execute("UPDATE tasks SET payload = :new WHERE id = 1", new=b'"new"')
        source = bench.source()
        batch = fetched(source)
        assert records(batch) == ["new", "old"]
        settle(source, batch, Retry(after=0.0))
        bench.execute("UPDATE tasks SET payload = :new WHERE id = 2", new=b'"newer"')
        assert sorted(map(str, records(fetched(source)))) == ["new", "newer"]

    def test_a_row_that_was_deleted_while_it_waited_is_gone(self, bench: TableBench) -> None:
        bench.enqueue("a", "b", "c")
        source = bench.source()
        batch = fetched(source, 2)
        source.settle(
            [
                Settlement(batch, each, each + 1, Retry(after=0.0), batch.task(each)._replace(attempts=1))
                for each in (0, 1)
            ],
            is_due=True,
        )
        bench.execute("DELETE FROM tasks WHERE id IN (1, 3)")
        assert records(fetched(source)) == ["b"]
        assert source.fetch(10, 0.0) is None
        assert bench.rows("id") == [2]
        assert [fact.fields["task"] for fact in bench.told("row_gone")] == ["tasks:1"], (
            "of one that was never tried nobody need know"
        )

    def test_a_row_that_does_not_match_any_more_is_not_handled_until_it_does(self, bench: TableBench) -> None:
        bench.execute("ALTER TABLE tasks ADD COLUMN kind VARCHAR(9) DEFAULT 'mail'")
        bench.enqueue("a", "b")
        source = bench.source(where="kind = 'mail'")
        bench.execute("UPDATE tasks SET kind = 'none' WHERE id = 1")
        batch = fetched(source)
        assert records(batch) == ["b"]
        settle(source, batch)
        assert source.fetch(10, 0.0) is None
        bench.execute("UPDATE tasks SET kind = 'mail'")
        assert found(source) == ["a"]

    def test_many_rows_that_are_gone_hold_nothing_up(self, bench: TableBench) -> None:
        bench.enqueue(*range(60))
        bench.execute("DELETE FROM tasks WHERE id <= 50")
        source = bench.source(batch_size=2)
        for _ in range(2):
            assert source.fetch(2, 0.0) is None
            source.look_now()
        assert found(source) == [50, 51]

    # What is known

    def test_what_is_done_does_not_come_again_until_its_row_is_another(self, bench: TableBench) -> None:
        bench.enqueue("a", "b")
        source = bench.source()
        batch = fetched(source)
        source.settle([Settlement(batch, 0, 1, DONE), Settlement(batch, 1, 2, Dead("x"))], is_due=True)
        source.lag()
        assert (source.fetch(10, 0.0), bench.rows()) == (None, ["done", "dead"])
        bench.execute("DELETE FROM tasks")
        source.lag()
        assert bench.rows() == []
        bench.execute("INSERT INTO tasks (id, payload) VALUES (1, :again)", again=b'"again"')
        assert found(source) == ["again"]

    def test_a_person_has_a_row_handled_again_by_deleting_what_is_known_of_it(self, bench: TableBench) -> None:
        bench.enqueue("a")
        source = bench.source()
        settle(source, fetched(source))
        bench.execute("DELETE FROM tasks_claims")
        assert records(fetched(source)) == ["a"]

    def test_a_deleted_row_goes_with_its_claim(self, bench: TableBench) -> None:
        bench.enqueue("a", "b", "c")
        source = bench.source(done="delete")
        batch = fetched(source, 2)
        source.settle([Settlement(batch, 0, 1, DONE), Settlement(batch, 1, 2, Dead("x"))], is_due=True)
        assert (bench.rows("id"), bench.rows("id", "tasks")) == ([2, 3], [2, 3])
        source.finish_parked(TaskId("tasks:2"))
        assert (bench.rows("id"), bench.rows("id", "tasks")) == ([3], [3])

    def test_a_moved_row_goes_with_its_claim(self, bench: TableBench) -> None:
        bench.make_archive()
        bench.enqueue("a", "b")
        source = bench.source(done="move", done_table="archive")
        settle(source, fetched(source, 1))
        assert [bench.rows("id", table) for table in (None, "tasks", "archive")] == [[2], [2], [1]]

    def test_what_was_kept_for_long_enough_is_deleted_with_its_claim(self, bench: TableBench) -> None:
        bench.enqueue("a", "b")
        source = bench.source(retention=60.0)
        settle(source, fetched(source, 1))
        bench.let_pass(61)
        source.lag()
        assert (bench.rows("id"), bench.rows("id", "tasks")) == ([2], [2])

    def test_a_probe_counts_rows_that_are_not_known_yet_and_changes_nothing(self, bench: TableBench) -> None:
        bench.enqueue("a", "b")
        bench.insert("c")
        assert KIND.probe(bench.keys())[0].tasks == 3
        assert bench.rows("id") == [1, 2]

    # Keys and tables of all kinds

    @pytest.mark.parametrize("kind", KEYS)
    def test_a_key_may_be_of_any_type(self, bench: TableBench, kind: str) -> None:
        self.goes_all_the_way(bench, f"id {kind}", [f"({key}, '1')" for key in KEYS[kind]], "id")

    def test_a_key_may_be_a_uuid_or_bytes(self, bench: TableBench) -> None:
        for kind, keys in OF_ITS_OWN[bench.dialect].items():
            self.goes_all_the_way(bench, f"id {kind}", [f"({key}, '1')" for key in keys], "id")
            bench.execute("DROP TABLE things")
            bench.execute("DROP TABLE things_claims")

    def test_a_key_may_have_columns_of_several_types(self, bench: TableBench) -> None:
        columns = "region VARCHAR(9), number INTEGER, day DATE"
        rows = [
            f"('{region}', {number}, '2026-01-0{day}', '1')" for region in "ab" for number in (1, 2) for day in (1, 2)
        ]
        self.goes_all_the_way(bench, columns, rows, "region", "number", "day")

    def test_rows_without_a_key_are_told(self, bench: TableBench) -> None:
        bench.execute("CREATE TABLE things (region VARCHAR(9), number INTEGER, payload VARCHAR(9))")
        bench.execute("CREATE UNIQUE INDEX things_key ON things (region, number)")
        bench.execute("INSERT INTO things VALUES ('a', 1, '1'), (NULL, 2, '2'), (NULL, 3, '3'), ('a', NULL, '4')")
        options = {"table": "things", "id_column": ["region", "number"]}
        bench.make_claims(**options)
        assert bench.source(**options).lag()[0].complaint == ("2 rows of things can never be claimed: 2 without region")
        [lag] = KIND.probe(bench.keys(**options))
        assert lag.complaint == "3 rows of things can never be claimed: 1 without number, 2 without region"
        bench.execute("DELETE FROM things WHERE number <> 1 OR number IS NULL")
        assert bench.source(**options).lag()[0].complaint == ""

    def goes_all_the_way(self, bench: TableBench, columns: str, rows: list[str], *key: str) -> None:
        """Taken in, claimed, tried again, dead and done after all; and not again."""
        bench.execute(f"CREATE TABLE things ({columns}, payload VARCHAR(9), PRIMARY KEY ({', '.join(key)}))")
        names = ", ".join((*key, "payload"))
        for row in rows[:-1]:
            bench.execute(f"INSERT INTO things ({names}) VALUES {row}")
        bench.make_claims(table="things", id_column=list(key))
        source = bench.source(table="things", id_column=list(key))
        batch = fetched(source)
        assert len(batch.raws) == len(rows) - 1
        settle(source, batch, Retry(after=0.0))
        batch = fetched(source)
        settle(source, batch, Dead("no"))
        for index in range(len(batch.raws)):
            source.finish_parked(TaskId(str(batch.task(index).id)))
        bench.execute(f"INSERT INTO things ({names}) VALUES {rows[-1]}")
        source.lag()
        settle(source, fetched(source))
        assert source.fetch(10, 0.0) is None
        assert bench.rows("state", "things_claims", "1") == ["done"] * len(rows)

    def test_the_table_of_claims_is_made_when_that_is_wanted(self, bench: TableBench) -> None:
        bench.execute("DROP TABLE tasks_claims")
        with pytest.raises(SourceRefusedError) as refused:
            bench.source()
        assert "does not exist: make it with consumerd table CONFIG TARGET --create" in str(refused.value)
        assert KIND.changes is not None
        printed = KIND.changes(bench.keys(), False)
        assert [change.statement[:12] for change in printed] == ["CREATE TABLE", "CREATE INDEX"]
        assert [change.statement for change in KIND.changes(bench.keys(), True)] == [
            change.statement for change in printed
        ]
        bench.insert("a")
        assert records(fetched(bench.source())) == ["a"]
        assert KIND.changes(bench.keys(), False) == ()

    def test_a_table_that_has_no_key_is_refused(self, bench: TableBench) -> None:
        bench.execute("CREATE TABLE things (id INTEGER, payload VARCHAR(9))")
        assert KIND.changes is not None
        for options, complaint in (({}, "no unique index on id"), ({"id_column": "no"}, "has no column no")):
            with pytest.raises(SourceRefusedError, match=complaint):
                KIND.changes(bench.keys(table="things", **options), True)


def records(batch: Batch) -> list[object]:
    return [record(batch, index) for index in range(len(batch.raws))]


def found(source: TableSource) -> list[object]:
    """What the source fetches when it looks the next time."""
    source.look_now()
    return records(fetched(source))
