"""Claims of rows in the order in which they are due, where a look at everything takes long."""

from __future__ import annotations

from dataclasses import dataclass, field
from types import SimpleNamespace
from typing import Any, cast

import pytest
from sqlalchemy import Connection

from consumerd.database.claims import Claims, Lease, Place
from consumerd.sources.contract import SourceContext
from consumerd.sources.table.rounds import SHARE
from consumerd.sources.table.shape import UNKNOWN
from consumerd.sources.table.turns.front import SHORTEST_S
from consumerd.sources.table.turns.orders import InOrder
from consumerd.testing.clock import ManualClock

WHOLE_S = 0.3
LIMIT = 2


@dataclass
class SlowClaims:
    """Rows of (key, attempts, age, due): those that wait, and those whose claim has ended, which only a look at
    everything finds.
    """

    clock: ManualClock
    waiting: list[int] = field(default_factory=list)
    lapsed: list[int] = field(default_factory=list)
    looks: list[Place | None] = field(default_factory=list)

    def claim(
        self, _: object, lease: Lease, limit: int, *, is_untried: bool, since: Place | None, has_lapsed: bool
    ) -> list[tuple[Any, ...]]:
        assert has_lapsed == (since is None)
        self.looks.append(since)
        if since is None:
            self.clock.advance(WHOLE_S)
        lapsed = self.lapsed[:limit] if has_lapsed else []
        waiting = [key for key in self.waiting if since is None or key > cast("int", since.key)][: limit - len(lapsed)]
        self.lapsed = [key for key in self.lapsed if key not in lapsed]
        self.waiting = [key for key in self.waiting if key not in waiting]
        return [(key, 0, None, None) for key in lapsed] + [(key, 0, None, 7.0) for key in waiting]

    @staticmethod
    def key_of(row: tuple[Any, ...]) -> object:
        return row[0]


@pytest.fixture
def claims() -> SlowClaims:
    return SlowClaims(ManualClock(0.0))


@pytest.fixture
def order(claims: SlowClaims) -> InOrder:
    context = SimpleNamespace(clock=claims.clock, options=SimpleNamespace(id_column=("id",)))
    return InOrder(cast("SourceContext", context), UNKNOWN, cast("Claims", claims))


def claimed(order: InOrder) -> list[int]:
    rows = order.claim(cast("Connection", None), Lease("a#1/1", 60.0), LIMIT, is_untried=False)
    return [row[0] for row in rows]


def test_each_claim_begins_behind_the_last_row(order: InOrder, claims: SlowClaims) -> None:
    claims.waiting = list(range(6))
    assert [claimed(order) for _ in range(3)] == [[0, 1], [2, 3], [4, 5]]
    assert claims.looks == [None, Place(7.0, 1), Place(7.0, 3)]


def test_where_nothing_is_left_behind_it_everything_is_looked_at_once_that_costs_a_twentieth_of_the_time(
    order: InOrder, claims: SlowClaims
) -> None:
    claims.waiting = [0, 1]
    assert claimed(order) == [0, 1]
    claims.lapsed = [9]
    assert claimed(order) == []
    assert len(claims.looks) == 2
    claims.clock.advance(SHARE * WHOLE_S)
    assert claimed(order) == [9]


def test_who_knows_that_there_is_something_looks_at_everything(order: InOrder, claims: SlowClaims) -> None:
    claims.waiting = [5, 6]
    assert claimed(order) == [5, 6]
    claims.waiting = [1]  # somebody gave it back
    order.begin_anew()
    assert claimed(order) == [1]


def test_as_long_as_claims_have_ended_they_come_first(order: InOrder, claims: SlowClaims) -> None:
    claims.waiting, claims.lapsed = [1, 2, 3, 4], [7, 8, 9]
    assert [claimed(order) for _ in range(4)] == [[7, 8], [9, 1], [2, 3], [4]]
    claims.clock.advance(max(SHORTEST_S, SHARE * WHOLE_S))
    claims.waiting, claims.lapsed = [5, 6], [0]
    assert claimed(order) == [0, 5]
