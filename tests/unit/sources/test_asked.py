"""What people ask of sources that need no server: a claimed SQLite file, a query, a schedule."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager, closing, nullcontext
from pathlib import Path
from typing import Any

import pytest

from consumerd.clock import iso
from consumerd.consumers import SQLBaseConsumer
from consumerd.errors import QueryFailedError, SourceRefusedError, UsageError
from consumerd.parking.opening import open_store
from consumerd.parking.store import ParkingStore
from consumerd.parking.ticks import make_by_hand
from consumerd.sources.askable import AskContext, TaskState
from consumerd.sources.query import QueryOptions
from consumerd.sources.query.asked import AskedQuery
from consumerd.sources.schedule.asked import AskedSchedule
from consumerd.sources.schedule.options import ScheduleOptions
from contracts.asked_table import AskedBesideContract, AskedTableContract, TableAsked
from contracts.schedules import HOUR, NAME, Bench, settle, taken
from contracts.table_bench import TableBench
from contracts.table_bench import closing as closing_bench


class TestFile(AskedTableContract):
    @pytest.fixture
    def table(self, tmp_path: Path) -> Iterator[TableBench]:
        with closing_bench(TableBench(str(tmp_path / "tasks.sqlite"), is_server=False)) as bench:
            yield bench

    def test_a_file_that_is_not_there_is_not_made(self, tmp_path: Path, table: TableBench) -> None:
        bench = TableAsked(table, database=str(tmp_path / "other.sqlite"))
        for ask in (lambda: bench.asked().where("1"), lambda: bench.asked().peek(1)):
            with pytest.raises(SourceRefusedError, match="there is no database"):
                ask()
        assert not (tmp_path / "other.sqlite").exists()


class TestFileBeside(AskedBesideContract):
    @pytest.fixture
    def table(self, tmp_path: Path) -> Iterator[TableBench]:
        with closing_bench(TableBench(str(tmp_path / "tasks.sqlite"), is_server=False, is_beside=True)) as bench:
            yield bench


# Queries


class Rows(SQLBaseConsumer):
    """Gives what a test puts into it."""

    rows: Any = ()

    def get_next_batch(self) -> Any:
        if isinstance(self.rows, Exception):
            raise self.rows
        return self.rows

    def handle_task(self, offset: int, record: Any) -> None:
        raise AssertionError("nothing is handled")


def query(rows: Any, *, claims: bool | None = False, may_call: bool = False) -> AskedQuery:
    def consumer() -> AbstractContextManager[Rows]:
        made = Rows(0)
        made.rows = rows
        return nullcontext(made)

    return AskedQuery(AskContext("shop/Rows", QueryOptions(claims=claims), None, consumer, may_call))


def test_a_row_that_the_query_gives_is_pending_at_its_place() -> None:
    asked = query([{"id": number} for number in range(5)])
    for name in ("3", "shop/Rows:3"):
        found = asked.where(name)
        assert (found.state, found.facts, found.ids) == (TaskState.PENDING, {"before": 3}, ("shop/Rows:3",))
    assert [(each.place, each.payload) for each in asked.peek(2)] == [("0", b'{"id":0}'), ("1", b'{"id":1}')]


def test_of_a_row_that_the_query_does_not_give_nobody_says_that_it_is_done() -> None:
    found = query([{"id": 1}]).where("2")
    assert found.state is TaskState.UNKNOWN
    assert "not among the 1 rows that get_next_batch gives now" in found.told


@pytest.mark.parametrize("may_call", [False, True])
def test_a_query_that_claims_is_never_called(*, may_call: bool) -> None:
    asked = query(AssertionError("it was called"), claims=True, may_call=may_call)
    with pytest.raises(UsageError, match="it takes the rows that it returns"):
        asked.peek(10)
    assert asked.where("1").state is TaskState.UNKNOWN


def test_a_query_of_which_nobody_has_said_that_it_reads_is_called_by_command_alone() -> None:
    with pytest.raises(UsageError, match=r"set `claims = false` .* or call it now all the same with --call"):
        query([{"id": 1}], claims=None).peek(10)
    assert [each.place for each in query([{"id": 1}], claims=None, may_call=True).peek(10)] == ["1"]


def test_rows_without_an_id_are_told_by_their_content_and_an_endless_answer_is_not_read_to_its_end() -> None:
    def endless() -> Iterator[Mapping[str, int]]:
        while True:
            yield {"number": 1}

    first, second = query(endless()).peek(2)
    assert first.place == second.place
    assert first.place.startswith("~")


@pytest.mark.parametrize("rows", [OSError("gone"), 7, {"id": 1}])
def test_what_a_query_raises_or_returns_is_told_in_a_sentence(rows: object) -> None:
    with pytest.raises(QueryFailedError, match="get_next_batch"):
        query(rows).peek(10)


def test_nothing_is_sent_to_a_query() -> None:
    with pytest.raises(UsageError, match="insert the row into your own table"):
        query([]).send([])


# Schedules


@pytest.fixture
def hours(state_dir: Path) -> Iterator[Bench]:
    with closing(Bench(lambda: open_store("embedded", state_dir))) as bench:
        yield bench


def schedule(store: ParkingStore | None, **keys: Any) -> AskedSchedule:
    options = ScheduleOptions.model_validate({"every": HOUR, **keys})
    return AskedSchedule(AskContext(NAME, options, store, lambda: nullcontext()))


def test_before_any_worker_has_run_the_next_runs_are_known() -> None:
    asked = schedule(None)
    first, second = asked.peek(2)
    assert asked.where(first.place).state is TaskState.WAITING
    assert asked.where(second.place).told == f"the run at {second.place} is not due yet"


def test_what_is_no_time_of_the_schedule_is_absent() -> None:
    found = schedule(None).where("2026-01-01T00:30:00Z")
    assert found.state is TaskState.ABSENT
    assert "the next one after it is at 2026-01-01T01:00:00" in found.told
    with pytest.raises(UsageError, match="is no time: name the run by its time"):
        schedule(None).where("yesterday")


def test_a_run_is_pending_then_running_then_done(hours: Bench) -> None:
    source = hours.source()
    asked = schedule(hours.store)
    hours.pass_hours(1)
    batch, tick = taken(source)
    at = iso(tick.scheduled.timestamp())
    found = asked.where(at)
    assert (found.state, "on h1.test.consumer.0#1" in found.told) == (TaskState.RUNNING, True)
    (first, *_) = asked.peek(3)
    assert first.place == at
    hours.lapse()
    assert asked.where(at).state is TaskState.PENDING
    settle(source, batch)
    found = asked.where(at)
    assert (found.state, "neither waits nor is parked" in found.told) == (TaskState.DONE, True)


def test_where_some_were_missed_nobody_says_that_one_was_done(hours: Bench) -> None:
    source = hours.source(missed="skip")
    hours.pass_hours(3)
    source.fetch(1, 0.0)
    row = hours.row()
    found = schedule(hours.store).where(iso(row.next_at - 2 * HOUR))
    assert row.missed > 0
    assert found.state is TaskState.UNKNOWN
    assert f"one of the {row.missed} that were missed" in found.told


def test_a_run_that_a_person_has_asked_for_is_found_by_its_id(hours: Bench) -> None:
    hours.source()
    (task_id,) = hours.store.database.write(lambda connection: make_by_hand(connection, [NAME]))
    found = schedule(hours.store).where(task_id)
    assert (found.state, task_id in found.ids) == (TaskState.PENDING, True)


def test_nothing_is_sent_to_a_schedule() -> None:
    with pytest.raises(UsageError, match=f"consumerd run-now {NAME}"):
        schedule(None).send([])
