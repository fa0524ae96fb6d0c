"""`get_next_batch` as a source: who takes which row, what is left out, how queries are paced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from consumerd import Retry, SQLBaseConsumer
from consumerd.errors import SourceRefusedError
from consumerd.model.outcome import Dead, Skipped
from consumerd.model.outcome import Retry as RetryOutcome
from consumerd.model.shards import Shard
from consumerd.sources.contract import Source, SourceContext
from consumerd.sources.query import QuerySource
from consumerd.testing.running import NAME, Run
from consumerd.testing.source_contract import SourceContract
from consumerd.wire.board import BoardFlag


class Numbers(SQLBaseConsumer):
    """Gives its rows once: the state of a row is the user's, and no handler runs here that would change it."""

    SLEEP_TIME = 0.01

    def __init__(self, rows: list[dict[str, object]]) -> None:
        super().__init__(0)
        self._rows = rows

    def get_next_batch(self) -> list[dict[str, object]]:
        rows = self._rows[:]
        self._rows.clear()
        return rows

    def task_id(self, record: Any) -> object:
        return record["number"]


class QueryFeed:
    """Rows that a query returns."""

    def __init__(self) -> None:
        self._rows: list[dict[str, object]] = []

    def produce(self, records: Sequence[dict[str, object]]) -> None:
        self._rows += records

    def open(self, context: SourceContext) -> Source:
        source = QuerySource()
        source.open(replace(context, consumer=Numbers(self._rows)))
        return source


class TestQuerySource(SourceContract):
    is_durable = False

    @pytest.fixture
    def feed(self) -> QueryFeed:
        return QueryFeed()


class Rows(SQLBaseConsumer):
    """A table in memory: a handled row is marked, unless the test says otherwise."""

    rows: list[dict[str, Any]]
    marks = True
    raises: list[Exception]

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.handled: list[tuple[int, Any]] = []
        self.parked: list[tuple[Any, object]] = []
        self.queries = 0
        self.raises = []

    def get_next_batch(self) -> list[dict[str, Any]]:
        self.queries += 1
        if self.raises:
            raise self.raises.pop(0)
        return [row for row in self.rows if not row.get("is_done")][:10]

    def handle_task(self, offset: int, record: Any) -> object:
        self.handled.append((offset, record["id"]))
        if record.get("fails"):
            raise ValueError("it failed")
        if record.get("waits"):
            return Retry(after=60)
        record["is_done"] = self.marks
        return None


def rows_of(*rows: dict[str, Any], base: type[Rows] = Rows) -> type[Rows]:
    return type("RowsOfTest", (base,), {"rows": list(rows)})


def run_of(consumer_class: type[Rows], shard: Shard | None = None) -> Run:
    return Run(consumer_class, source=QuerySource(), shard=shard)


def test_rows_are_handled_with_their_index_in_the_batch_as_offset() -> None:
    run = run_of(rows_of({"id": 7}, {"id": 9}))
    run.turn(2)
    assert run.consumer.handled == [(0, 7), (1, 9)]


def test_an_empty_answer_waits_sleep_time_before_the_next_query() -> None:
    run = run_of(rows_of())
    run.turn()
    started = run.clock.monotonic()
    run.turn(3)  # 0.4 s, 0.4 s, and what is left of the second
    assert run.consumer.queries == 1
    run.turn()
    assert run.consumer.queries == 2
    assert run.clock.monotonic() - started == pytest.approx(1.0)


def test_work_is_followed_by_the_next_query_at_once() -> None:
    run = run_of(rows_of(*({"id": number} for number in range(25))))
    started = run.clock.monotonic()
    run.turn(4)
    assert len(run.consumer.handled) == 25
    assert run.clock.monotonic() == started


def test_a_row_that_fails_is_parked_told_of_and_left_out_from_then_on() -> None:
    class Telling(Rows):
        def on_parked(self, record: Any, outcome: object) -> None:
            self.parked.append((record["id"], outcome))

    run = run_of(rows_of({"id": 1, "fails": True}, {"id": 2}, {"id": 3, "waits": True}, base=Telling))
    run.turn(10)
    assert [row_id for _, row_id in run.consumer.handled] == [1, 2, 3]
    assert set(run.dead()) == {f"{NAME}:1"}
    assert set(run.waiting()) == {f"{NAME}:3"}
    outcomes = run.consumer.parked[:2]
    assert isinstance(outcomes[0][1], Dead)
    assert isinstance(outcomes[1][1], RetryOutcome)
    run.clock.advance(10)
    run.turn(10)
    assert isinstance(run.consumer.parked[-1][1], Skipped)
    assert [row_id for _, row_id in run.consumer.handled] == [1, 2, 3]


