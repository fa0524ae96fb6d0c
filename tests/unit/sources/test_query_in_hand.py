"""`get_next_batch` while rows of several batches are in hand, as with `concurrency`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import text

from consumerd import SQLBaseConsumer
from consumerd.database.engine import open_engine
from consumerd.events.facts import Fact
from consumerd.model.outcome import DONE
from consumerd.sources.contract import Batch, Settlement
from consumerd.sources.query import QueryOptions
from consumerd.sources.query.batch import Row, one_of_each
from consumerd.sources.query.pace import STARVED_AFTER_S
from consumerd.sources.query.reading import PIECE
from consumerd.sources.query.source import QuerySource
from consumerd.testing.clock import ManualClock
from consumerd.testing.source_context import StandInWorker, context_for_tests


class Stage:
    """A query over rows in memory, and its source. answers: what is given in place of them, one after the other."""

    def __init__(self, count: int, *, claims: bool | None = False) -> None:
        stage = self
        self.rows = [{"id": number} for number in range(count)]
        self.answers: list[Any] = []
        self.queries = 0

        class Rows(SQLBaseConsumer):
            def get_next_batch(self) -> Any:
                stage.queries += 1
                return stage.answers.pop(0) if stage.answers else list(stage.rows)

        self.clock = ManualClock()
        self.facts: list[Fact] = []
        self.source = QuerySource()
        self.source.open(
            replace(
                context_for_tests(Rows(0), QueryOptions(claims=claims)),
                clock=self.clock,
                worker=StandInWorker(self.clock),
                emit=self.facts.append,
            )
        )

    def fetch(self, limit: int = 100) -> list[int] | None:
        """The ids in the next batch."""
        self.batch = self.source.fetch(limit, 0.0)
        return None if self.batch is None else [row.record["id"] for row in self.batch.raws]

    def finish(self, batch: Batch | None) -> None:
        """Handle all rows of a batch: each is marked."""
        assert batch is not None
        done = {row.record["id"] for row in batch.raws}
        self.rows = [row for row in self.rows if row["id"] not in done]
        self.source.settle([Settlement(batch, 0, len(batch.raws), DONE)], is_due=False)
        self.source.release(batch, ())

    def wait(self) -> None:
        self.clock.advance(1.1)


def test_what_is_in_hand_is_not_given_again() -> None:
    stage = Stage(3)
    assert stage.fetch() == [0, 1, 2]
    stage.rows.append({"id": 3})
    stage.wait()
    assert stage.fetch() == [3]
    stage.wait()
    assert stage.fetch() is None


def test_what_was_in_hand_when_the_query_was_asked_and_is_done_when_it_is_read_is_not_given_again() -> None:
    stage = Stage(PIECE + 2)
    given = iter(stage.rows)
    stage.answers = [[stage.rows[-1]], (row for row in given)]
    assert stage.fetch() == [PIECE + 1]
    in_hand = stage.batch
    stage.wait()
    assert stage.fetch(PIECE) == list(range(PIECE))
    stage.finish(in_hand)
    stage.wait()
    assert stage.fetch() == [PIECE]


def test_the_query_is_not_asked_more_often_because_its_rows_are_in_hand() -> None:
    stage = Stage(3)
    stage.fetch()
    asked = []
    for _ in range(300):
        stage.fetch()
        stage.clock.advance(0.01)
        asked.append(stage.queries)
    assert asked[-1] <= 5


def test_a_query_whose_rows_are_all_in_hand_is_not_starved() -> None:
    stage = Stage(3)
    stage.fetch()
    for _ in range(int(STARVED_AFTER_S) + 5):
        stage.wait()
        assert stage.fetch() is None
    assert [fact.name for fact in stage.facts] == []


def test_a_row_whose_claim_runs_out_in_hand_comes_after_its_first_is_done() -> None:
    stage = Stage(0, claims=True)
    stage.answers = [[{"id": 1}], [{"id": 1}, {"id": 2}], []]
    assert stage.fetch() == [1]
    first = stage.batch
    assert stage.fetch() == [2]
    assert stage.fetch() is None
    queries = stage.queries
    assert stage.fetch() is None
    assert stage.queries == queries, "what waits here is no reason to ask on"
    stage.finish(first)
    assert stage.fetch() == [1]


def test_one_row_of_each_id_is_taken() -> None:
    rows = [Row(place, {}, each) for place, each in enumerate("abacbd")]  # type: ignore[arg-type]  # ids are texts
    taken, rest = one_of_each(rows, 2, {"c"})
    assert ([row.offset for row in taken], [row.offset for row in rest]) == ([0, 1], [2, 3, 4, 5])
    taken, rest = one_of_each(rest, 2, {"c"})
    assert ([row.offset for row in taken], [row.offset for row in rest]) == ([2, 4], [3, 5])


def test_a_batch_of_before_a_loss_is_left_though_the_rest_is_owned_again() -> None:
    stage = Stage(2)
    stage.fetch(1)
    before = stage.batch
    stage.source._ownership.losses += 1
    stage.fetch(1)
    assert before is not None
    assert stage.batch is not None
    assert [stage.source.keeps(batch) for batch in (before, stage.batch)] == [False, True]


@pytest.fixture
def transacting(tmp_path: Any) -> Iterator[Stage]:
    engine = open_engine(str(tmp_path / "effects.sqlite"))
    with engine.begin() as connection:
        connection.execute(text("CREATE TABLE effects (id INTEGER)"))
    stage = Stage(3)
    stage.source._context = replace(stage.source._context, engine=lambda: engine)
    yield stage
    engine.dispose()


def test_a_transaction_is_of_its_task_whatever_was_fetched_since(transacting: Stage) -> None:
    stage, source = transacting, transacting.source
    batches = []
    for _ in range(3):
        stage.fetch(1)
        assert stage.batch is not None
        batches.append(stage.batch)
    tasks = [batch.task(0) for batch in batches]
    with source.transaction(tasks[0]) as connection:
        connection.execute(text("INSERT INTO effects VALUES (1)"))
    assert [source.is_settled(task) for task in tasks] == [True, False, False]
    stage.finish(batches[0])
    with pytest.raises(KeyError), source.transaction(tasks[2]):
        raise KeyError
    with source.transaction(tasks[1]):
        pass
    assert [source.is_settled(task) for task in tasks] == [False, True, False]


def test_a_row_that_is_given_again_is_not_done_because_it_was_before(transacting: Stage) -> None:
    """Others of the batch in which it was done still run."""
    stage, source = transacting, transacting.source
    stage.fetch()
    before = stage.batch
    assert before is not None
    with source.transaction(before.task(0)):
        pass
    source.settle([Settlement(before, 0, 1, DONE)], is_due=False)
    stage.wait()
    assert stage.fetch() == [0]
    assert stage.batch is not None
    again = stage.batch.task(0)
    assert (again.id, again.offset, source.is_settled(again)) == (before.task(0).id, before.task(0).offset, False)
    with source.transaction(again):
        pass
    assert source.is_settled(again)
