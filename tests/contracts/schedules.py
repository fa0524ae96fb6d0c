"""What schedules must do on every parking store, as tests: subclass `ScheduleContract`, give it a `place`.

class TestMyStore(ScheduleContract):
    @pytest.fixture
    def place(self) -> Place: ...
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import Connection, select, update

from consumerd import events
from consumerd.clock import iso, monotonic, wall
from consumerd.events.facts import Fact
from consumerd.model.outcome import DONE, Dead, Outcome, Retry
from consumerd.model.parked import ParkedState, ParkedTask
from consumerd.model.task import Task
from consumerd.parking.schema import SCHEDULES, TICKS
from consumerd.parking.thread import StoreThread
from consumerd.sources.contract import Settlement
from consumerd.sources.schedule.options import ScheduleOptions
from consumerd.sources.schedule.source import ScheduleSource
from consumerd.sources.schedule.tick import Tick, TickBatch
from consumerd.testing.source_context import StandInWorker, context_for_tests
from consumerd.worker.tasks.parked_rows import StoreIndex
from contracts.parking_store import Place

NAME = "test/consumer"
HOUR = 3600.0


class Bench:
    """A schedule of each hour, on a store whose times a test moves, and the sources of its workers."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self.store = place()
        self.facts: list[Fact] = []
        self._threads: list[StoreThread] = []
        self._sources: list[ScheduleSource] = []

    def source(self, host: str = "h1", generation: int = 1, **keys: Any) -> ScheduleSource:
        """Of the only worker of a host, opened."""
        source, thread = ScheduleSource(), StoreThread(self._place, lambda consumer: False)
        member = f"{host}.test.consumer.0"
        context = replace(
            context_for_tests(options=ScheduleOptions.model_validate({"every": HOUR, **keys})),
            member=member,
            lease_owner=f"{member}#{generation}",
            parked=StoreIndex(NAME, thread, lambda: None),
            emit=self.facts.append,
            worker=StandInWorker(),
        )
        source.open(context)
        self._threads.append(thread)
        self._sources.append(source)
        source.tick()
        return source

    def close(self) -> None:
        for source in self._sources:
            source.close(monotonic() + 5)
        for thread in self._threads:
            thread.close(monotonic() + 5)
        self.store.close()

    def pass_hours(self, hours: int) -> None:
        """So many more times of the schedule lie in the past now."""
        column, judged_at = SCHEDULES.c.next_at, SCHEDULES.c.judged_at
        moved = update(SCHEDULES).values(next_at=column - hours * HOUR, judged_at=judged_at - hours * HOUR)
        self.store.database.write(lambda connection: connection.execute(moved))

    def lapse(self) -> None:
        """All leases have run out."""
        moved = update(TICKS).values(lease_until=wall() - 1)
        self.store.database.write(lambda connection: connection.execute(moved))

    def row(self) -> Any:  # of the schedule
        return self.store.database.read(lambda connection: connection.execute(select(SCHEDULES)).one())

    def ticks(self) -> Sequence[Any]:  # rows
        return self.store.database.read(
            lambda connection: connection.execute(select(TICKS).order_by(TICKS.c.due_at)).all()
        )

    def told(self) -> list[tuple[str, object]]:
        """What was told, with how many ticks it concerns; but of runs that are done."""
        told = [fact for fact in self.facts if not events.run_done.made(fact)]
        return [(fact.name, fact.fields.get("ticks", fact.fields.get("tasks"))) for fact in told]

    def done(self) -> list[str]:
        """The times of the runs that were told to be done."""
        return [str(fact.fields["scheduled"]) for fact in self.facts if events.run_done.made(fact)]


def fetched(source: ScheduleSource) -> TickBatch | None:
    source.look_now()
    batch = source.fetch(1, 0.0)
    assert batch is None or isinstance(batch, TickBatch)
    return batch


def taken(source: ScheduleSource) -> tuple[TickBatch, Tick]:
    """A run that there must be, and what its handler gets."""
    batch = fetched(source)
    assert batch is not None
    tick = batch.decode(batch.raws[0])
    assert isinstance(tick, Tick)
    return batch, tick


def settle(source: ScheduleSource, batch: TickBatch, outcome: Outcome = DONE, task: Task | None = None) -> None:
    source.settle([Settlement(batch, 0, 1, outcome, task)], is_due=True)
    source.release(batch, range(1, len(batch.raws)))