def test_a_waiting_row_is_handled_again_from_the_store_when_it_is_due() -> None:
    run = run_of(rows_of({"id": 3, "waits": True}))
    run.turn(3)
    run.clock.advance(61)
    run.turn(3)
    assert [row_id for _, row_id in run.consumer.handled] == [3, 3]
    assert run.store.rows[f"{NAME}:3"].attempts == 2


def test_a_hook_that_fails_is_reported_and_stops_nothing() -> None:
    class Broken(Rows):
        def on_parked(self, record: Any, outcome: object) -> None:
            raise OSError("the database is away")

    run = run_of(rows_of({"id": 1, "fails": True}, {"id": 2}, base=Broken))
    run.turn(3)
    assert run.consumer.handled == [(0, 1), (1, 2)]
    assert [fact.fields["hook"] for fact in run.told("hook_failed")] == ["on_parked"]


def test_a_row_that_was_done_and_comes_again_is_left_out_for_sleep_time_and_then_handled_again() -> None:
    class Unmarking(Rows):
        marks = False

    run = run_of(rows_of({"id": 1}, base=Unmarking))
    run.turn(3)
    assert len(run.consumer.handled) == 1
    run.clock.advance(1.1)
    run.turn(2)
    assert len(run.consumer.handled) == 2


def test_workers_divide_the_rows_by_their_ids() -> None:
    rows = [{"id": number} for number in range(100)]

    class All(Rows):
        def get_next_batch(self) -> list[dict[str, Any]]:
            return [dict(row) for row in rows]

    seen: list[int] = []
    for index in range(4):
        run = run_of(rows_of(base=All), Shard(index, 4))
        run.turn(4)
        seen += [row_id for _, row_id in run.consumer.handled]
    assert sorted(seen) == list(range(100))


def test_a_query_that_reads_the_shard_divides_the_rows_itself() -> None:
    class Sharding(Rows):
        def get_next_batch(self) -> list[dict[str, Any]]:
            return [{"id": number} for number in range(10) if number % self.shard.count == self.shard.index]

    run = run_of(rows_of(base=Sharding), Shard(1, 2))
    run.turn(2)
    assert [row_id for _, row_id in run.consumer.handled] == [1, 3, 5, 7, 9]


def test_rows_without_an_id_cannot_be_divided_among_workers() -> None:
    class Nameless(Rows):
        def task_id(self, record: Any) -> object:
            return None

    run = run_of(rows_of({"id": 1}, base=Nameless), Shard(0, 2))
    with pytest.raises(SourceRefusedError, match="set workers to 1"):
        run.turn()


def test_rows_without_an_id_are_known_by_their_content_once_they_are_parked() -> None:
    class Nameless(Rows):
        def task_id(self, record: Any) -> object:
            return None

    run = run_of(rows_of({"id": 1, "fails": True}, {"id": 2}, {"id": 2}, base=Nameless))
    run.turn(10)
    assert run.consumer.handled == [(0, 1), (1, 2), (2, 2)]
    assert len(run.dead()) == 1


def test_an_id_twice_in_a_batch_is_handled_once() -> None:
    run = run_of(rows_of({"id": 1}, {"id": 1}))
    run.turn()
    assert run.consumer.handled == [(0, 1)]


def test_a_query_that_fails_is_a_source_that_is_away_and_no_task_fails() -> None:
    run = run_of(rows_of({"id": 1}))
    run.consumer.raises = [ConnectionError("refused"), ConnectionError("refused")]
    run.turn()
    assert run.board.read().flags == BoardFlag.SOURCE_AWAY
    run.turn(20)
    assert run.consumer.handled == [(0, 1)]
    assert run.board.read().flags == BoardFlag(0)
    assert len(run.told("source_away")) == len(run.told("source_back")) == 1
    assert "ConnectionError: refused" in str(run.told("source_away")[0].fields["error"])


def test_while_the_store_is_away_rows_are_not_handled_for_nobody_knows_which_are_parked() -> None:
    run = run_of(rows_of({"id": 1}))
    run.store.is_away = True
    run.turn(20)
    assert run.consumer.handled == []
    run.store.is_away = False
    run.clock.advance(30)
    run.turn(5)
    assert run.consumer.handled == [(0, 1)]


def test_a_query_that_returns_only_parked_rows_is_asked_ever_more_rarely_and_reported_as_starved() -> None:
    run = run_of(rows_of({"id": 1, "fails": True}))
    run.turn(3)
    before = run.consumer.queries
    started = run.clock.monotonic()
    while run.clock.monotonic() - started < 60:
        run.turn()
    assert 4 <= run.consumer.queries - before <= 8
    assert len(run.told("starved")) == 1
    assert "self.parked_ids()" in str(run.told("starved")[0].fields["advice"])
    assert not run.told("fed")
    run.consumer.rows = []
    run.clock.advance(30)
    run.turn()
    assert len(run.told("fed")) == 1
