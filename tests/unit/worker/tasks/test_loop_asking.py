"""What the loop asks its source and its consumer, and what a handler asks of it; time moves by hand."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

import pytest

from consumerd import Retry
from consumerd.errors import SourceAwayError
from consumerd.model.exits import WorkerExit
from consumerd.sources.contract import Batch, Settlement, SourceContext, Worker
from consumerd.sources.memory import MemorySource
from consumerd.testing.running import Run
from consumerd.wire.board import BoardFlag
from consumerd.worker.tasks.interrupts import Interrupt
from unit.worker.tasks.loops import BOTH_LOOPS, Leaving, Recording


@BOTH_LOOPS
def test_a_handler_reads_when_its_task_was_attempted_first_from_the_second_attempt_on(
    consumer_class: type[Recording],
) -> None:
    seen: list[float | None] = []

    class Reading(consumer_class):  # type: ignore[misc,valid-type]  # a class that is a parameter
        def handle_task(self, offset: int, record: Any) -> object:
            seen.append(self.first_seen)
            return super().handle_task(offset, record)

    run = Run(Reading, ["fail"], configs={"task_retry_times": 1})
    began = run.clock.wall()
    run.until_idle()
    assert seen == [None, began]


def test_who_was_frozen_within_a_task_asks_whether_the_next_is_still_its_own() -> None:
    source = Leaving()

    class Frozen(Recording):
        def handle_task(self, offset: int, record: Any) -> object:
            if offset == 1:
                source.is_leaving = True  # and nothing breaks in: the keeper was frozen, too
                run.clock.advance(40)
            return super().handle_task(offset, record)

    run = Run(Frozen, ["ok"] * 4, source=source)
    run.turn()
    assert run.consumer.handled == [0, 1]


def test_can_stop_consume_finishes_the_slot_before_the_next_task() -> None:
    class Three(Recording):
        def can_stop_consume(self) -> bool:
            return len(self.handled) == 3

    run = Run(Three, ["ok"] * 10)
    assert run.loop.run() is WorkerExit.FINISHED
    assert run.consumer.handled == [0, 1, 2]


class WaitingWithin(MemorySource):
    """Waits within the user's generator, and lets its worker attend to what is due meanwhile."""

    worker: Worker

    def open(self, context: SourceContext) -> None:
        super().open(context)
        self.worker = context.worker

    def fetch(self, limit: int, timeout_s: float) -> Batch | None:
        assert self.worker.attend(SourceAwayError("nobody answers"))
        assert self.worker.attend(None)
        return super().fetch(limit, timeout_s)


def test_a_source_that_waits_within_the_users_generator_lets_the_loop_do_what_is_due() -> None:
    source = WaitingWithin()

    class Asking(Recording):
        def handle_task(self, offset: int, record: Any) -> object:
            run.interrupts.set(Interrupt.STOP)
            assert source.worker.attend(None)  # in a handler it only answers, and the stop is not taken
            return super().handle_task(offset, record)

    run = Run(Asking, ["ok"], source=source)
    run.turn()
    assert run.consumer.handled == [0]
    assert [fact.name for fact in run.facts if fact.name.startswith("source_")] == ["source_away", "source_back"]


class AwayAtFirst(MemorySource):
    """Does not answer when it is opened, some times."""

    silences = 3

    def open(self, context: SourceContext) -> None:
        if self.silences > 0:
            self.silences -= 1
            raise SourceAwayError("the source is away: it is locked")
        super().open(context)


def test_a_source_that_is_away_at_the_start_is_asked_again_and_said_once() -> None:
    run = Run(Recording, ["ok", "fail"], source=AwayAtFirst())
    assert run.board.read().flags == BoardFlag.SOURCE_AWAY
    turned_ns = run.board.read().turned_ns
    run.turn(20)
    assert run.board.read().turned_ns > turned_ns
    assert run.consumer.handled == [0, 1]
    assert [fact.name for fact in run.facts if fact.name.startswith("source_")] == ["source_away", "source_back"]
    assert run.board.read().flags == 0


