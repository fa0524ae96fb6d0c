"""When an idle worker looks for rows: a file often, a server once for all workers of the pool."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, cast

import pytest

from consumerd.database.claims import Claims
from consumerd.database.database import Database
from consumerd.events.facts import Fact
from consumerd.model.shards import Shard
from consumerd.sources.table.bell import Bell, ring
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.rounds import DEAF_S, Rounds
from consumerd.testing.clock import ManualClock
from consumerd.testing.source_context import StandInWorker, context_for_tests


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


class _NoClaims:
    is_due = None


NO_CLAIMS = cast("Claims", _NoClaims())


@dataclass
class Pool:
    """The looks of one worker, at a bell in a folder; `facts` is what it has told."""

    folder: Path
    database: str
    workers: int
    index: int = 0
    facts: list[Fact] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.clock, self.looks = ManualClock(1000.0), Looks()
        self.options = TableOptions(database=self.database, poll_interval=1.0)
        self.bell = Bell(self.options, "pool", self.folder)
        context = replace(
            context_for_tests(),
            clock=self.clock,
            shard=Shard.numbered(self.index, self.workers),
            worker=StandInWorker(self.clock),
            emit=self.facts.append,
        )
        looks = cast("Database", self.looks)
        self.rounds = Rounds(self.options, context, looks, looks, self.bell)
        self.rounds.note(has_found=False)

    def look(self) -> None:
        """As a source does: where it may find something, it claims, here in vain."""
        if self.rounds.find(NO_CLAIMS):
            self.looks.asked += 1
            self.rounds.note(has_found=False)

    def run_for(self, seconds: float) -> None:
        end = self.clock.monotonic() + seconds
        while (now := self.clock.monotonic()) < end:
            self.look()
            self.rounds.wait(end - now)

    def close(self) -> None:
        self.bell.close()


@pytest.fixture
def pool(tmp_path: Path) -> Iterator[Callable[..., Pool]]:
    pools: list[Pool] = []

    def made(*arguments: Any) -> Pool:
        pools.append(Pool(tmp_path, *arguments))
        return pools[-1]

    yield made
    for each in pools:
        each.close()


@pytest.mark.parametrize("workers", [1, 4, 16])
def test_an_idle_pool_asks_a_server_about_once_an_interval(pool: Callable[..., Pool], workers: int) -> None:
    one = pool("mysql://u@h/d", workers)
    one.run_for(600.0)
    assert one.looks.asked * workers <= 600 * 1.15 + 10 * workers
    assert one.looks.rests


def test_nobody_looks_uncalled_while_one_looks_for_all(pool: Callable[..., Pool], tmp_path: Path) -> None:
    one = pool("mysql://u@h/d", 16)
    one.run_for(100.0)
    one.looks.asked = 0
    [path] = tmp_path.iterdir()

    def attend() -> None:
        os.utime(path, (one.clock.wall(), one.clock.wall()))

    for _ in range(1000):
        attend()
        one.run_for(3.0)
    assert one.looks.asked == 0
    one.bell.ring()
    attend()
    one.run_for(1.0)
    assert one.looks.asked == 1
    one.run_for(200.0)
    assert one.looks.asked >= 200.0 / 16 / 1.1 - 2


@pytest.mark.parametrize("workers", [1, 64])
def test_a_file_is_looked_at_ten_times_a_second_by_all(pool: Callable[..., Pool], workers: int) -> None:
    one = pool("/tmp/x.sqlite", workers)
    one.run_for(600.0)
    assert 5000 <= one.looks.asked * workers <= 6700 + 12 * workers


def test_who_is_called_looks_at_once(pool: Callable[..., Pool]) -> None:
    one = pool("postgresql://u@h/d", 16)
    one.run_for(100.0)
    one.rounds.find(NO_CLAIMS)
    one.looks.has_rows = True
    assert not one.rounds.find(NO_CLAIMS)
    one.rounds.begin()
    assert one.rounds.find(NO_CLAIMS)


def test_one_of_those_who_wait_at_the_bell_looks(pool: Callable[..., Pool]) -> None:
    first, second = pool("postgresql://u@h/d", 16), pool("postgresql://u@h/d", 16)
    for each in (first, second):
        each.run_for(100.0)
        each.clock.advance(DEAF_S)
        each.looks.asked = 0
    ring(first.options, first.folder)
    for each in (first, second):
        assert each.rounds.wait(0.01)
        each.look()
    assert (first.looks.asked, second.looks.asked) == (1, 0)


def test_who_is_not_idle_leaves_the_bell_to_others(pool: Callable[..., Pool]) -> None:
    one = pool("postgresql://u@h/d", 1)
    one.run_for(10.0)
    one.rounds.note(has_found=True)
    one.bell.ring()
    one.rounds.wait(1.0)
    assert one.bell.is_rung


def test_a_bell_that_never_stops_ringing_makes_nobody_busy(pool: Callable[..., Pool]) -> None:
    one = pool("postgresql://u@h/d", 1)
    one.run_for(10.0)
    one.looks.asked, end = 0, one.clock.monotonic() + 10.0
    while one.clock.monotonic() < end:
        one.bell.ring()
        one.look()
        one.rounds.wait(1.0)
    assert one.looks.asked <= 10.0 / DEAF_S + 1


@pytest.mark.parametrize(("index", "told"), [(0, 1), (1, 0)])
def test_where_no_bell_can_be_made_one_says_so_once(tmp_path: Path, index: int, told: int) -> None:
    one = Pool(tmp_path / "missing", "mysql://u@h/d", 4, index)
    one.run_for(60.0)
    assert one.looks.asked
    assert [fact.name for fact in one.facts] == ["wakeups_missing"] * told


def test_who_has_tasks_and_does_not_wait_hears_the_bell(pool: Callable[..., Pool], tmp_path: Path) -> None:
    one = pool("mysql://u@h/d", 1)
    one.run_for(100.0)
    [path] = tmp_path.iterdir()
    one.looks.asked = 0
    for _ in range(1000):
        os.utime(path, (one.clock.wall(), one.clock.wall()))  # somebody looks for all
        one.look()
        one.clock.advance(0.01)
    assert one.looks.asked == 0
    one.bell.ring()
    one.clock.advance(DEAF_S)
    one.look()
    assert one.looks.asked == 1
    one.look()
    assert one.looks.asked == 1
