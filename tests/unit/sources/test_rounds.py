"""When an idle worker looks for rows: a file often, a server once for all workers of the pool."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import pytest

from consumerd.database.claims import Claims
from consumerd.database.database import Database
from consumerd.model.shards import Shard
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.rounds import Rounds
from consumerd.testing.clock import ManualClock
from consumerd.testing.source_context import context_for_tests


class Looks:
    """A database that counts how often it is asked."""

    def __init__(self) -> None:
        self.asked = 0
        self.rests = 0
        self.has_rows = False

    def read(self, step: Callable[[Any], object]) -> bool:  # the engine's own question
        self.asked += 1
        return self.has_rows

    def rest(self) -> None:
        self.rests += 1

    def close(self) -> None:
        pass


def made(database: str, workers: int) -> tuple[Rounds, Looks, ManualClock]:
    clock, looks = ManualClock(1000.0), Looks()
    context = replace(context_for_tests(), clock=clock, shard=Shard.numbered(0, workers))
    options = TableOptions(database=database, poll_interval=1.0)
    rounds = Rounds(options, context, cast("Database", looks), cast("Database", looks))
    return rounds, looks, clock


def run_for(rounds: Rounds, clock: ManualClock, seconds: float) -> None:
    end = clock.monotonic() + seconds
    while clock.monotonic() < end:
        rounds.find(NO_CLAIMS)
        clock.advance(rounds.pause_s)


class _NoClaims:
    is_due = None


NO_CLAIMS = cast("Claims", _NoClaims())


@pytest.mark.parametrize("workers", [1, 4, 16])
def test_an_idle_pool_asks_a_server_about_once_an_interval(workers: int) -> None:
    rounds, looks, clock = made("mysql://u@h/d", workers)
    rounds.note(has_found=False)
    run_for(rounds, clock, 600.0)
    assert looks.asked * workers <= 600 * 1.15 + 10 * workers
    assert looks.rests


def test_a_file_is_looked_at_ten_times_a_second() -> None:
    rounds, looks, clock = made("/tmp/x.sqlite", 16)
    rounds.note(has_found=False)
    run_for(rounds, clock, 60.0)
    assert looks.asked >= 500


def test_who_is_called_looks_at_once() -> None:
    rounds, looks, clock = made("postgresql://u@h/d", 16)
    rounds.note(has_found=False)
    run_for(rounds, clock, 100.0)
    rounds.find(NO_CLAIMS)
    looks.has_rows = True
    assert not rounds.find(NO_CLAIMS)
    rounds.begin()
    assert rounds.find(NO_CLAIMS)
