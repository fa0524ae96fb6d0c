"""What a table lacks is found, printed and made: subclass `TableDdlContract`, give it a `bench`."""

from __future__ import annotations

import pytest

from consumerd.errors import SourceRefusedError
from consumerd.model.outcome import DONE, Dead, Retry
from consumerd.model.task import TaskId
from consumerd.sources.change import Change
from consumerd.sources.contract import Settlement
from consumerd.sources.table import KIND
from contracts.table_bench import TableBench, died, fetched, record, settle

ODD = "we\"i`r'd \\ %s :x (ü), {y} select"
ODD_NAMES: dict[str, object] = {
    "table": ODD,
    "id_column": f"{ODD}i",
    "payload_column": f"{ODD}p",
    "state_column": ODD,
    "due_column": f"{ODD}d",
    "attempts_column": f"{ODD}a",
    "first_column": f"{ODD}f",
    "lease_column": f"{ODD}l",
    "settled_column": f"{ODD}s",
    "done": "move",
    "done_table": f"{ODD}2",
    "states": {"pending": f"1{ODD[:30]}", "claimed": f"2{ODD[:30]}", "done": f"3{ODD[:30]}", "dead": f"4{ODD[:30]}"},
}


def lacks(bench: TableBench, *, is_made: bool = False, **options: object) -> list[Change]:
    assert KIND.changes is not None
    return list(KIND.changes({"database": bench.database, **options}, is_made))


def drop_index(bench: TableBench) -> None:
    bench.execute("DROP INDEX ix_tasks_due" + (" ON tasks" if is_mysql(bench) else ""))


def finds_unfit(bench: TableBench, index: str) -> bool:
    """Whether it is told that an index of the right columns does not serve, since claims cannot use it."""
    drop_index(bench)
    bench.execute(f"CREATE INDEX unfit ON tasks {index}")
    return [change.why[:36] for change in lacks(bench)] == ["no index serves the claims on tasks,"]


def is_mysql(bench: TableBench) -> bool:
    return bench.database.startswith(("mysql", "mariadb"))


def in_text(bench: TableBench, name: str) -> str:
    """A name as SQLAlchemy's `text` has it."""
    mark = "`" if is_mysql(bench) else '"'
    return f"{mark}{name.replace(mark, mark * 2)}{mark}".replace(":", "\\:")