class Hampered(MemorySource):
    """Gives tasks though something is wrong."""

    reason = "a partition may not be read"

    def trouble(self) -> SourceAwayError | None:
        return SourceAwayError(self.reason) if self.reason else None


def test_a_source_that_gives_tasks_though_something_is_wrong_is_shown_and_goes_on_at_full_speed() -> None:
    source = Hampered()
    run = Run(Recording, ["ok"] * 40, source=source)
    run.turn(20)
    assert run.consumer.handled == list(range(40))
    assert run.board.read().flags == BoardFlag.SOURCE_AWAY
    assert [fact.fields["error"] for fact in run.told("source_away")] == ["a partition may not be read"]
    source.reason = ""
    run.turn(20)
    assert run.board.read().flags == 0
    assert len(run.told("source_back")) == 1


def test_a_worker_whose_source_was_never_there_leaves_when_it_is_asked_to() -> None:
    source = AwayAtFirst()
    source.silences = 10**9
    run = Run(Recording, ["ok"], source=source)
    run.turn(5)
    run.interrupts.set(Interrupt.STOP)
    assert run.loop.run() is WorkerExit.DRAINED


def test_hooks_surround_each_task_and_around_task_each_attempt() -> None:
    class Hooked(Recording):
        def pre_handle_task(self) -> None:
            self.handled.append(-1)

        def post_handle_task(self) -> None:
            self.handled.append(-2)

        @contextmanager
        def around_task(self, offset: int, record: Any) -> Iterator[None]:
            self.handled.append(100 + offset)
            yield

    run = Run(Hooked, ["ok", "fail"], configs={"task_retry_times": 1})
    run.until_idle()
    assert run.consumer.handled == [-1, 100, 0, -2, -1, 101, 1, 101, 1, -2]


def test_reload_config_runs_before_the_first_task_and_then_every_interval() -> None:
    class Reloading(Recording):
        def reload_config(self) -> None:
            self.handled.append(-1)

    run = Run(Reloading, ["ok", "ok"], configs={"reload_interval": 60})
    run.until_idle()
    assert run.consumer.handled == [-1, 0, 1]
    run.clock.advance(61)
    run.turn()
    assert run.consumer.handled == [-1, 0, 1, -1]


def test_a_handler_knows_its_attempt_and_when_it_was_first_made() -> None:
    class Asking(Recording):
        def handle_task(self, offset: int, record: Any) -> object:
            self.handled.append(self.attempt)
            first_seen.append(self.first_seen)
            return Retry(after=1) if self.attempt < 3 else None

    first_seen: list[float | None] = []
    run = Run(Asking, ["x"])
    started = run.clock.wall()
    for _ in range(3):
        run.turn(2)
        run.clock.advance(2)
    assert run.consumer.handled == [1, 2, 3]
    assert first_seen == [None, started, started]


def test_asking_between_tasks_is_an_error_of_the_callers() -> None:
    run = Run(Recording)
    with pytest.raises(RuntimeError, match="no task is being handled"):
        _ = run.consumer.attempt


@BOTH_LOOPS
def test_a_task_that_is_done_is_not_handled_any_more_while_the_loop_attends(consumer_class: type[Recording]) -> None:
    class Interrupting(consumer_class):  # type: ignore[misc,valid-type]  # a class that is a parameter
        def handle_task(self, offset: int, record: Any) -> object:
            run.interrupts.set(Interrupt.SETTLE_DUE)
            return super().handle_task(offset, record)

    class Asking(MemorySource):
        def settle(self, settlements: Sequence[Settlement], *, is_due: bool) -> None:
            super().settle(settlements, is_due=is_due)
            if is_due:
                with pytest.raises(RuntimeError):
                    run.runtime.current_task()
                asked.append(len(run.consumer.handled))

    asked: list[int] = []
    run = Run(Interrupting, ["ok", "ok", "ok"], source=Asking())
    run.turn()
    assert asked == [1, 2, 3]
