"""A schedule on the embedded store: it passes the suite of all sources, and the suite of schedules."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import replace
from pathlib import Path
from typing import Any

import orjson
import pytest
from sqlalchemy import update

from consumerd.clock import monotonic, wall
from consumerd.consumers import ScheduleBaseConsumer
from consumerd.parking.opening import open_store
from consumerd.parking.schema import TICKS
from consumerd.parking.thread import StoreThread
from consumerd.parking.ticks import _insert
from consumerd.sources.contract import Batch, Source, SourceContext
from consumerd.sources.schedule.options import ScheduleOptions
from consumerd.sources.schedule.source import ScheduleSource
from consumerd.sources.schedule.tick import Tick
from consumerd.testing import run_consumer
from consumerd.testing.clock import ManualClock
from consumerd.testing.source_context import StandInWorker
from consumerd.testing.source_contract import Feed, SourceContract
from consumerd.worker.tasks.parked_rows import StoreIndex
from contracts.parking_store import Place
from contracts.schedules import Bench, ScheduleContract, settle, taken


class NumberedSource(ScheduleSource):
    """Its records are the cursors of its ticks."""

    def fetch(self, limit: int, timeout_s: float) -> Batch | None:
        batch: Any = super().fetch(limit, timeout_s)
        if batch is not None:
            decode: Callable[[Any], Any] = batch.decode
            batch.decode = lambda raw: decode(raw).cursor
        return batch  # type: ignore[no-any-return]  # as it was

    def decode(self, payload: bytes) -> object:
        tick = super().decode(payload)
        assert isinstance(tick, Tick)
        return tick.cursor


class ScheduleFeed:
    """A store of its own, with ticks that are due."""

    def __init__(self, state_dir: Path) -> None:
        self._open_store = lambda: open_store("embedded", state_dir)
        self._threads: list[StoreThread] = []
        self._clock = ManualClock(wall())

    def produce(self, records: Sequence[dict[str, object]]) -> None:
        store, start = self._open_store(), wall() - 10_000
        for number, record in enumerate(records):
            payload = orjson.dumps({"cursor": record})
            at = start + number
            store.database.write(lambda to, at=at, it=payload: _insert(to, "test/consumer", f"t:{at}", at, it))
        store.close()

    def open(self, context: SourceContext) -> Source:
        thread = StoreThread(self._open_store, lambda consumer: False)
        self._threads.append(thread)
        options = ScheduleOptions(every=86_400.0, overlap="allow")
        source = NumberedSource()
        parked = StoreIndex(context.name, thread, lambda: None)
        worker = StandInWorker(self._clock)
        source.open(replace(context, options=options, parked=parked, clock=self._clock, worker=worker))
        return source

    def take_away(self) -> None:
        """Another worker has claimed all that is claimed, half a lease ago."""
        store, taken_away = self._open_store(), update(TICKS).where(TICKS.c.lease_token.is_not(None))
        store.database.write(lambda to: to.execute(taken_away.values(lease_token="other")))
        store.close()
        self._clock.advance(15)

    def close(self) -> None:
        for thread in self._threads:
            thread.close(monotonic() + 5)


class TestSource(SourceContract):
    gives_one_at_a_time = True

    def take_away(self, feed: Feed, source: Source, batch: Batch) -> bool:
        assert isinstance(feed, ScheduleFeed)
        feed.take_away()
        return True

    @pytest.fixture
    def feed(self, state_dir: Path) -> Iterator[Feed]:
        feed = ScheduleFeed(state_dir)
        yield feed
        feed.close()


class TestSQLite(ScheduleContract):
    @pytest.fixture
    def place(self, state_dir: Path) -> Place:
        return lambda: open_store("embedded", state_dir)


def test_a_checkpoint_while_the_store_is_away_is_written_with_what_follows(state_dir: Path) -> None:
    with closing(Bench(lambda: open_store("embedded", state_dir))) as bench:
        source = bench.source()
        bench.pass_hours(1)
        batch, _ = taken(source)
        files = [file for file in state_dir.iterdir() if file.name.startswith("parked.")]
        for file in files:
            file.rename(file.with_name(f"away-{file.name}"))
        assert source.checkpoint({"page": 1}, None, None)
        for file in files:
            file.with_name(f"away-{file.name}").replace(file)
        source.release(batch, range(len(batch.raws)))
        batch, tick = taken(source)
        assert tick.cursor == {"page": 1}
        settle(source, batch)


class Pages(ScheduleBaseConsumer):
    """Writes ten pages, and fails at the sixth once."""

    def pre_consume(self) -> None:
        self.pages: list[int] = []
        self.seen: list[Tick] = []
        self.has_failed = False

    def handle_task(self, offset: int, record: Tick) -> None:
        self.seen.append(record)
        for page in range(record.cursor or 0, 10):
            self.pages.append(page)
            self.checkpoint(page + 1, done=page + 1, total=10)


def test_a_schedule_is_tested_with_runs_that_the_test_makes_up() -> None:
    run = run_consumer(Pages, [{"scheduled": "2026-03-29T03:00:00+02:00"}, {"cursor": 8}, {}])
    assert run.done == 3
    assert run.consumer.pages == [*range(10), 8, 9, *range(10)]
    assert run.consumer.seen[0].scheduled.isoformat() == "2026-03-29T01:00:00+00:00"


def test_without_any_a_schedule_is_run_once_now() -> None:
    run = run_consumer(Pages)
    assert run.done == 1
    assert abs(run.consumer.seen[0].scheduled.timestamp() - wall()) < 60


def test_what_is_no_run_is_parked_with_a_sentence() -> None:
    run = run_consumer(Pages, [{"scheduled": "tomorrow"}])
    assert "this is no run of a schedule" in next(iter(run.dead().values()))
