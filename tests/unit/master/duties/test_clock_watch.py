"""A clock that is set is told once, by how much; one that is kept right is not."""

from __future__ import annotations

from typing import Any

import pytest

from consumerd.events.facts import Fact
from consumerd.master.duties.clock_watch import LOOK_EVERY_S, ClockWatch


@pytest.mark.parametrize("by_s", [-1800.0, 3600.0])
def test_a_clock_that_is_set_is_told_once(by_s: float) -> None:
    told: list[Fact] = []
    ahead_s = 1_000_000.0
    pool: Any = None  # not looked at
    watch = ClockWatch(told.append, lambda: ahead_s)
    for turn in range(10):
        ahead_s += by_s if turn == 5 else 0.1  # it is kept right by a tenth at a time
        watch.look(pool, turn * LOOK_EVERY_S)
    assert [(fact.name, fact.fields["by_s"]) for fact in told] == [("clock_stepped", pytest.approx(by_s))]
