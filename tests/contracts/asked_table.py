"""A claimed table as people and producers ask it: subclass `AskedTableContract`, give it a `table`."""

from __future__ import annotations

import pytest

from consumerd.errors import UsageError
from consumerd.model.outcome import DONE, Dead, Retry
from consumerd.sources.askable import Askable, AskContext, Message, TaskState
from consumerd.sources.contract import Settlement
from consumerd.sources.table.asked import AskedTable
from contracts.asked import AskedContract, payloads, sent
from contracts.table_bench import TableBench, fetched, settle

COLUMNS = "id, state, due_at, attempts, lease, settled_at"


class TableAsked:
    """A claimed table whose rows a worker takes."""

    absent, nonsense = "4711", "no number, but text"

    def __init__(self, table: TableBench, **options: object) -> None:
        self.table = table
        self._options = options

    def asked(self) -> Askable:
        return AskedTable(AskContext("test/consumer", self.table.options(**self._options), None, lambda: _nobody()))

    def finish(self, count: int) -> None:
        source = self.table.source()
        settle(source, fetched(source, count))

    def stored(self) -> object:
        return self.table.rows(COLUMNS)


def _nobody() -> None:  # type: ignore[misc]
    raise AssertionError("a table is asked without its consumer")


class AskedTableContract(AskedContract):
    """The suite, and what is a table's own."""

    @pytest.fixture
    def bench(self, table: TableBench) -> TableAsked:
        return TableAsked(table)

    def test_what_names_no_task_is_refused_with_what_does(self, bench: TableAsked) -> None:  # any text may be a key
        assert bench.asked().where(bench.nonsense).state is TaskState.ABSENT

    def test_a_payload_that_is_a_text_takes_text(self, table: TableBench) -> None:
        table.execute("ALTER TABLE tasks ADD COLUMN words VARCHAR(200)")
        bench = TableAsked(table, payload_column="words")
        with pytest.raises(UsageError, match=r"the database refuses such a row \(.*payload.*\): add rows by an INSERT"):
            bench.asked().send([Message(b"1")])
        table.execute("ALTER TABLE tasks DROP COLUMN payload")
        (place,) = sent(bench, [Message('{"name": "Grüße"}'.encode())])
        assert table.rows("words") == [
            b'{"name": "Gr\xc3\xbc\xc3\x9fe"}' if not table.is_server else '{"name": "Grüße"}'
        ]
        (found,) = bench.asked().peek(1)
        assert (found.place, found.payload) == (place, '{"name": "Grüße"}'.encode())
        if table.is_server:
            with pytest.raises(UsageError, match="words of tasks is a text, and takes no other bytes"):
                bench.asked().send([Message(b"\xff")])

    def test_a_row_that_would_be_no_task_is_not_added(self, table: TableBench) -> None:
        table.execute("ALTER TABLE tasks ADD COLUMN kind VARCHAR(9) DEFAULT 'other'")
        bench = TableAsked(table, where="kind = 'mail'")
        with pytest.raises(UsageError, match="`where` of tasks does not hold of a row that has only a payload"):
            bench.asked().send([Message(b"1"), Message(b"2")])
        assert table.rows("id") == []
        (place,) = sent(TableAsked(table, where="kind = 'other'"), payloads(1))
        assert TableAsked(table, where="kind = 'other'").asked().where(place).state is TaskState.PENDING

    def test_a_claimed_row_names_who_has_it(self, bench: TableAsked) -> None:
        (place,) = sent(bench, payloads(1))
        batch = fetched(bench.table.source("host.shop.Jobs.3"), 1)
        found = bench.asked().where(place)
        assert found.state is TaskState.CLAIMED
        assert "is claimed by host.shop.Jobs.3#1, whose lease runs " in found.told
        assert len(batch.raws) == 1
        assert list(bench.asked().peek(10)) == []

    def test_a_row_that_failed_waits_in_its_row(self, bench: TableAsked) -> None:
        (place,) = sent(bench, payloads(1))
        source = bench.table.source()
        batch = fetched(source, 1)
        task = batch.task(0)._replace(attempts=2)
        source.settle([Settlement(batch, 0, 1, Retry(after=500), task)], is_due=True)
        found = bench.asked().where(place)
        assert found.state is TaskState.WAITING
        assert "waits to be tried again" in found.told
        assert "after 2 attempts" in found.told
        assert list(bench.asked().peek(10)) == []

    def test_a_row_that_died_is_dead(self, bench: TableAsked) -> None:
        (place,) = sent(bench, payloads(1))
        source = bench.table.source()
        settle(source, fetched(source, 1), Dead("x"))
        assert bench.asked().where(place).state is TaskState.DEAD

    def test_so_many_have_been_due_longer(self, bench: TableAsked) -> None:
        places = [sent(bench, payloads(number))[0] for number in range(3)]
        found = bench.asked().where(places[2])
        assert (found.facts["before"], "2 rows have been due longer" in found.told) == (2, True)

    def test_a_row_that_was_deleted_when_it_was_done_is_not_called_absent(self, table: TableBench) -> None:
        bench = TableAsked(table, done="delete")
        (place,) = sent(bench, payloads(1))
        source = table.source(done="delete")
        settle(source, fetched(source, 1))
        found = bench.asked().where(place)
        assert (found.state, "it was done and is deleted, or was never there" in found.told) == (
            TaskState.UNKNOWN,
            True,
        )

    def test_a_row_that_was_moved_is_done(self, table: TableBench) -> None:
        table.make_archive()
        bench = TableAsked(table, done="move", done_table="archive")
        (place,) = sent(bench, payloads(1))
        source = table.source(done="move", done_table="archive")
        settle(source, fetched(source, 1))
        found = bench.asked().where(place)
        assert (found.state, found.told) == (TaskState.DONE, f"row {place} was done, and is in archive")

    def test_a_row_for_which_the_condition_does_not_hold_is_no_task(self, table: TableBench) -> None:
        bench = TableAsked(table, where="attempts < 5")
        (place,) = sent(bench, payloads(1))
        table.execute("UPDATE tasks SET attempts = 7")
        assert "is no task: `where` does not hold of it" in bench.asked().where(place).told
        assert list(bench.asked().peek(10)) == []

    def test_a_state_that_nobody_knows_is_told(self, bench: TableAsked) -> None:
        (place,) = sent(bench, payloads(1))
        bench.table.execute("UPDATE tasks SET state = 'held'")
        found = bench.asked().where(place)
        assert (found.state, "has the state 'held', which is none of `states`" in found.told) == (
            TaskState.UNKNOWN,
            True,
        )

    def test_rows_in_turn_come_in_the_order_of_a_claim(self, table: TableBench) -> None:
        table.execute("ALTER TABLE tasks ADD COLUMN level INTEGER")
        table.execute("CREATE INDEX ix_turns ON tasks (state, level, due_at)")
        bench = TableAsked(table, priority="level")
        places = sent(bench, payloads(*range(4)))
        for level, place in zip((1, 3, 2, 3), places, strict=True):
            table.execute("UPDATE tasks SET level = :level WHERE id = :id", level=level, id=int(place))
        peeked = [each.payload for each in bench.asked().peek(10)]
        assert peeked == [b"1", b"3", b"2", b"0"], peeked
        source = table.source(priority="level")
        taken = []
        while (batch := source.fetch(1, 0.0)) is not None:
            taken += [batch.payload(raw) for raw in batch.raws]
            source.settle([Settlement(batch, 0, len(batch.raws), DONE)], is_due=True)
        assert taken == peeked

    def test_a_table_whose_record_is_the_row_takes_no_record(self, table: TableBench) -> None:
        with pytest.raises(UsageError, match="the record is the row itself: add rows by an INSERT of your own"):
            TableAsked(table, columns="*").asked().send(payloads(1))

    def test_the_record_that_is_the_row_is_shown(self, table: TableBench) -> None:
        (place,) = sent(TableAsked(table), payloads(1))
        (found,) = TableAsked(table, columns=("id", "state")).asked().peek(1)
        assert (found.place, found.payload) == (place, b'{"id":%s,"state":"pending"}' % place.encode())


class AskedBesideContract:
    """What is its own of a table that has its claims beside it: give it a `table`."""

    def test_a_row_that_nobody_has_seen_yet_is_new(self, table: TableBench) -> None:
        bench = TableAsked(table)
        table.insert(1)
        found = bench.asked().where("1")
        assert (found.state, "no worker has seen it yet" in found.told) == (TaskState.PENDING, True)
        assert bench.asked().where("7").state is TaskState.ABSENT

    def test_what_is_known_comes_next_with_its_content(self, table: TableBench) -> None:
        bench = TableAsked(table)
        table.enqueue(1, 2)
        before = bench.stored()
        assert [each.payload for each in bench.asked().peek(10)] == [b"1", b"2"]
        assert bench.stored() == before
        bench.finish(1)
        assert bench.asked().where("1").state is TaskState.DONE

    def test_the_users_own_table_is_not_written(self, table: TableBench) -> None:
        with pytest.raises(UsageError, match="the table is the users' own: add rows by an INSERT"):
            TableAsked(table).asked().send(payloads(1))
