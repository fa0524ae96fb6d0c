"""`get_next_batch` as a source: who takes which row, what is left out, how queries are paced."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from consumerd import Retry, SQLBaseConsumer
from consumerd.errors import SourceRefusedError
from consumerd.model.outcome import SKIPPED, Dead, Skipped
from consumerd.model.outcome import Retry as RetryOutcome
from consumerd.model.shards import Shard
from consumerd.sources.contract import Source, SourceContext
from consumerd.sources.query import QueryOptions
from consumerd.sources.query.reading import PIECE
from consumerd.sources.query.source import QuerySource
from consumerd.testing.running import NAME, Run
from consumerd.testing.source_context import context_for_tests
from consumerd.testing.source_contract import SourceContract
from consumerd.testing.source_steps import settle_all
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


# A row is handled as it is then


def wait_for(run: Run, seconds: float) -> None:
    """Let so much time pass, with the queries that are due in it."""
    end = run.clock.monotonic() + seconds
    while run.clock.monotonic() < end:
        run.turn()


def test_a_retry_handles_the_row_as_the_query_gives_it_then() -> None:
    run = run_of(rows_of({"id": 3, "waits": True, "version": 1}))
    wait_for(run, 5)
    assert run.store.rows[f"{NAME}:3"].payload == b"", "a copy is kept of a row that comes again"
    run.consumer.rows[0] = {"id": 3, "version": 2}
    wait_for(run, 60)
    assert run.consumer.handled == [(0, 3), (0, 3)]
    assert run.consumer.rows[0]["is_done"]
    assert run.store.rows == {}


def test_a_row_that_on_parked_has_marked_is_tried_again_from_its_copy() -> None:
    class Marking(Rows):
        def on_parked(self, record: Any, outcome: object) -> None:
            self.parked.append((record["id"], outcome))
            for row in self.rows:
                row["is_done"] = row["is_done"] if row["id"] != record["id"] else True

        def handle_task(self, offset: int, record: Any) -> object:
            self.handled.append((offset, record["id"]))
            return Retry(after=60) if self.attempt < 3 else Dead("no")

    run = run_of(rows_of(*({"id": number, "is_done": False} for number in range(20)), base=Marking))
    wait_for(run, 5)
    assert len(run.waiting()) == 20, "those that wait have filled the query's LIMIT"
    wait_for(run, 140)
    assert Counter(row_id for _, row_id in run.consumer.handled) == dict.fromkeys(range(20), 3)
    assert not run.told("row_gone")
    assert sum(isinstance(outcome, Dead) for _, outcome in run.consumer.parked) == 20


def test_a_new_row_does_not_wait_behind_those_that_are_tried_again() -> None:
    class Slow(Rows):
        clock: Any

        def handle_task(self, offset: int, record: Any) -> object:
            self.handled.append((offset, record["id"]))
            if record.get("waits"):
                self.clock.advance(0.5)
                return Retry(after=2)
            record["is_done"] = True
            return None

    run = run_of(rows_of(*({"id": number, "waits": True} for number in range(9)), base=Slow))
    run.consumer.clock = run.clock
    wait_for(run, 30)
    for number in range(100, 105):
        run.consumer.rows.append({"id": number})
        began = run.clock.monotonic()
        while run.consumer.handled[-1][1] != number:
            run.turn()
        assert run.clock.monotonic() - began <= 2.5


def test_a_row_that_was_deleted_while_it_waited_is_gone() -> None:
    run = run_of(rows_of({"id": 3, "waits": True}, {"id": 4, "waits": True}))
    wait_for(run, 5)
    del run.consumer.rows[0]
    wait_for(run, 150)
    assert [row_id for _, row_id in run.consumer.handled].count(3) == 1
    assert [fact.fields["task"] for fact in run.told("row_gone")] == [f"{NAME}:3"]
    assert set(run.store.rows) == {f"{NAME}:4"}


class Plain:
    """A record that is an object, as ORMs give them."""

    def __init__(self, number: int) -> None:
        self.id = number
        self.fails = True


def test_an_object_is_the_querys_own_at_each_attempt() -> None:
    seen: list[object] = []
    thing = Plain(1)

    class Objects(SQLBaseConsumer):
        def get_next_batch(self) -> list[Plain]:
            return [thing] if thing.fails else []

        def handle_task(self, offset: int, record: Plain) -> object:
            seen.append(record)
            if len(seen) < 4:
                return Retry(after=1) if len(seen) == 2 else self.fail()
            record.fails = False
            return None

        def fail(self) -> None:
            raise ValueError("not yet")

    run = Run(Objects, source=QuerySource(), configs={"task_retry_times": 1, "back_off_time": 1, "expire_time": 60})
    wait_for(run, 20)
    assert seen == [thing] * 4
    assert run.store.rows == {}


# Who is who


def test_a_row_that_was_set_back_after_on_parked_had_marked_it_is_tried_again() -> None:
    class Marking(Rows):
        def on_parked(self, record: Any, outcome: object) -> None:
            record["is_done"] = True

    run = run_of(rows_of({"id": 1, "fails": True}, base=Marking))
    wait_for(run, 5)
    assert set(run.dead()) == {f"{NAME}:1"}
    run.consumer.rows[0].update(is_done=False)
    run.consumer.rows[0].pop("fails")
    wait_for(run, 5)
    assert run.consumer.handled == [(0, 1), (0, 1)]


def test_a_row_that_is_set_back_as_it_was_is_one_task_with_its_entry() -> None:
    class Marking(Rows):
        mended = False

        def handle_task(self, offset: int, record: Any) -> object:
            self.handled.append((offset, record["id"]))
            if not self.mended:
                raise ValueError("the cause stands")
            record["is_done"] = True
            return None

        def on_parked(self, record: Any, outcome: object) -> None:
            record["is_done"] = True

    run = run_of(rows_of({"id": 1}, base=Marking))
    wait_for(run, 5)
    run.consumer.mended = True
    del run.consumer.rows[0]["is_done"]
    wait_for(run, 5)
    assert run.consumer.handled == [(0, 1), (0, 1)]
    assert run.store.rows == {}


def test_another_row_under_the_id_of_a_dead_one_is_another_task() -> None:
    run = run_of(rows_of({"id": 1, "fails": True, "address": "broken"}))
    wait_for(run, 3)
    run.consumer.rows[0] = {"id": 1, "address": "ann"}
    wait_for(run, 3)
    assert run.consumer.handled == [(0, 1), (0, 1)]
    assert set(run.dead()) == {f"{NAME}:1"}


def test_a_row_whose_content_changes_with_each_look_dies_twice_at_most() -> None:
    class Ageing(Rows):
        age = 0

        def get_next_batch(self) -> list[dict[str, Any]]:
            self.age += 1
            return [{"id": 1, "age": self.age, "fails": True}]

    run = run_of(rows_of(base=Ageing))
    wait_for(run, 60)
    assert len(run.consumer.handled) == 2
    assert len(run.dead()) <= 2


def test_a_row_that_answers_give_by_chance_is_not_set_back_again_and_again() -> None:
    class Flickering(Rows):
        looks = 0

        def get_next_batch(self) -> list[dict[str, Any]]:
            self.looks += 1
            return [{"id": 1, "fails": True}] if self.looks % 2 else []

    run = run_of(rows_of(base=Flickering))
    wait_for(run, 120)
    assert len(run.consumer.handled) <= 4


def test_while_the_store_is_away_a_row_that_waits_is_left_out() -> None:
    run = run_of(rows_of({"id": 1, "waits": True}))
    wait_for(run, 3)
    run.store.is_away = True
    wait_for(run, 10)
    assert run.consumer.handled == [(0, 1)]


def test_a_message_whose_counters_change_at_each_read_is_parked_once() -> None:
    reads = iter(range(1_000))

    class Messages(SQLBaseConsumer):
        def get_next_batch(self) -> list[dict[str, object]]:
            number = next(reads)
            return [{"msg_id": 1, "read_ct": number, "vt": 1000.0 + number, "message": "no such order"}]

        def handle_task(self, offset: int, record: object) -> None:
            raise KeyError("no such order")

    run = Run(Messages, source=QuerySource())
    wait_for(run, 30)
    assert len(run.dead()) == 1
    assert len(run.told("query_remarked")) == 1


def test_a_row_of_objects_without_an_id_is_known_by_its_values() -> None:
    class Nameless:
        def __init__(self) -> None:
            self.address = "broken"

    class Things(SQLBaseConsumer):
        def get_next_batch(self) -> list[Nameless]:
            return [Nameless()]

        def handle_task(self, offset: int, record: object) -> None:
            raise ValueError("no")

    run = Run(Things, source=QuerySource())
    wait_for(run, 10)
    assert len(run.dead()) == 1


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
    assert run.source.lag() == ()
    assert run.consumer.counted == 0, "nobody wanted to know"
    wait_for(run, 30)
    (lag,) = run.source.lag()
    assert (lag.tasks, lag.is_blocked) == (2, True)
    assert 2 <= run.consumer.counted <= 4


def test_nobody_knows_the_lag_of_a_query_that_does_not_count() -> None:
    run = run_of(rows_of({"id": 1}))
    assert isinstance(run.source, QuerySource)
    run.source.lag()
    wait_for(run, 20)
    assert run.source.lag() == ()


# Queries that claim


class Claiming(Rows):
    """`UPDATE … RETURNING`: what was returned does not come again."""

    released: list[Any]

    def get_next_batch(self) -> list[dict[str, Any]]:
        given, self.rows[:] = self.rows[:10], self.rows[10:]
        return given


def test_no_row_that_a_claiming_query_gave_is_left_to_nobody() -> None:
    run = run_of(rows_of(*({"id": number} for number in range(45)), base=Claiming), Shard.numbered(1, 4))
    wait_for(run, 8)
    assert sorted(row_id for _, row_id in run.consumer.handled) == list(range(45))
    assert len(run.told("query_remarked")) == 1


def test_a_long_answer_is_not_taken_for_rows_that_do_not_come_again() -> None:
    class Long(Rows):
        def get_next_batch(self) -> list[dict[str, Any]]:
            return [row for row in self.rows if not row.get("is_done")]

    run = run_of(rows_of(*({"id": number} for number in range(3 * PIECE)), base=Long), Shard.numbered(0, 4))
    wait_for(run, 5)
    assert not run.told("query_remarked")
    assert PIECE / 2 < len(run.consumer.handled) < PIECE


def test_no_row_of_a_long_claim_is_left_to_nobody() -> None:
    class LongClaiming(Rows):
        def get_next_batch(self) -> Any:
            given, self.rows[:] = self.rows[: 2 * PIECE], self.rows[2 * PIECE :]
            return iter(given)

    run = run_of(rows_of(*({"id": number} for number in range(5 * PIECE)), base=LongClaiming), Shard.numbered(0, 4))
    wait_for(run, 20)
    assert sorted(row_id for _, row_id in run.consumer.handled) == list(range(5 * PIECE))


def test_a_row_that_was_claimed_and_failed_is_tried_again_from_its_copy() -> None:
    run = run_of(rows_of({"id": 1, "waits": True}, base=Claiming))
    wait_for(run, 70)
    assert run.consumer.handled == [(0, 1), (0, 1)]
    assert run.store.rows[f"{NAME}:1"].attempts == 2


def test_what_was_claimed_and_not_begun_is_handed_to_a_hook_at_a_stop() -> None:
    class Releasing(Claiming):
        def on_released(self, records: list[Any]) -> None:
            self.released = records

    consumer = rows_of(*({"id": number} for number in range(10)), base=Releasing)(0)
    source = QuerySource()
    source.open(context_for_tests(consumer, QueryOptions(claims=True)))
    batch = source.fetch(3, 0.0)
    assert batch is not None
    source.release(batch, range(1, len(batch.raws)))
    source.close(0.0)
    assert [record["id"] for record in consumer.released] == [1, 2, 3, 4, 5, 6, 7, 8, 9]


@pytest.mark.parametrize("claims", [True, None])
def test_what_is_left_of_claimed_rows_at_a_stop_is_given_back_however_it_is_known(claims: bool | None) -> None:
    class Releasing(Claiming):
        def get_next_batch(self) -> Any:
            return (row for row in super().get_next_batch())

        def on_released(self, records: list[Any]) -> None:
            self.released = records

    consumer = rows_of(*({"id": number} for number in range(10)), base=Releasing)(0)
    source = QuerySource()
    source.open(context_for_tests(consumer, QueryOptions(claims=claims)))
    batch = source.fetch(3, 0.0)
    assert batch is not None
    source.release(batch, range(1, len(batch.raws)))
    source.close(0.0)
    assert [record["id"] for record in consumer.released] == list(range(1, 10))


def test_a_query_that_claims_leaves_nothing_out() -> None:
    class Twins(Claiming):
        def task_id(self, record: Any) -> object:
            if record["id"] == 9:
                raise KeyError("id")
            return 7 if record["id"] < 5 else None

    consumer = rows_of(*({"id": number} for number in range(10)), base=Twins)(0)
    source = QuerySource()
    context = context_for_tests(consumer, QueryOptions(claims=True))
    source.open(replace(context, shard=Shard.numbered(0, 4)))
    given: list[int] = []
    while (batch := source.fetch(100, 0.0)) is not None:  # one of the twins after the other
        given += [raw[1]["id"] for raw in batch.raws]
        settle_all(source, batch)
    assert given == [0, 5, 6, 7, 8, 9, 1, 2, 3, 4]


def test_equal_rows_without_an_id_that_were_claimed_are_parked_each() -> None:
    class Nameless(Claiming):
        def task_id(self, record: Any) -> object:
            return None

    row: dict[str, Any] = {"id": 1, "fails": True}
    run = Run(rows_of(*(dict(row) for _ in range(3)), base=Nameless), source=DeclaredClaiming())
    wait_for(run, 3)
    assert len(run.dead()) == 3


class DeclaredClaiming(QuerySource):
    """Of a consumer with `claims = true`."""

    def open(self, context: SourceContext) -> None:
        super().open(replace(context, options=QueryOptions(claims=True)))


def test_a_query_that_gives_rows_by_chance_is_not_taken_for_one_that_claims() -> None:
    chance = random.Random(5)

    class Sampling(Rows):
        def get_next_batch(self) -> list[dict[str, Any]]:
            left = [row for row in self.rows if not row.get("is_done")]
            return chance.sample(left, min(10, len(left)))

        def handle_task(self, offset: int, record: Any) -> object:
            self.handled.append((offset, record["id"]))
            record["is_done"] = True
            return None

    rows = [{"id": number} for number in range(200)]
    run = run_of(rows_of(*rows, base=Sampling), Shard.numbered(0, 4))
    wait_for(run, 400)
    assert not run.told("query_remarked")
    ours = {number for number in range(200) if Shard.numbered(0, 4).owns(f"{NAME}:{number}")}
    assert {row_id for _, row_id in run.consumer.handled} == ours


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
    assert len(read) == 2 * PIECE, "one piece of each of two answers"
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