def dead(batch: TickBatch) -> ParkedTask:
    """As a worker parks it before it settles."""
    task = batch.task(0)
    assert task.id is not None
    kept = {"state": ParkedState.DEAD, "due_at": None, "attempts": 1, "first_at": wall(), "last_at": wall()}
    kept |= {"error": "broken", "traceback": "", "payload": b'{"scheduled": "2026-01-01T00:00:00Z"}'}
    return ParkedTask(NAME, task.id, NAME, 0, 0, task.offset, **kept)  # type: ignore[arg-type]  # each of its field's type


class ScheduleContract:
    """The suite, on a store without a row."""

    @pytest.fixture
    def bench(self, place: Place) -> Iterator[Bench]:
        with closing(Bench(place)) as bench:
            yield bench

    def test_each_time_makes_one_run_for_all_hosts(self, bench: Bench) -> None:
        here, there = bench.source("h1"), bench.source("h2")
        bench.pass_hours(1)
        batch, tick = taken(here)
        assert fetched(there) is None
        assert tick.scheduled.timestamp() == bench.row().last_at
        assert (tick.previous, tick.starts, tick.by_hand, tick.cursor) == (None, 1, False, None)
        settle(here, batch)
        assert fetched(here) is fetched(there) is None
        bench.pass_hours(1)
        batch, second = taken(there)
        assert second.previous == tick.scheduled
        settle(there, batch)
        assert (bench.row().finished, bench.told()) == (2, [])
        assert bench.done() == [iso(tick.scheduled.timestamp()), iso(second.scheduled.timestamp())]

    def test_many_workers_that_look_at_once_make_each_run_once(self, bench: Bench) -> None:
        sources = [bench.source(f"h{number}", missed="all", overlap="allow") for number in range(4)]
        bench.pass_hours(20)

        def work(source: ScheduleSource) -> list[str]:
            seen = []
            while (batch := fetched(source)) is not None:
                seen.append(str(batch.task(0).id))
                settle(source, batch)
            return seen

        with ThreadPoolExecutor(len(sources)) as pool:
            seen = [task for tasks in pool.map(work, sources) for task in tasks]
        assert (len(seen), len(set(seen))) == (20, 20)
        assert bench.row().finished == 20

    @pytest.mark.parametrize(("missed", "runs"), [("once", 1), ("all", 5)])
    def test_times_that_passed_while_nobody_ran(self, bench: Bench, missed: str, runs: int) -> None:
        source = bench.source(missed=missed, overlap="queue")
        bench.pass_hours(5)
        seen: list[Tick] = []
        while (batch := fetched(source)) is not None:
            seen.append(batch.decode(batch.raws[0]))  # type: ignore[arg-type]  # a tick
            settle(source, batch)
        assert len(seen) == runs
        assert [tick.previous for tick in seen[1:]] == [tick.scheduled for tick in seen[:-1]]
        assert (bench.row().missed, bench.row().finished) == (5 - runs, runs)
        assert bench.told() == ([("ticks_missed", 4)] if missed == "once" else [])

    def test_a_time_that_comes_while_the_last_run_goes_on_is_skipped(self, bench: Bench) -> None:
        here, there = bench.source("h1"), bench.source("h2")
        bench.pass_hours(1)
        batch, _ = taken(here)
        bench.pass_hours(1)
        assert fetched(there) is None
        settle(here, batch)
        assert fetched(here) is None
        assert (bench.row().skipped, bench.told()) == (1, [("ticks_skipped", 1)])

    def test_or_it_is_run_afterwards(self, bench: Bench) -> None:
        here, there = (bench.source(host, overlap="queue", missed="all") for host in ("h1", "h2"))
        bench.pass_hours(2)
        batch, first = taken(here)
        assert fetched(there) is None
        assert (there.lag()[0].tasks, there.lag()[0].is_blocked) == (1, True)
        settle(here, batch)
        batch, second = taken(there)
        assert second.scheduled > first.scheduled
        settle(there, batch)

    def test_or_it_runs_beside(self, bench: Bench) -> None:
        here, there = (bench.source(host, overlap="allow", missed="all") for host in ("h1", "h2"))
        bench.pass_hours(2)
        (_, first), (_, second) = taken(here), taken(there)
        assert (second.scheduled > first.scheduled, second.starts) == (True, 1)

    def test_a_killed_workers_run_goes_on_from_its_checkpoint_at_once(self, bench: Bench) -> None:
        killed, other = bench.source("h1"), bench.source("h2")
        bench.pass_hours(1)
        batch, tick = taken(killed)
        assert killed.checkpoint({"page": 7}, 7, 10)
        assert fetched(other) is None
        again, second = taken(bench.source("h1", generation=2))
        assert (second.scheduled, second.cursor, second.starts) == (tick.scheduled, {"page": 7}, 2)
        assert not killed.checkpoint({"page": 8}, 8, 10)
        settle(killed, batch)
        assert bench.told() == [("lease_lost", 1)]
        assert [row.starts for row in bench.ticks()] == [2]
        assert again.claimed.record == bench.ticks()[0].record

    def test_a_lost_hosts_run_is_taken_over_after_its_lease(self, bench: Bench) -> None:
        lost, other = bench.source("h1"), bench.source("h2")
        bench.pass_hours(1)
        taken(lost)
        lost.checkpoint(3, None, None)
        assert fetched(other) is None
        bench.lapse()
        batch, tick = taken(other)
        assert (tick.cursor, tick.starts) == (3, 2)
        settle(other, batch)
        assert bench.ticks() == []

    def test_a_run_is_kept_while_it_is_renewed(self, bench: Bench) -> None:
        source, other = bench.source("h1", lease=3.0), bench.source("h2")
        bench.pass_hours(1)
        batch, _ = taken(source)
        bench.lapse()
        batch.leased_at -= 2
        source.tick()
        assert source.keeps(batch)
        assert bench.ticks()[0].lease_until > wall()
        assert fetched(other) is None

    def test_a_run_that_was_lost_is_left(self, bench: Bench) -> None:
        source = bench.source("h1", lease=3.0)
        bench.pass_hours(1)
        batch, _ = taken(source)
        bench.lapse()
        taken(bench.source("h2"))
        batch.leased_at -= 2
        source.tick()
        assert not source.keeps(batch)
        assert not source.settles(batch)

    def test_a_run_that_ended_when_it_was_renewed_too_seldom_begins_anew(self, bench: Bench) -> None:
        source = bench.source(lease=3.0)
        bench.pass_hours(1)
        batch, _ = taken(source)
        source.checkpoint(7, None, None)
        batch.leased_at -= 3
        assert not source.keeps(batch)
        source.drop(batch, 0, 1)
        source.release(batch, ())
        again, tick = taken(source)
        assert (tick.cursor, tick.starts, source.keeps(again)) == (7, 2, True)
        settle(source, again)
        assert bench.ticks() == []

    def test_a_run_that_is_left_at_a_stop_costs_no_attempt(self, bench: Bench) -> None:
        here, there = bench.source("h1"), bench.source("h2")
        bench.pass_hours(1)
        batch, _ = taken(here)
        here.checkpoint("half", 1, 2)
        here.release(batch, range(len(batch.raws)))
        again, tick = taken(there)
        assert (tick.cursor, again.task(0).attempts) == ("half", 0)
        settle(there, again)

    def test_a_run_that_failed_is_tried_again_later(self, bench: Bench) -> None:
        source = bench.source()
        bench.pass_hours(1)
        batch, _ = taken(source)
        source.checkpoint([1], None, None)
        settle(source, batch, Retry(after=60.0), batch.task(0)._replace(attempts=3, first_at=wall() - 5))
        assert fetched(source) is None
        assert (source.lag()[0].tasks, source.lag()[0].later) == (0, 1)
        later = update(TICKS).values(due_at=wall() - 1)
        bench.store.database.write(lambda connection: connection.execute(later))
        batch, tick = taken(source)
        assert tick.cursor == [1]
        assert batch.task(0).attempts == 3
        assert batch.task(0).first_at == pytest.approx(wall() - 5, abs=30)
        settle(source, batch)

    def test_a_dead_run_that_a_person_has_tried_again_goes_on_from_its_checkpoint(self, bench: Bench) -> None:
        source = bench.source()
        bench.pass_hours(1)
        batch, first = taken(source)
        source.checkpoint({"page": 9}, None, None)
        bench.store.park([dead(batch)])
        settle(source, batch, Dead("broken"))
        assert fetched(source) is None
        assert bench.ticks() == []
        assert list(bench.store.retry()) != []
        batch, tick = taken(source)
        assert (tick.scheduled, tick.cursor, tick.starts) == (first.scheduled, {"page": 9}, 1)
        settle(source, batch)
        assert bench.store.find(str(batch.task(0).id)) == ()

    def test_a_run_by_hand_comes_besides_and_waits_for_the_one_that_goes_on(self, bench: Bench) -> None:
        source = bench.source()
        bench.pass_hours(1)
        batch, first = taken(source)
        assert len(bench.store.make_runs([NAME])) == 1
        assert fetched(bench.source("h2")) is None
        settle(source, batch)
        batch, tick = taken(source)
        assert (tick.by_hand, tick.previous) == (True, first.scheduled)
        settle(source, batch)
        assert (bench.row().skipped, bench.row().last_at) == (0, first.scheduled.timestamp())

    def test_a_time_that_comes_while_all_workers_are_busy_is_made_by_their_keepers(self, bench: Bench) -> None:
        source = bench.source(overlap="queue", missed="all")
        bench.pass_hours(1)
        batch, _ = taken(source)
        bench.pass_hours(2)
        source._make_at = 0.0
        source.tick()
        assert [row.lease_token is None for row in bench.ticks()] == [True, False]
        settle(source, batch)

    def test_another_edition_begins_anew_and_forgets_no_time_that_was_due(self, bench: Bench) -> None:
        bench.source()
        bench.pass_hours(1)
        source = bench.source("h2", generation=2, every=7 * HOUR)
        _, tick = taken(source)
        assert tick.scheduled.timestamp() % HOUR == 0
        assert bench.row().next_at % (7 * HOUR) == 0
        assert bench.told() == [("schedule_begun_anew", None)]

    def test_how_far_a_run_has_come_is_shown(self, bench: Bench) -> None:
        source = bench.source()
        bench.pass_hours(1)
        batch, tick = taken(source)
        began = update(TICKS).values(began_at=wall() - 30)
        bench.store.database.write(lambda connection: connection.execute(began))
        source.checkpoint(1, 25, 100)
        shown = source.schedule()
        assert shown is not None
        [run] = shown.running
        assert (run.scheduled, run.done, run.total, run.starts) == (tick.scheduled.timestamp(), 25, 100, 1)
        assert run.ends == pytest.approx(wall() + 90, abs=10)
        assert [later - shown.next[0] for later in shown.next] == [0, HOUR, 2 * HOUR]
        settle(source, batch)
        assert bench.row().took_s == pytest.approx(30, abs=10)

    @pytest.mark.parametrize("odd", [float("nan"), float("-inf"), 10**400, 2**63, "abc", True])
    def test_a_cursor_is_kept_whatever_is_said_of_how_far_it_is(self, bench: Bench, odd: Any) -> None:
        source = bench.source()
        bench.pass_hours(1)
        taken(source)
        assert source.checkpoint(7, odd, odd)
        _, tick = taken(bench.source(generation=2))
        assert tick.cursor == 7
        assert bench.told() == []

    def test_a_checkpoint_that_cannot_be_kept_is_refused_with_a_sentence(self, bench: Bench) -> None:
        source = bench.source()
        bench.pass_hours(1)
        batch, _ = taken(source)
        with pytest.raises(ValueError, match="keeps what JSON has, and not a object"):
            source.checkpoint(object(), None, None)
        with pytest.raises(ValueError, match="keeps at most 65536 bytes"):
            source.checkpoint("x" * 70_000, None, None)
        with pytest.raises(ValueError, match="JSON"):
            source.checkpoint({"page": [float("nan")]}, None, None)
        settle(source, batch)

    def test_nothing_is_written_while_nothing_is_due(self, bench: Bench) -> None:
        source = bench.source()

        def refuse(connection: Connection) -> None:
            for table in ("parked_schedule", "parked_tick"):
                if connection.dialect.name == "sqlite":
                    connection.exec_driver_sql(
                        f"CREATE TRIGGER no_{table} BEFORE UPDATE ON {table} BEGIN SELECT RAISE(ABORT, 'written'); END"
                    )

        bench.store.database.write(refuse)
        assert fetched(source) is None
