"""A row of a query that is tried again is handled as it is then; and which row is which task."""

from __future__ import annotations

from collections import Counter
from typing import Any, cast

from consumerd import Retry, SQLBaseConsumer
from consumerd.model.outcome import Dead
from consumerd.model.parked import ParkedState
from consumerd.sources.query.source import QuerySource
from consumerd.testing.running import NAME, Run
from contracts.query_rows import Rows, rows_of, run_of, wait_for

# A row is handled as it is then


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


def test_nothing_is_known_any_more_of_rows_that_were_done_discarded_or_are_gone() -> None:
    class Some(Rows):
        def handle_task(self, offset: int, record: Any) -> object:
            if record["id"] % 3 == 0:
                return Dead("no")
            if self.attempt == 1:
                return Retry(after=5)
            record["is_done"] = True
            return None

        def on_parked(self, record: Any, outcome: object) -> None:
            record["is_done"] = isinstance(outcome, Dead)

    run = run_of(rows_of(*({"id": number} for number in range(9)), base=Some))
    wait_for(run, 3)
    run.consumer.rows = [row for row in run.consumer.rows if row["id"] != 8]
    run.store.rows = {task_id: row for task_id, row in run.store.rows.items() if row.state is ParkedState.WAITING}
    wait_for(run, 200)
    selection = cast("QuerySource", run.source)._selection
    known = (selection._waiting, selection.given_while_waiting, selection.dead.known, selection._done_at)
    assert run.store.rows == {}
    assert [len(ids) for ids in known] == [0, 0, 0, 0]


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