class TableDdlContract:
    """The suite."""

    def test_a_table_that_is_not_there_is_printed_whole_and_made_when_that_is_wanted(self, bench: TableBench) -> None:
        printed = lacks(bench, table="other")
        assert [change.statement[:12] for change in printed] == ["CREATE TABLE", "CREATE INDEX"]
        assert lacks(bench, table="other") == printed
        assert [change.why for change in lacks(bench, is_made=True, table="other")] == [each.why for each in printed]
        assert lacks(bench, table="other") == lacks(bench, is_made=True, table="other") == []
        assert bench.source(table="other").fetch(1, 0.0) is None

    def test_each_table_has_its_own_index_however_much_their_names_are_alike(self, bench: TableBench) -> None:
        alike = [f"{'t' * 58}{last}" for last in "12"]
        for name in alike if "://" in bench.database else [*alike, "b", "a.b"]:
            lacks(bench, is_made=True, table=name)
            assert lacks(bench, table=name) == []

    def test_an_index_whose_name_is_taken_is_refused_with_what_to_do(self, bench: TableBench) -> None:
        drop_index(bench)
        bench.execute("CREATE INDEX ix_tasks_due ON tasks (attempts)")
        with pytest.raises(SourceRefusedError, match=r"(already exists|Duplicate key name).*: rename or drop what has"):
            lacks(bench, is_made=True)

    @pytest.mark.parametrize("rows", [0, 3])
    def test_columns_that_are_missing_are_added_and_the_index_with_them(self, bench: TableBench, rows: int) -> None:
        bench.enqueue(*range(rows))
        drop_index(bench)
        for column in ("lease", "due_at", "attempts"):
            bench.execute(f"ALTER TABLE tasks DROP COLUMN {column}")
        with pytest.raises(SourceRefusedError, match="no column due_at, attempts, lease: add it"):
            KIND.probe({"database": bench.database})
        lacking = ["due_at", "attempts", "lease"] if not bench.is_server else ["due_at, attempts, lease"]
        told = [change.why for change in lacks(bench)]
        assert told[: len(lacking)] == [f"tasks has no column {names}" for names in lacking]
        assert "no index serves the claims on tasks" in told
        lacks(bench, is_made=True)
        assert lacks(bench) == []
        bench.execute("INSERT INTO tasks (payload) VALUES ('9')")
        source = bench.source()
        batch = fetched(source)
        assert len(batch.raws) == rows + 1
        settle(source, batch)

    def test_what_makes_tasks_of_rows_is_left_to_a_person(self, bench: TableBench) -> None:
        bench.enqueue(1)
        drop_index(bench)
        bench.execute("ALTER TABLE tasks DROP COLUMN state")
        bench.execute("ALTER TABLE tasks DROP COLUMN lease")
        printed = lacks(bench)
        with pytest.raises(SourceRefusedError, match="all rows that are there become tasks"):
            lacks(bench, is_made=True)
        assert lacks(bench) == printed
        bench.execute("DELETE FROM tasks")
        assert lacks(bench, is_made=True)
        assert lacks(bench) == []

    @pytest.mark.parametrize(
        ("options", "complaint"),
        [
            ({"payload_column": "body"}, "has no column body, which is not for consumerd to add"),
            ({"table": "other", "columns": ["a"]}, "the types of what `columns` names are yours to choose"),
            ({"table": "other", "priority": "a"}, "the types of what `priority` names are yours to choose"),
            ({"fair_by": "a"}, "has no column a, which is not for consumerd to add"),
            ({"table": "other", "id_column": ["a", "b"]}, "the types of what `id_column` names are yours to choose"),
        ],
    )
    def test_what_only_its_owner_knows_is_not_guessed(
        self, bench: TableBench, options: dict[str, object], complaint: str
    ) -> None:
        with pytest.raises(SourceRefusedError, match=complaint):
            lacks(bench, is_made=True, **options)

    def test_a_key_that_is_not_unique_gets_an_index(self, bench: TableBench) -> None:
        bench.execute("CREATE TABLE twice AS SELECT * FROM tasks")
        told = [change.statement for change in lacks(bench, is_made=True, table="twice")]
        assert [statement.partition(" INDEX")[0] for statement in told] == ["CREATE UNIQUE", "CREATE"]
        assert lacks(bench, table="twice") == []
        bench.source(table="twice")

    # The index

    @pytest.mark.parametrize("rows", [0, 1, 2000])
    def test_a_missing_index_is_told_and_one_that_serves_is_not(self, bench: TableBench, rows: int) -> None:
        bench.enqueue(*range(rows))
        bench.execute("ANALYZE TABLE tasks" if is_mysql(bench) else "ANALYZE")
        assert lacks(bench) == []
        drop_index(bench)
        for other in ("(due_at)", "(state)", "(state, attempts, due_at)"):
            [change] = lacks(bench)
            assert change.why.startswith(
                "no index serves the claims on tasks, and each reads more rows than it takes ("
            )
            assert "INDEX" in change.statement
            bench.execute(f"CREATE INDEX other{len(other)} ON tasks {other}")
        lacks(bench, is_made=True)
        assert lacks(bench) == []

    def test_the_index_by_which_rows_take_turns_is_made(self, bench: TableBench) -> None:
        [change] = lacks(bench, is_made=True, priority="attempts")
        assert change.why == "tasks has no index by which rows take turns"
        assert lacks(bench, priority="attempts") == []
        bench.source(priority="attempts")

    def test_an_index_that_begins_with_what_the_condition_fixes_serves(self, bench: TableBench) -> None:
        bench.enqueue(*range(2000))
        drop_index(bench)
        bench.execute("CREATE INDEX by_attempts ON tasks (attempts, state, due_at)")
        bench.execute("ANALYZE TABLE tasks" if is_mysql(bench) else "ANALYZE")
        assert lacks(bench, where="attempts = 0") == []
        assert len(lacks(bench, where="attempts >= 0")) == 1

    # Names

    def test_names_and_states_may_have_any_characters(self, bench: TableBench) -> None:
        lacks(bench, is_made=True, **ODD_NAMES)
        assert lacks(bench, **ODD_NAMES) == []
        table, payload, state, moved = (in_text(bench, name) for name in (ODD, f"{ODD}p", ODD, f"{ODD}2"))
        for number in range(4):
            bench.execute(f"INSERT INTO {table} ({payload}) VALUES ('{number}')")
        source = bench.source(**ODD_NAMES)
        parked_id = died(source)
        batch = fetched(source)
        assert [record(batch, index) for index in range(3)] == [1, 2, 3]
        source.settle(
            [
                Settlement(batch, 0, 1, DONE),
                Settlement(batch, 1, 2, Dead("x")),
                Settlement(batch, 2, 3, Retry(after=60), batch.task(2)),
            ],
            is_due=True,
        )
        source.finish_parked(TaskId(parked_id))
        for lag in (*source.lag(), *KIND.probe({"database": bench.database, **ODD_NAMES})):
            assert (lag.tasks, lag.later, lag.complaint) == (0, 1, "")
        assert sorted(str(word)[0] for word in bench.rows(state, table, state)) == ["1", "4"]
        assert [str(word)[0] for word in bench.rows(state, moved, state)] == ["3", "3"]

    def test_the_table_for_finished_rows_is_made_with_their_columns(self, bench: TableBench) -> None:
        bench.execute("ALTER TABLE tasks ADD COLUMN note VARCHAR(9)")
        move = {"done": "move", "done_table": "archive"}
        drop_index(bench)
        assert lacks(bench, **move)[0].why == "there is no table archive, where finished rows go"
        assert len(lacks(bench, is_made=True, **move)) == 2
        assert lacks(bench, **move) == []
        bench.enqueue(1)
        source = bench.source(**move)
        settle(source, fetched(source))
        assert bench.rows("note", "archive") == [None]
        made = lacks(bench, is_made=True, table="other", done="move", done_table="others_done")
        assert [change.statement[:12] for change in made] == ["CREATE TABLE", "CREATE INDEX", "CREATE TABLE"]
        assert lacks(bench, table="other", done="move", done_table="others_done") == []
