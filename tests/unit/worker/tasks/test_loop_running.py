"""The loop runs tasks, over a source in memory; time moves by hand: order, attempts, interrupts, records."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, field_validator

from consumerd import Retry
from consumerd.model.exits import WorkerExit
from consumerd.sources.contract import Batch
from consumerd.sources.memory import MemorySource
from consumerd.testing.running import Run
from consumerd.worker.tasks.gate import Pace
from consumerd.worker.tasks.interrupts import Interrupt
from unit.worker.tasks.loops import BOTH_LOOPS, General, Recording, task_id


@BOTH_LOOPS
def test_every_task_is_handled_once_in_order(consumer_class: type[Recording]) -> None:
    run = Run(consumer_class, ["ok"] * 1_234)
    run.until_idle()
    assert run.consumer.handled == list(range(1_234))
    assert run.consumer.number_of_consumed == 1_234
    assert run.board.read().handled == 1_234
    assert run.source.unsettled() == 0


@BOTH_LOOPS
def test_a_handler_that_exits_after_a_stop_was_asked_for_has_not_failed(consumer_class: type[Recording]) -> None:
    class Stopped(consumer_class):  # type: ignore[misc,valid-type]  # a class that is a parameter
        def handle_task(self, offset: int, record: Any) -> object:
            if record == "exit":
                run.interrupts.set(Interrupt.STOP)
            return super().handle_task(offset, record)

    run = Run(Stopped, ["ok", "exit", "ok"])
    assert run.loop.run() is WorkerExit.DRAINED
    assert run.consumer.handled == [0, 1]
    assert (run.store.rows, run.board.read().handled, run.board.read().failed) == ({}, 1, 0)


def test_an_exit_between_tasks_after_a_stop_was_asked_for_is_that_stop() -> None:
    class Interrupted(MemorySource):
        def fetch(self, limit: int, timeout_s: float) -> Batch | None:
            if has_stop:
                run.interrupts.set(Interrupt.STOP)
            raise SystemExit(0)

    run, has_stop = Run(Recording, source=Interrupted()), False
    with pytest.raises(SystemExit):
        run.loop.run()
    has_stop = True
    assert run.loop.run() is WorkerExit.DRAINED


@BOTH_LOOPS
def test_other_values_are_done_and_reported_once(consumer_class: type[Recording]) -> None:
    run = Run(consumer_class, ["value", "ok", "value", "value"])
    run.until_idle()
    assert run.consumer.handled == [0, 1, 2, 3]
    assert run.store.rows == {}
    if consumer_class is Recording:
        assert [fact.fields["type"] for fact in run.told("value_returned")] == ["dict"]


@BOTH_LOOPS
def test_immediate_retries_come_before_the_next_task(consumer_class: type[Recording]) -> None:
    run = Run(consumer_class, ["fail", "ok"], configs={"task_retry_times": 2})
    run.until_idle()
    assert run.consumer.handled == [0, 0, 0, 1]
    assert run.store.rows[task_id(0)].attempts == 3


@BOTH_LOOPS
def test_a_stop_leaves_the_batch_after_the_running_task_and_gives_back_the_rest(
    consumer_class: type[Recording],
) -> None:
    class Stopped(consumer_class):  # type: ignore[misc,valid-type]  # a class that the test was given
        def handle_task(self, offset: int, record: Any) -> object:
            if offset == 3:
                run.interrupts.set(Interrupt.STOP)
            return super().handle_task(offset, record)

    run = Run(Stopped, ["ok"] * 10)
    assert run.loop.run() is WorkerExit.DRAINED
    assert run.consumer.handled == [0, 1, 2, 3]
    assert run.source.unsettled() == 0
    assert isinstance(run.source, MemorySource)
    assert run.source.lag()[0].tasks == 6


@BOTH_LOOPS
def test_an_interrupt_that_is_no_stop_loses_and_repeats_nothing(consumer_class: type[Recording]) -> None:
    class Interrupted(consumer_class):  # type: ignore[misc,valid-type]  # a class that the test was given
        def handle_task(self, offset: int, record: Any) -> object:
            run.interrupts.set(Interrupt.SETTLE_DUE)
            return super().handle_task(offset, record)

    run = Run(Interrupted, ["ok", "fail", "ok", "retry", "ok"])
    run.until_idle()
    assert run.consumer.handled == [0, 1, 2, 3, 4]
    assert len(run.store.rows) == 2


@given(st.lists(st.floats(0.0001, 100), min_size=1), st.floats(0.01, 10))
def test_what_fits_into_a_turn_is_one_task_or_no_longer_than_the_slowest_would_take(
    times: list[float], turn_s: float
) -> None:
    pace = Pace(1.0)
    for seconds in times:
        pace.learn(1, seconds)
    fitting = pace.fitting(turn_s)
    assert fitting == 1 or fitting * min(*times, 1.0) <= turn_s * 1.001


def test_a_coroutine_handler_runs_to_its_end() -> None:
    class Async(Recording):
        async def handle_task(self, offset: int, record: Any) -> object:  # type: ignore[override]  # both are allowed
            return super().handle_task(offset, record)

    run = Run(Async, ["ok", "fail", "ok"])
    run.until_idle()
    run.runtime.shut()
    assert run.consumer.handled == [0, 1, 2]
    assert set(run.dead()) == {task_id(1)}


class Login(BaseModel):
    uid: int


@pytest.mark.parametrize("is_general", [False, True])
def test_a_pydantic_record_is_validated_and_an_invalid_one_parked_unhandled(is_general: bool) -> None:
    class Typed(General if is_general else Recording):  # type: ignore[misc]  # one of two bases
        def handle_task(self, offset: int, record: Login) -> object:
            assert isinstance(record, Login)
            return super().handle_task(offset, "ok")

    run = Run(Typed, [{"uid": 7}, {"uid": "seven"}, {}], configs={"task_retry_times": 3})
    run.until_idle()
    assert run.consumer.handled == [0]
    assert set(run.dead()) == {task_id(1), task_id(2)}
    assert "the record is no Login: uid:" in run.dead()[task_id(2)]


def test_a_deferred_record_is_a_model_again_when_it_comes_from_the_store() -> None:
    class Later(Recording):
        def handle_task(self, offset: int, record: Login) -> object:
            seen.append(record)
            return Retry(after=1) if self.attempt == 1 else None

    seen: list[object] = []
    run = Run(Later, [{"uid": 7}])
    run.until_idle()
    run.clock.advance(5)
    run.turn(2)
    assert seen == [Login(uid=7), Login(uid=7)]


@given(
    st.lists(st.sampled_from(["ok", "fail", "dead", "retry", "value"]), max_size=60),
    st.sets(st.integers(0, 59)),
    st.booleans(),
)
def test_every_task_is_done_or_parked_whatever_fails_and_whenever_interrupts_come(
    records: list[str], interrupted_at: set[int], is_general: bool
) -> None:
    class Interrupted(General if is_general else Recording):  # type: ignore[misc]  # one of two bases
        def handle_task(self, offset: int, record: Any) -> object:
            if offset in interrupted_at:
                run.interrupts.set(Interrupt.SETTLE_DUE)
            return super().handle_task(offset, record)

    run = Run(Interrupted, records)
    run.until_idle()
    assert run.consumer.handled == list(range(len(records)))
    assert set(run.store.rows) == {
        task_id(n) for n, record in enumerate(records) if record in ("fail", "dead", "retry")
    }
    assert run.source.unsettled() == 0


@BOTH_LOOPS
def test_a_pause_between_attempts_attends_and_does_not_spin(consumer_class: type[Recording]) -> None:
    class Pausing(consumer_class):  # type: ignore[misc,valid-type]  # a class that the test was given
        RETRY_BASIC_INTERVAL = 10

        def handle_task(self, offset: int, record: Any) -> object:
            run.interrupts.set(Interrupt.SETTLE_DUE)
            return super().handle_task(offset, record)

    run = Run(Pausing, ["fail"], configs={"task_retry_times": 2})
    started = run.clock.monotonic()
    run.turn()
    assert run.consumer.handled == [0, 0, 0]
    assert run.clock.monotonic() - started == pytest.approx(10)
    assert run.interrupts.cell == [False]


@BOTH_LOOPS
def test_a_stop_between_two_attempts_gives_the_task_back(consumer_class: type[Recording]) -> None:
    class Stopped(consumer_class):  # type: ignore[misc,valid-type]  # a class that the test was given
        def handle_task(self, offset: int, record: Any) -> object:
            run.interrupts.set(Interrupt.STOP)
            return super().handle_task(offset, record)

    run = Run(Stopped, ["fail", "ok"], configs={"task_retry_times": 5})
    assert run.loop.run() is WorkerExit.DRAINED
    assert run.consumer.handled == [0]
    assert run.store.rows == {}
    assert isinstance(run.source, MemorySource)
    assert run.source.lag()[0].tasks == 2


@BOTH_LOOPS
def test_a_handler_whose_body_never_runs_has_failed(consumer_class: type[Recording]) -> None:
    class Yielding(consumer_class):  # type: ignore[misc,valid-type]  # a class that the test was given
        def handle_task(self, offset: int, record: Any) -> object:
            yield offset

    run = Run(Yielding, ["ok", "ok"])
    run.until_idle()
    assert set(run.dead()) == {task_id(0), task_id(1)}
    assert "its body never ran" in run.dead()[task_id(0)]


@BOTH_LOOPS
@pytest.mark.parametrize("after", ["5", None, -1, float("inf"), float("nan"), 10**400, True])
def test_a_retry_that_makes_no_sense_is_a_failed_attempt(consumer_class: type[Recording], after: Any) -> None:
    class Asking(consumer_class):  # type: ignore[misc,valid-type]  # a class that the test was given
        def handle_task(self, offset: int, record: Any) -> object:
            return Retry(after=after)

    run = Run(Asking, ["ok"])
    run.until_idle()
    assert "wants seconds" in run.dead()[task_id(0)]


@BOTH_LOOPS
def test_an_error_that_exits_when_it_is_read_is_parked_as_any_other(consumer_class: type[Recording]) -> None:
    class HostileError(Exception):
        def __str__(self) -> str:
            raise SystemExit(1)

    class Hostile(consumer_class):  # type: ignore[misc,valid-type]  # a class that the test was given
        def handle_task(self, offset: int, record: Any) -> object:
            raise HostileError

    run = Run(Hostile, ["ok"])
    run.until_idle()
    assert set(run.dead()) == {task_id(0)}


class Fickle(BaseModel):
    """Refuses a record when it is asked for the second time."""

    uid: int
    asked: ClassVar[int] = 0

    @field_validator("uid")
    @classmethod
    def once(cls, uid: int) -> int:
        cls.asked += 1
        if cls.asked > 1:
            raise ValueError("it has changed its mind")
        return uid


@pytest.mark.parametrize("is_general", [False, True])
def test_a_handlers_own_error_is_kept_whatever_becomes_of_its_record(is_general: bool) -> None:
    class Typed(General if is_general else Recording):  # type: ignore[misc]  # one of two bases
        def handle_task(self, offset: int, record: Fickle) -> object:
            return super().handle_task(offset, "fail")

    Fickle.asked = 0
    run = Run(Typed, [{"uid": 7}])
    run.until_idle()
    assert run.dead() == {task_id(0): "ValueError: it failed"}
    assert run.consumer.handled == [0]


def test_a_settlement_that_is_due_in_a_pause_between_two_attempts_is_made_in_it() -> None:
    class Settling(MemorySource):
        def settle(self, settlements: Any, *, is_due: bool) -> None:
            super().settle(settlements, is_due=is_due)
            if is_due and settled_at[-1:] != [self._settled]:
                settled_at.append(self._settled)

    class Pausing(Recording):
        RETRY_BASIC_INTERVAL = 3600

        def handle_task(self, offset: int, record: Any) -> object:
            if record == "fail":
                run.interrupts.set(Interrupt.SETTLE_DUE)
            return super().handle_task(offset, record)

    settled_at: list[int] = []
    run = Run(Pausing, ["ok", "ok", "fail", "ok"], source=Settling(), configs={"task_retry_times": 2})
    run.turn()
    assert run.consumer.handled == [0, 1, 2, 2, 2, 3]
    assert settled_at[0] == 2
