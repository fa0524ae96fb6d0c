"""`get_next_batch` as a source: who takes which row, what is left out, how queries are paced."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from consumerd import SQLBaseConsumer
from consumerd.errors import SourceRefusedError
from consumerd.model.outcome import SKIPPED, Dead, Skipped
from consumerd.model.outcome import Retry as RetryOutcome
from consumerd.model.shards import Shard
from consumerd.sources.contract import Batch, Source, SourceContext
from consumerd.sources.query.ownership import LEASE_S
from consumerd.sources.query.reading import PIECE
from consumerd.sources.query.source import QuerySource
from consumerd.testing.clock import ManualClock
from consumerd.testing.running import NAME, Run
from consumerd.testing.source_context import NothingParked, StandInWorker
from consumerd.testing.source_contract import Feed, SourceContract
from consumerd.wire.board import BoardFlag
from contracts.query_rows import Rows, rows_of, run_of, wait_for


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
        self._clock = ManualClock()
        self._parked = NothingParked()
        self._parked.is_shared = True

    def produce(self, records: Sequence[dict[str, object]]) -> None:
        self._rows += records

    def open(self, context: SourceContext) -> Source:
        source = QuerySource()
        context = replace(context, parked=self._parked, clock=self._clock, worker=StandInWorker(self._clock))
        source.open(replace(context, consumer=Numbers(self._rows)))
        return source

    def take_away(self) -> None:
        """Another worker has all ranges since its lease, which was not renewed, ran out."""
        self._parked.division = {}
        self._clock.advance(LEASE_S / 2)


class TestQuerySource(SourceContract):
    is_durable = False
    is_taken_away_whole = True

    def take_away(self, feed: Feed, source: Source, batch: Batch) -> bool:
        assert isinstance(feed, QueryFeed)
        feed.take_away()
        return True

    @pytest.fixture
    def feed(self) -> QueryFeed:
        return QueryFeed()


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
    run.clock.advance(10)
    run.turn(10)
    outcomes = [type(outcome) for _, outcome in run.consumer.parked]
    assert outcomes == [Dead, RetryOutcome, *[Skipped] * (len(outcomes) - 2)]
    assert outcomes[2:]
    assert {row_id for row_id, outcome in run.consumer.parked if outcome == SKIPPED} == {1}, "not of one that waits"
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
        run = run_of(rows_of(base=All), Shard.numbered(index, 4))
        run.turn(4)
        seen += [row_id for _, row_id in run.consumer.handled]
    assert sorted(seen) == list(range(100))


def test_a_query_that_reads_the_shard_divides_the_rows_itself() -> None:
    class Sharding(Rows):
        def get_next_batch(self) -> list[dict[str, Any]]:
            return [{"id": number} for number in range(10) if number % self.shard.count == self.shard.index]

    run = run_of(rows_of(base=Sharding), Shard.numbered(1, 2))
    run.turn(2)
    assert [row_id for _, row_id in run.consumer.handled] == [1, 3, 5, 7, 9]


def test_rows_without_an_id_cannot_be_divided_among_workers() -> None:
    class Nameless(Rows):
        def task_id(self, record: Any) -> object:
            return None

    run = run_of(rows_of({"id": 1}, base=Nameless), Shard.numbered(0, 2))
    with pytest.raises(SourceRefusedError, match="have one worker"):
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


def test_while_the_store_is_away_rows_go_on_that_are_not_known_to_be_parked() -> None:
    run = run_of(rows_of({"id": 1, "fails": True}, {"id": 2}, {"id": 3}))
    run.turn(3)
    run.store.is_away = True
    run.consumer.rows += [{"id": 4}, {"id": 5, "fails": True}, {"id": 6}]
    run.clock.advance(1.1)
    run.turn(3)
    assert [row_id for _, row_id in run.consumer.handled] == [1, 2, 3, 4, 5, 6]
    assert run.source.unsettled() == 1
    assert run.board.read().flags == BoardFlag.STORE_AWAY
    run.clock.advance(5)
    run.consumer.rows.append({"id": 7})
    run.turn(5)
    assert run.consumer.handled[-1][1] == 7
    run.store.is_away = False
    run.clock.advance(30)
    run.turn(5)
    assert set(run.dead()) == {f"{NAME}:1", f"{NAME}:5"}
    assert [row_id for _, row_id in run.consumer.handled].count(5) == 1


def test_a_query_that_returns_only_parked_rows_is_asked_each_sleep_time_and_reported_as_starved() -> None:
    run = run_of(rows_of({"id": 1, "fails": True}))
    run.turn(3)
    before = run.consumer.queries
    started = run.clock.monotonic()
    while run.clock.monotonic() - started < 60:
        run.turn()
    assert 55 <= run.consumer.queries - before <= 65
    assert len(run.told("starved")) == 1
    assert "self.parked_ids()" in str(run.told("starved")[0].fields["advice"])
    assert not run.told("fed")
    run.consumer.rows = []
    run.clock.advance(30)
    run.turn()
    assert len(run.told("fed")) == 1


def test_the_shard_divides_the_rows_only_where_the_query_reads_it() -> None:
    class Printing(Rows):
        def pre_consume(self) -> None:
            print(self.shard)

        def handle_task(self, offset: int, record: Any) -> object:
            print(self.shard)
            return super().handle_task(offset, record)

    run = run_of(rows_of(*({"id": number} for number in range(10)), base=Printing), Shard.numbered(0, 4))
    wait_for(run, 3)
    ours = [number for number in range(10) if Shard.numbered(0, 4).owns(f"{NAME}:{number}")]
    assert [row_id for _, row_id in run.consumer.handled] == ours


# The lag


def test_the_lag_of_a_query_is_what_its_hook_counts() -> None:
    class Counted(Rows):
        counted = 0

        def waiting(self) -> int:
            self.counted += 1
            return 1 + sum(not row.get("is_done") for row in self.rows)

    run = run_of(rows_of({"id": 1, "fails": True}, {"id": 2}, base=Counted))
    assert isinstance(run.source, QuerySource)
    wait_for(run, 2)
    assert run.source.lag() is None
    assert run.consumer.counted == 0, "nobody wanted to know"
    wait_for(run, 2)
    lag = run.source.lag()
    assert lag is not None
    assert [(each.tasks, each.is_blocked) for each in lag] == [(2, True)]
    wait_for(run, 30)
    assert run.consumer.counted == 1
    assert run.source.lag() is None, "what was counted is told once"


def test_nobody_knows_the_lag_of_a_query_that_does_not_count() -> None:
    run = run_of(rows_of({"id": 1}))
    assert isinstance(run.source, QuerySource)
    run.source.lag()
    wait_for(run, 20)
    assert run.source.lag() == ()


# What is no list of rows


@pytest.mark.parametrize(
    ("answer", "complaint"),
    [
        ({"id": 1}, "a dict, which is one row"),
        ("oops", "a str, which is no list"),
        (5, "an int, which is no list"),
        ((1, "ann"), "a tuple of values, which is one row"),
        (object(), "an object, which is no list"),
    ],
)
def test_what_is_no_list_of_rows_is_refused_with_a_sentence(answer: Any, complaint: str) -> None:
    class Wrong(Rows):
        def get_next_batch(self) -> Any:
            return answer

    run = run_of(rows_of(base=Wrong))
    run.turn(3)
    assert run.consumer.handled == []
    assert f"get_next_batch returned {complaint}: return a list" in str(run.told("source_away")[0].fields["error"])


@pytest.mark.parametrize("form", [tuple, iter, lambda rows: (row for row in rows)])
def test_rows_may_come_in_any_iterable(form: Any) -> None:
    class Forms(Rows):
        def get_next_batch(self) -> Any:
            return form(super().get_next_batch())

    run = run_of(rows_of({"id": 1}, {"id": 2}, base=Forms))
    run.turn(3)
    assert run.consumer.handled == [(0, 1), (1, 2)]


def test_the_first_rows_are_handled_before_the_query_is_asked_again() -> None:
    class Counted(SQLBaseConsumer):
        asked = 0

        def get_next_batch(self) -> list[dict[str, Any]]:
            self.asked += 1
            return [{"id": f"of answer {self.asked}"}]

        def handle_task(self, offset: int, record: Any) -> None:
            handled.append((record["id"], self.asked))

    handled: list[tuple[str, int]] = []
    run = Run(Counted, source=QuerySource())
    run.turn(2)
    assert handled == [("of answer 1", 1), ("of answer 2", 3), ("of answer 3", 3)], "asked twice with the second ones"


def test_a_generator_is_read_no_further_than_is_needed() -> None:
    read: list[int] = []

    class Streaming(SQLBaseConsumer):
        def get_next_batch(self) -> Any:
            for number in range(5_000):
                read.append(number)
                yield {"id": number}

        def handle_task(self, offset: int, record: Any) -> None:
            assert offset == record["id"]

    run = Run(Streaming, source=QuerySource(), configs={"max_unsettled": 10})
    run.turn(2)
    assert len(read) == PIECE
    wait_for(run, 0.9)
    run.turn(600)
    assert run.done >= 5_000


def test_while_the_store_is_away_a_query_that_gives_nothing_does_not_tell_it_back() -> None:
    run = run_of(rows_of({"id": 7, "fails": True}))
    run.until_idle()
    run.consumer.rows[0]["is_done"] = True
    run.store.is_away = True
    for _ in range(30):
        run.clock.advance(1)
        run.turn()
    assert (len(run.told("store_away")), len(run.told("store_back"))) == (1, 0)
    run.store.is_away = False
    run.clock.advance(30)
    run.turn(5)
    assert len(run.told("store_back")) == 1
