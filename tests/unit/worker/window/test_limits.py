"""Limits over several workers that share a table, in one process; time moves by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from types import SimpleNamespace
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd import BaseConsumer, Retry
from consumerd.config.shape import LimitBy
from consumerd.errors import UndecodableError
from consumerd.model.limits import Numbers
from consumerd.model.task import Task
from consumerd.testing.clock import ManualClock
from consumerd.testing.running import Run
from consumerd.wire import limits as wire
from consumerd.wire.limits import Use, define, uses
from consumerd.wire.shared_table import Row, SharedTable
from consumerd.worker.attempts.attempt import Attempt
from consumerd.worker.tasks.interrupts import Interrupt
from consumerd.worker.window.in_hand import BatchInHand, InHand
from consumerd.worker.window.limits import Limit, limits_of
from consumerd.worker.window.lineup import Lineup
from consumerd.worker.window.rules import SHOW_EVERY_S, Rules


def channel_of(record: object) -> str | None:
    return str(record) or None


class Workers:
    """Each has its line-up and its limits: `channel`, by the record itself, if it is not empty, and `total`."""

    def __init__(self, count: int, channel: Numbers, total: Numbers) -> None:
        self.clock = ManualClock()
        self.table = SharedTable.create(self.clock)
        assert define(self.table, "channel", channel)
        assert define(self.table, "total", total)
        self.lineups: list[Lineup[InHand]] = [Lineup() for _ in range(count)]
        self.rules: list[Rules] = []
        self.running: list[list[InHand]] = [[] for _ in range(count)]
        for number, lineup in enumerate(self.lineups):
            self.table.admit(number)
            table = SharedTable(self.table.fileno(), number, self.clock)
            self.rules.append(Rules(lineup, limits=[Limit("channel", table, channel_of), Limit("total", table, None)]))

    def give(self, worker: int, *records: str) -> None:
        for record in records:
            attempt = Attempt(Task(None, 0, "test", 0, 0, b""), lambda is_again, record=record: record)
            self.lineups[worker].add(InHand(attempt, BatchInHand(None, 0)))  # type: ignore[arg-type]

    def start(self, worker: int) -> list[str]:
        """Start what may start; which channels those are of."""
        started = []
        now = self.clock.monotonic()
        while (task := self.lineups[worker].next(now)) is not None:
            if self.rules[worker].admit(task, now):
                self.running[worker].append(task)
                started.append(str(task.attempt.peek()))
        return started

    def end(self, worker: int) -> None:
        self.rules[worker].end(self.running[worker].pop(0))

    def kill(self, worker: int) -> None:
        """It is gone, and the master has reaped it; another one comes."""
        self.running[worker].clear()
        self.lineups[worker] = Lineup()
        self.table.forget(worker)
        table = SharedTable(self.table.fileno(), worker, self.clock)
        limits = [Limit("channel", table, channel_of), Limit("total", table, None)]
        self.rules[worker] = Rules(self.lineups[worker], limits=limits)

    def use(self, limit: str, key: str | None = None) -> Use:
        for worker in self.rules:
            worker.show(self.clock.monotonic())
        return next(use for use in uses(self.table) if (use.limit, use.key) == (limit, key))


NO_LIMIT = Numbers()


def test_a_channel_that_is_full_holds_up_its_own_tasks_alone() -> None:
    workers = Workers(1, Numbers(at_once=2), NO_LIMIT)
    workers.give(0, "a", "a", "a", "b", "a", "b")
    assert workers.start(0) == ["a", "a", "b", "b"]
    workers.end(0)
    assert workers.start(0) == ["a"]
    use = workers.use("channel", "a")
    assert (use.running, use.waiting) == (2, 1)


def test_what_one_worker_holds_another_cannot_have_until_it_is_given_back_or_its_holder_is_gone() -> None:
    workers = Workers(2, Numbers(at_once=2), NO_LIMIT)
    workers.give(0, "a", "a")
    workers.give(1, "a", "a")
    assert (workers.start(0), workers.start(1)) == (["a", "a"], [])
    workers.kill(0)
    workers.clock.advance(0.01)
    assert workers.start(1) == ["a", "a"]


def test_a_task_that_waits_for_one_limit_holds_nothing_of_another() -> None:
    workers = Workers(2, Numbers(at_once=1), Numbers(at_once=1))
    workers.give(0, "a", "b")
    assert workers.start(0) == ["a"]
    assert workers.use("total").waiting == 1
    workers.give(1, "b")
    workers.end(0)
    assert workers.start(1) == ["b"]
    assert workers.use("channel", "b").running == 1


def test_who_had_all_of_a_limit_leaves_some_to_another_that_asks() -> None:
    workers = Workers(2, Numbers(at_once=4), NO_LIMIT)
    workers.give(0, *"aaaaaaaa")
    workers.give(1, *"aaaaaaaa")
    assert (len(workers.start(0)), len(workers.start(1))) == (4, 0)
    for _ in range(2):
        workers.end(0)
        assert (workers.start(0), workers.start(1)) == ([], [])
        workers.clock.advance(0.01)
        assert (workers.start(1), workers.start(0)) == (["a"], [])
    workers.end(0)
    assert workers.start(0) == ["a"]


def test_a_rate_is_of_all_workers_and_other_numbers_hold_at_once() -> None:
    workers = Workers(2, NO_LIMIT, Numbers.of(None, 10))
    workers.give(0, *"abcd")
    workers.give(1, *"abcd")
    started = 0
    for _ in range(100):
        started += len(workers.start(0)) + len(workers.start(1))
        workers.clock.advance(0.005)
    assert started in (5, 6)
    define(workers.table, "total", Numbers.of(None, 1000))
    workers.clock.advance(0.1)
    assert len(workers.start(0)) + len(workers.start(1)) == 8 - started


def test_who_finds_no_place_in_the_table_is_shown_to_wait_until_there_is_one(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Workers(1, channel=Numbers(5), total=NO_LIMIT)
    make = SharedTable._make
    with monkeypatch.context() as full:
        full.setattr(
            SharedTable,
            "_make",
            lambda table, name, tag, at: None if name.endswith(" b") else make(table, name, tag, at),
        )
        workers.give(0, "a", "b", "b")
        assert workers.start(0) == ["a"]
        assert (workers.use("channel").waiting, workers.use("channel").placeless) == (0, 2)
        assert workers.use("channel").waiting_since_ns > 0
    workers.clock.advance(1.0)
    assert workers.start(0) == ["b", "b"]
    workers.clock.advance(SHOW_EVERY_S)
    assert (workers.use("channel").placeless, workers.use("channel").waiting_since_ns) == (0, 0)


def test_who_has_no_key_is_shown_to_wait_beside_who_finds_no_place(monkeypatch: pytest.MonkeyPatch) -> None:
    workers = Workers(2, channel=Numbers(1), total=NO_LIMIT)
    first_ns = int(workers.clock.monotonic() * 1e9)
    workers.give(0, *[""] * 5)
    assert workers.start(0) == [""]
    use = workers.use("channel")
    assert (use.running, use.waiting, use.placeless, use.waiting_since_ns) == (1, 4, 0, first_ns)
    workers.clock.advance(1.0)
    monkeypatch.setattr(SharedTable, "_make", lambda *found: None)
    for number in range(2):
        workers.give(number, "a", "b", "b")
        assert workers.start(number) == []
    use = workers.use("channel")
    assert (use.running, use.waiting, use.placeless, use.waiting_since_ns) == (1, 4, 6, first_ns)
    workers.end(0)
    assert workers.start(0) == [""]
    workers.lineups[0].drop(lambda task: task.attempt.peek() == "")
    workers.clock.advance(SHOW_EVERY_S)
    use = workers.use("channel")
    assert (use.running, use.waiting, use.placeless, use.waiting_since_ns) == (1, 0, 6, first_ns + 10**9)


def test_who_was_refused_is_not_counted_twice_while_somebody_is_frozen_in_a_change(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    workers = Workers(1, channel=Numbers(1), total=NO_LIMIT)
    workers.give(0, *["a"] * 3, *[""] * 3)
    assert workers.start(0) == ["a", ""]
    monkeypatch.setattr(SharedTable, "_lock", lambda table, at: False)
    workers.clock.advance(SHOW_EVERY_S)
    assert workers.start(0) == []
    assert (workers.use("channel", "a").waiting, workers.use("channel").waiting) == (2, 2)
    assert workers.use("channel").placeless == 0


def test_nothing_is_left_in_the_table_of_tasks_that_were_dropped() -> None:
    workers = Workers(1, Numbers(at_once=1), NO_LIMIT)
    workers.give(0, "a", "a", "a")
    workers.start(0)
    assert workers.use("channel", "a").waiting == 2
    workers.clock.advance(1.5)
    first = next(use for use in uses(workers.table) if use.key == "a")
    assert workers.clock.monotonic() - first.waiting_since_ns / 1e9 > 1.4
    workers.lineups[0].drop(lambda task: True)
    assert workers.use("channel", "a").waiting == 0
    workers.end(0)
    assert all(row.is_idle(int(workers.clock.monotonic() * 1e9)) for row in workers.table.rows() if " a" in row.name)


STEPS = st.one_of(
    st.tuples(st.just("give"), st.integers(0, 2), st.sampled_from("ab")),
    st.tuples(st.sampled_from(["start", "end", "kill"]), st.integers(0, 2), st.just("")),
    st.tuples(st.just("wait"), st.integers(1, 50), st.just("")),
)


@given(st.lists(STEPS, max_size=120), st.integers(1, 3), st.integers(1, 4))
def test_whatever_happens_no_limit_is_exceeded_and_what_is_free_is_used(
    steps: Sequence[tuple[str, int, str]], of_channel: int, in_total: int
) -> None:
    workers = Workers(3, Numbers(at_once=of_channel), Numbers(at_once=in_total))
    for step, number, record in steps:
        match step:
            case "give":
                workers.give(number, record)
            case "start":
                workers.start(number)
            case "end" if workers.running[number]:
                workers.end(number)
            case "kill":
                workers.kill(number)
            case "wait":
                workers.clock.advance(number / 1000)
        running = [str(task.attempt.peek()) for tasks in workers.running for task in tasks]
        assert len(running) <= in_total
        assert all(running.count(channel) <= of_channel for channel in "ab")
    for _ in range(3 * in_total):
        workers.clock.advance(SHOW_EVERY_S)
        for number in range(3):
            workers.start(number)
    running = [str(task.attempt.peek()) for tasks in workers.running for task in tasks]
    waiting = [channel for channel in "ab" if workers_wait(workers, channel)]
    assert len(running) == in_total or all(running.count(channel) == of_channel for channel in waiting)


def workers_wait(workers: Workers, channel: str) -> bool:
    gates = (("channel", channel), ("total", None))
    held = [lineup.first_at(gate) for lineup in workers.lineups for gate in gates]
    return any(task is not None and task.attempt.peek() == channel for task in held)


class Payments(BaseConsumer):
    SOURCE: ClassVar[str] = "memory"

    def handle_task(self, offset: int, record: Any) -> None:
        pass


class ByName(Payments):
    def limit_key(self, name: str, record: Any) -> object:
        return record["channel"] if name == "channel" else None


def gates(consumer_class: type, record: object, **listed: LimitBy) -> list[object]:
    """Where a task of the consumer would wait."""
    run = Run(consumer_class)
    limits = limits_of(run.consumer, replace(run.context, limits=listed), run.runtime.hooks)
    task = InHand(Attempt(Task(None, 0, "test", 0, 0, b""), lambda is_again: record), BatchInHand(None, 0))  # type: ignore[arg-type]
    return [limit.gate(task) for limit in limits]


def test_a_limit_counts_by_a_field_or_by_what_the_consumer_says_or_all_together() -> None:
    listed = {"channel": LimitBy(by="channel"), "total": LimitBy()}
    assert gates(Payments, {"channel": 7}, **listed) == [("channel", "7"), ("total", None)]
    assert gates(Payments, {"uid": 7}, **listed) == [("channel", None), ("total", None)]
    assert gates(Payments, SimpleNamespace(channel="a"), **listed) == [("channel", "a"), ("total", None)]
    everywhere = {"channel": LimitBy(), "total": LimitBy()}
    assert gates(ByName, {"channel": "a"}, **everywhere) == [("channel", "a"), ("total", None)]
    assert gates(ByName, {}, **everywhere) == [("channel", None), ("total", None)]


def test_a_record_that_cannot_be_read_waits_nowhere() -> None:
    def decode(is_again: bool) -> object:
        raise UndecodableError("no JSON")

    limit = Limit("channel", SharedTable.create(ManualClock()), str)
    assert limit.gate(InHand(Attempt(Task(None, 0, "test", 0, 0, b""), decode), BatchInHand(None, 0))) is None  # type: ignore[arg-type]


def test_who_is_held_up_by_another_limit_has_not_started() -> None:
    workers = Workers(1, Numbers(at_once=1), Numbers.of(None, 1000))
    table = SharedTable(workers.table.fileno(), 0, workers.clock)
    workers.rules[0] = Rules(workers.lineups[0], limits=[Limit("total", table, None), Limit("channel", table, str)])
    workers.give(0, "a", "a")
    assert workers.start(0) == ["a"]
    for _ in range(50):
        workers.clock.advance(0.005)
        assert workers.start(0) == []
    row = workers.table.find(wire.row_name("total"))
    assert row is not None
    assert row.words[wire.STARTED] == 1


@pytest.fixture
def limited() -> Run:
    """A run of six tasks under a limit of twenty starts a second."""
    return Run(Payments, list(range(6)), configs={"concurrency": 3}, limits={"total": {"per_second": 20}})


def test_nobody_is_shown_to_wait_once_nothing_does(limited: Run) -> None:
    run = limited
    for _ in range(400):
        run.turn()
        run.clock.advance(0.005 if run.done < 6 else 0.0)
    assert (run.done, run.loop.is_busy) == (6, False)
    assert [use.waiting for use in uses(run.context.table)] == [0]
    run.stop()


def test_who_waits_is_shown_again_after_the_worker_was_idle() -> None:
    outcomes = iter([Retry(after=60)] * 3)

    class Later(Payments):
        def handle_task(self, offset: int, record: Any) -> Any:
            return next(outcomes, None)

    run = Run(Later, list(range(3)), configs={"concurrency": 3}, limits={"total": {"per_second": 20}})
    while len(run.waiting()) < 3 or run.loop.is_busy:
        run.turn()
        run.clock.advance(0.005)
    run.clock.advance(60)
    shown = 0
    while run.done < 3 or run.loop.is_busy:
        run.interrupts.set(Interrupt.PARKED_DUE)
        run.turn()
        run.clock.advance(0.005)
        shown = max(shown, *(use.waiting for use in uses(run.context.table)))
    assert shown == 2
    run.stop()


def test_a_pass_ends_where_asking_takes_longer_than_until_it_is_asked_again(
    limited: Run, monkeypatch: pytest.MonkeyPatch
) -> None:
    run, asked = limited, 0

    @contextmanager
    def frozen(self: SharedTable, name: str) -> Iterator[Row | None]:
        nonlocal asked
        asked += 1
        assert asked < 100, "the worker does nothing else any more"
        run.clock.advance(0.005)  # somebody is frozen within a change
        yield None

    with monkeypatch.context() as frozen_table:
        frozen_table.setattr(SharedTable, "changing", frozen)
        run.turn(3)
    assert (run.done, asked > 0) == (0, True)
    run.stop()
