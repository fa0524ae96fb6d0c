"""A user's own `iterate_task` as a source."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from typing import Any, ClassVar

import pytest

from consumerd import BaseConsumer
from consumerd.errors import SourceRefusedError
from consumerd.model.exits import WorkerExit
from consumerd.model.parked import ParkedState
from consumerd.sources.contract import Source, SourceContext
from consumerd.sources.generator import GeneratorSource
from consumerd.testing.running import NAME, Run
from consumerd.testing.source_contract import SourceContract
from consumerd.worker.tasks.handling import BatchHandling
from consumerd.worker.tasks.interrupts import Interrupt
from consumerd.worker.tasks.retry_thread import RetryThread


class Yielding(BaseConsumer):
    """Yields what its feed has."""

    def __init__(self, records: list[dict[str, object]]) -> None:
        super().__init__(0)
        self._records = records

    def iterate_task(self) -> Iterator[tuple[int, Any]]:
        yield from enumerate(self._records)

    def task_id(self, record: Any) -> object:
        return record["number"]


class GeneratorFeed:
    """Records go in before the source is opened; none outlives it."""

    def __init__(self) -> None:
        self._records: list[dict[str, object]] = []

    def produce(self, records: Sequence[dict[str, object]]) -> None:
        self._records += records

    def open(self, context: SourceContext) -> Source:
        source = GeneratorSource()
        source.open(replace(context, consumer=Yielding(self._records)))
        return source


class TestGeneratorSource(SourceContract):
    is_durable = False
    gives_one_at_a_time = True

    @pytest.fixture
    def feed(self) -> GeneratorFeed:
        return GeneratorFeed()


class Popping(BaseConsumer):
    """Gives its tasks away: what it yielded it has forgotten."""

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.queue: list[Any] = ["a", "fails", "b"]
        self.handled: list[Any] = []

    def iterate_task(self) -> Iterator[tuple[int, Any]]:
        number = 0
        while self.queue:
            yield number, self.queue.pop(0)
            number += 1

    def handle_task(self, offset: int, record: Any) -> None:
        self.handled.append((offset, record))
        if record == "fails":
            raise ValueError("it failed")


def test_what_it_yields_is_handled_one_at_a_time_and_its_return_finishes_the_slot() -> None:
    run = Run(Popping, source=GeneratorSource())
    assert run.loop.run() is WorkerExit.FINISHED
    assert run.consumer.handled == [(0, "a"), (1, "fails"), (2, "b")]


class Again(Popping):
    """Fails at its first attempt of each task."""

    clock: Any = None

    def handle_task(self, offset: int, record: Any) -> None:
        self.handled.append((offset, record))
        if self.attempt == 1:
            raise ValueError("it failed")


def test_a_worker_whose_generator_has_returned_stays_for_what_waits_and_says_so() -> None:
    run = Run(Again, source=GeneratorSource(), configs={"back_off_time": 3600})
    assert run.loop.run() is WorkerExit.FINISHED
    assert sorted(run.consumer.handled) == sorted([(0, "a"), (1, "fails"), (2, "b")] * 2)
    assert run.store.rows == {}
    assert len(run.told("source_ended")) == 1
    assert run.told("retries_left") == []


def test_a_worker_that_is_restarted_when_its_generator_returns_does_not_stay() -> None:
    run = Run(Again, source=GeneratorSource(), configs={"back_off_time": 3600, "restart": "always"})
    assert run.loop.run() is WorkerExit.FINISHED
    assert len(run.consumer.handled) == 3
    assert len(run.waiting()) == 3


def test_a_consumer_that_stops_by_itself_says_that_tasks_are_left_waiting() -> None:
    class Stopping(Again):
        def can_stop_consume(self) -> bool:
            return len(self.handled) == 2

    run = Run(Stopping, source=GeneratorSource(), configs={"back_off_time": 3600})
    assert run.loop.run() is WorkerExit.FINISHED
    assert len(run.told("retries_left")) == 1


def test_what_is_due_is_tried_while_the_generator_waits_and_asks_whether_to_stop() -> None:
    class Waiting(Again):
        def iterate_task(self) -> Iterator[tuple[int, Any]]:
            yield 0, "a"
            while not self.can_stop_consume() and len(self.handled) < 2:
                self.clock.sleep(0.5)
            yield 1, "b"

        def handle_task(self, offset: int, record: Any) -> None:
            super().handle_task(offset, record)
            assert not self.can_stop_consume()  # in a handler, too, it is only an answer

    run = Run(Waiting, source=GeneratorSource(), configs={"back_off_time": 60, "max_back_off_time": 60})
    run.consumer.clock = run.clock
    run.turn(2)
    assert run.consumer.handled[:2] == [(0, "a"), (0, "a")]
    assert run.consumer.handled[2] == (1, "b")


class Blocking(Again):
    """Waits within its generator; `during` is what happens there."""

    made: ClassVar[list[BaseConsumer]] = []
    can_be_made: ClassVar[bool] = True
    during: Callable[[], None] = staticmethod(lambda: None)

    def iterate_task(self) -> Iterator[tuple[int, Any]]:
        yield 0, "a"
        self.during()

    def pre_consume(self) -> None:
        if self.made and not self.can_be_made:
            raise OSError("no connection")
        self.made.append(self)
        self.reloads = 0

    def reload_config(self) -> None:
        self.reloads += 1


def blocking(*, can_be_made: bool) -> tuple[Run, RetryThread]:
    """A run that has parked its task and will wait next; and its thread, which a test lets look."""
    consumer_class = type("Blocked", (Blocking,), {"made": [], "can_be_made": can_be_made})
    run = Run(consumer_class, source=GeneratorSource(), configs={"back_off_time": 2})
    runtime = run.runtime
    assert isinstance(runtime._handling, BatchHandling)
    thread = RetryThread(
        run.context,
        run.loop,
        runtime._parts,
        runtime._handling,
        lambda wait: runtime.hooks.call("pre_consume", lambda: runtime._make_stand_in(wait), None),
        is_stopping=lambda: False,
    )
    run.turn(1)
    return run, thread


def test_what_is_due_while_the_generator_waits_is_tried_by_a_second_instance() -> None:
    run, thread = blocking(can_be_made=True)
    made = type(run.consumer).made
    looks: list[tuple[int, int]] = []

    def during() -> None:
        for _ in range(4):
            thread.beat()
            looks.append((len(made), len(run.store.rows)))
            run.clock.advance(1.5)
        run.clock.advance(BaseConsumer.RELOAD_INTERVAL)
        thread.beat()

    run.consumer.during = during
    thread.beat()  # the loop's thread is not in its source: nothing happens
    run.turn(1)
    assert looks == [(1, 1), (1, 1), (2, 0), (2, 0)]
    first, second = made
    assert (first.handled, second.handled) == ([(0, "a")], [(0, "a")])
    assert (first.reloads, second.reloads) == (1, 2)
    assert second.config is first.config  # in which live keys change
    assert run.board.read().busy == ()


def test_a_second_instance_that_cannot_be_made_is_reported_and_burns_no_attempt() -> None:
    run, thread = blocking(can_be_made=False)

    def during() -> None:
        for _ in range(5):
            run.clock.advance(1.5)
            thread.beat()

    run.consumer.during = during
    run.turn(1)
    assert [fact.fields["hook"] for fact in run.told("hook_failed")] == ["pre_consume"]
    assert [row.attempts for row in run.store.rows.values()] == [1]


def test_a_task_without_an_id_is_parked_under_a_random_one_before_the_next_is_asked_for() -> None:
    run = Run(Popping, source=GeneratorSource())
    run.turn(2)
    assert run.consumer.queue == ["b"]
    (row,) = run.store.rows.values()
    assert row.payload == b'"fails"'
    assert row.task_id.startswith(f"{NAME}:")


def test_while_the_store_is_away_the_failed_task_is_kept_and_nothing_more_is_taken() -> None:
    run = Run(Popping, source=GeneratorSource())
    run.store.is_away = True
    run.turn(50)
    assert run.consumer.handled == [(0, "a"), (1, "fails")]
    assert run.consumer.queue == ["b"]
    run.store.is_away = False
    run.clock.advance(30)
    assert run.loop.run() is WorkerExit.FINISHED
    assert len(run.dead()) == 1
    assert run.consumer.handled[-1] == (2, "b")


@pytest.mark.parametrize("yielded", ["text", 7, ("a", "b"), (1, 2, 3), (2**63, "c")])
def test_what_is_no_pair_of_offset_and_record_is_refused_with_a_sentence(yielded: object) -> None:
    class Wrong(Popping):
        def iterate_task(self) -> Iterator[Any]:
            yield yielded

    run = Run(Wrong, source=GeneratorSource())
    with pytest.raises(SourceRefusedError, match=r"\(offset, record\)"):
        run.turn()


def test_a_stop_between_two_attempts_keeps_the_task_in_the_store() -> None:
    class Stopped(Popping):
        def handle_task(self, offset: int, record: Any) -> None:
            if record == "fails":
                run.interrupts.set(Interrupt.STOP)
            super().handle_task(offset, record)

    run = Run(Stopped, source=GeneratorSource(), configs={"task_retry_times": 5})
    assert run.loop.run() is WorkerExit.DRAINED
    run.runtime._parts.settling.drain(run.clock.monotonic())
    assert run.consumer.handled == [(0, "a"), (1, "fails")]
    (row,) = run.store.rows.values()
    assert row.state is ParkedState.WAITING
    assert row.attempts == 1


def test_a_stop_before_a_first_attempt_that_an_outage_holds_up_keeps_the_task_in_the_store() -> None:
    class Needing(BaseConsumer):
        yielded = 0

        def iterate_task(self) -> Iterator[tuple[int, Any]]:
            for number in range(100):
                if run.told("destination_away"):
                    run.interrupts.set(Interrupt.STOP)
                self.yielded += 1
                yield number, number

        def task_id(self, record: Any) -> object:
            return record

        def handle_task(self, offset: int, record: Any) -> None:
            raise ConnectionRefusedError("the database is down")

    run = Run(Needing, source=GeneratorSource(), configs={"back_off_time": 1_000})
    assert run.loop.run() is WorkerExit.DRAINED
    run.runtime._parts.settling.drain(run.clock.monotonic())
    assert len(run.store.rows) == run.consumer.yielded
    assert run.told("task_lost") == []


def test_a_drain_asks_a_store_that_was_away_again_until_its_deadline() -> None:
    run = Run(Popping, source=GeneratorSource())
    run.store.is_away = True
    run.turn(3)
    asked_before = run.store.calls
    run.runtime._parts.settling.drain(run.clock.monotonic() + 2)
    assert run.store.calls > asked_before + 5
    assert run.store.rows == {}
    assert [fact.fields["offset"] for fact in run.told("task_lost")] == [1]
    run.store.is_away = False
    run.runtime._parts.settling.drain(run.clock.monotonic() + 2)
    assert len(run.dead()) == len(run.told("task_lost")) == 1


def test_a_consumer_that_wants_to_stop_is_asked_before_a_task_is_taken_not_after() -> None:
    class Two(Popping):
        def can_stop_consume(self) -> bool:
            return len(self.handled) == 2

    run = Run(Two, source=GeneratorSource())
    assert run.loop.run() is WorkerExit.FINISHED
    assert run.consumer.queue == ["b"]


def test_an_offset_may_be_any_number_of_64_bits() -> None:
    class Odd(Popping):
        def iterate_task(self) -> Iterator[tuple[int, Any]]:
            yield -1, "a"
            yield 2**63 - 1, "b"

    run = Run(Odd, source=GeneratorSource())
    assert run.loop.run() is WorkerExit.FINISHED
    assert run.consumer.handled == [(-1, "a"), (2**63 - 1, "b")]


def test_from_its_first_failed_attempt_on_a_task_is_in_the_store_also_between_immediate_retries() -> None:
    run = Run(Popping, source=GeneratorSource(), configs={"task_retry_times": 2})
    run.turn(2)
    (row,) = run.store.rows.values()
    assert (row.state, row.attempts) == (ParkedState.WAITING, 1)
    for _ in range(4):
        run.clock.advance(2)
        run.turn()
    (row,) = run.store.rows.values()
    assert (row.state, row.attempts) == (ParkedState.DEAD, 3)
    assert [record for _, record in run.consumer.handled].count("fails") == 3


def test_tasks_that_share_an_id_are_each_kept() -> None:
    class Events(Popping):
        def iterate_task(self) -> Iterator[tuple[int, Any]]:
            for number in range(3):
                yield number, {"id": 7, "event": number}

        def handle_task(self, offset: int, record: Any) -> None:
            raise ValueError(record["event"])

    run = Run(Events, source=GeneratorSource())
    run.loop.run()
    assert len(run.store.rows) == 3
