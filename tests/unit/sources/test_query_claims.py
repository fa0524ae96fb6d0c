"""Queries that claim the rows that they give: none of these is left to nobody."""

from __future__ import annotations

import random
from dataclasses import replace
from typing import Any

import pytest

from consumerd.model.shards import Shard
from consumerd.sources.contract import SourceContext
from consumerd.sources.query import QueryOptions
from consumerd.sources.query.reading import PIECE
from consumerd.sources.query.source import QuerySource
from consumerd.testing.running import NAME, Run
from consumerd.testing.source_context import context_for_tests
from consumerd.testing.source_steps import settle_all
from contracts.query_rows import Rows, rows_of, run_of, wait_for


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
