"""Several hosts with one query: one has it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import pytest

from consumerd.errors import StoreAwayError
from consumerd.events.facts import Fact
from consumerd.sources.query.turn import LEASE_S, Turn
from consumerd.testing.clock import ManualClock
from consumerd.testing.source_context import NothingParked, context_for_tests


class Shared(NothingParked):
    """A store that several hosts share."""

    is_shared = True

    def __init__(self, clock: ManualClock) -> None:
        super().__init__()
        self._clock = clock
        self._held: tuple[str, str, float] | None = None
        self.is_away = False
        self.asked = 0

    def hold(self, owner: str, place: str, seconds: float) -> str | None:
        self.asked += 1
        if self.is_away:
            raise StoreAwayError("away")
        now = self._clock.monotonic()
        if self._held is not None and self._held[0] != owner and self._held[2] > now:
            return self._held[1]
        self._held = (owner, place, now + seconds)
        return None


Made = tuple[Shared, ManualClock, list[Fact], Callable[[str], Turn]]


@pytest.fixture
def made() -> Made:
    clock, facts = ManualClock(0.0), list[Fact]()
    parked = Shared(clock)

    def turn(member: str) -> Turn:
        context = context_for_tests(parked=parked)
        return Turn(replace(context, member=member, clock=clock, emit=facts.append))

    return parked, clock, facts, turn


def test_one_host_has_the_query_and_the_other_takes_over_when_it_is_silent(made: Made) -> None:
    _, clock, facts, turn = made
    here, colleague, there = turn("a.g.c.0"), turn("a.g.c.1"), turn("b.g.c.0")
    assert here.hold()
    assert colleague.hold()
    assert not there.hold()
    for _ in range(12):
        clock.advance(5)
        assert here.hold()
        assert not there.hold()
    clock.advance(LEASE_S + 1)
    assert there.hold()
    assert not here.hold()
    assert [fact.name for fact in facts] == ["standing_by", "took_over", "standing_by"]


def test_the_store_is_asked_a_few_times_in_a_minute(made: Made) -> None:
    parked, clock, _, turn = made
    here = turn("a.g.c.0")
    for _ in range(600):
        here.hold()
        clock.advance(0.1)
    assert parked.asked <= 7


def test_while_the_store_is_away_a_host_stays_what_it_was(made: Made) -> None:
    parked, clock, _, turn = made
    here, there = turn("a.g.c.0"), turn("b.g.c.0")
    here.hold()
    there.hold()
    parked.is_away = True
    clock.advance(60)
    assert here.hold()
    assert not there.hold()
