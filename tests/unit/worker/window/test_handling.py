"""Several tasks at once, in threads and on an event loop: what the shared suite of runners does not ask."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar, copy_context
from functools import partial
from typing import Any, ClassVar

import pytest

from consumerd import BaseConsumer, Retry
from consumerd.model.exits import WorkerExit
from consumerd.model.parked import ParkedState, ParkedTask
from consumerd.model.task import TaskId
from consumerd.sources.memory import MemorySource
from consumerd.testing.messages import Message, MessageBatch
from consumerd.testing.running import NAME, Run
from consumerd.worker.tasks.interrupts import Interrupt

WIDTH = 3


class Threaded(BaseConsumer):
    """What its handlers saw and did, in `seen`."""

    SOURCE: ClassVar[str] = "memory"
    RETRY_BASIC_INTERVAL = 1.0
    is_async = False

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.seen: list[Any] = []
        self.meet = threading.Barrier(WIDTH, timeout=20)

    def handle_task(self, offset: int, record: Any) -> object:
        return self.handle(offset, record)

    def handle(self, offset: int, record: Any) -> object:
        self.seen.append(offset)
        return None


class Awaited(Threaded):
    """The same on an event loop."""

    is_async = True

    async def handle_task(self, offset: int, record: Any) -> object:  # type: ignore[override]  # both are allowed
        await asyncio.sleep(0)
        return self.handle(offset, record)


BOTH_LANES = pytest.mark.parametrize("base", [Threaded, Awaited])


def run_of(consumer_class: type, records: list[Any], **configs: Any) -> Run:
    messages = [record if isinstance(record, Message) else Message(record) for record in records]
    source = MemorySource(partial(MessageBatch))
    return Run(consumer_class, messages, configs={"concurrency": WIDTH, **configs}, source=source)


def ended(run: Run) -> Run:
    """Until nothing is left to do, and its threads have ended."""
    run.until_idle()
    run.interrupts.set(Interrupt.STOP)
    assert run.loop.run() is WorkerExit.DRAINED
    run.stop()
    return run


@BOTH_LANES
def test_a_handler_reads_what_is_its_own_tasks_while_others_run(base: type[Threaded]) -> None:
    class Reading(base):  # type: ignore[misc,valid-type]  # a class that is a parameter
        def handle(self, offset: int, record: Any) -> object:
            if not self.is_async:
                self.meet.wait()
            self.progress()
            self.seen.append((offset, self.attempt, self.key, self.headers))
            if self.attempt == 1:
                raise ValueError("once more")
            return None

    records = [Message({}, key=b"%d" % number, headers=(("n", b"%d" % number),)) for number in range(WIDTH)]
    run = ended(run_of(Reading, records, task_retry_times=1))
    expected = {
        (number, attempt, b"%d" % number, (("n", b"%d" % number),)) for number in range(WIDTH) for attempt in (1, 2)
    }
    assert set(run.consumer.seen) == expected
    assert len(run.consumer.seen) == 2 * WIDTH
    with pytest.raises(RuntimeError, match="no task is being handled"):
        run.consumer.attempt  # noqa: B018 - it raises


@BOTH_LANES
def test_hooks_run_before_and_after_each_attempt_in_its_own_thread(base: type[Threaded]) -> None:
    class Hooked(base):  # type: ignore[misc,valid-type]  # a class that is a parameter
        def note(self, what: str) -> None:
            self.seen.append((threading.current_thread().name, what))

        def pre_handle_task(self) -> None:
            self.note("pre")

        def post_handle_task(self) -> None:
            self.note("post")

        @contextmanager
        def around_task(self, offset: int, record: Any) -> Iterator[None]:
            self.note("enter")
            try:
                yield
            finally:
                self.note("exit")

        def handle(self, offset: int, record: Any) -> object:
            self.note("handle")
            raise ValueError("it failed")

    run = ended(run_of(Hooked, [{}], task_retry_times=1))
    seen = run.consumer.seen
    assert [what for _, what in seen] == ["pre", "enter", "handle", "exit", "post"] * 2
    is_own = threading.current_thread().name
    assert {name == is_own for name, _ in seen} == {base.is_async}
    assert len(run.dead()) == 1


@BOTH_LANES
def test_what_cannot_be_decoded_for_want_of_memory_ends_the_worker_once_the_others_have_ended(
    base: type[Threaded],
) -> None:
    class Full(MemorySource):
        def __init__(self) -> None:
            super().__init__(partial(MessageBatch, decode=self.decode_first))

        def decode_first(self, payload: bytes) -> object:
            if payload == b'"full"':
                raise MemoryError
            return payload

    source = Full()
    run = Run(base, [Message("ok"), Message("full"), Message("ok")], configs={"concurrency": WIDTH}, source=source)
    with pytest.raises(MemoryError):
        run.turn(3)
    assert set(run.consumer.seen) <= {0, 2}
    assert source.lag()[0].position == len(run.consumer.seen)
    assert source.lag()[0].tasks == 3 - len(run.consumer.seen)
    run.stop()


@BOTH_LANES
def test_a_worker_whose_handler_has_no_memory_left_is_replaced(base: type[Threaded]) -> None:
    class Greedy(base):  # type: ignore[misc,valid-type]  # a class that is a parameter
        def handle(self, offset: int, record: Any) -> object:
            raise MemoryError

    run = run_of(Greedy, [{}])
    told: list[Interrupt] = []
    run.runtime.hooks.conclude = lambda: told.append(Interrupt.OUT_OF_MEMORY)  # what tells the master needs one
    ended(run)
    assert told == [Interrupt.OUT_OF_MEMORY]


@BOTH_LANES
def test_parked_tasks_that_are_due_find_a_lane_however_many_fresh_ones_wait(base: type[Threaded]) -> None:
    class Endless(base):  # type: ignore[misc,valid-type]  # a class that is a parameter
        def handle(self, offset: int, record: Any) -> object:
            self.seen.append(offset)
            if offset == 0 and self.attempt == 1:
                return Retry(after=1)
            run.clock.advance(0.01)
            return None

    run = Run(Endless, [], configs={"concurrency": WIDTH}, source=MemorySource())
    run.source._tasks = ((number, {}, f"{NAME}:{number}") for number in range(10**6))  # type: ignore[attr-defined]
    while run.consumer.seen.count(0) < 2:
        assert len(run.consumer.seen) < 5_000
        run.turn()
    run.interrupts.set(Interrupt.STOP)
    assert run.loop.run() is WorkerExit.DRAINED
    run.stop()


def test_tombstones_are_handled_one_at_a_time_where_a_coroutine_handles_them() -> None:
    class Deleting(Threaded):
        async def handle_tombstone(self, offset: int, key: bytes) -> None:
            await asyncio.sleep(0)
            self.seen.append((offset, key))

    run = ended(run_of(Deleting, [Message(None, key=b"%d" % number) for number in range(20)]))
    assert sorted(run.consumer.seen) == [(number, b"%d" % number) for number in range(20)]
    assert run.dead() == {}


def test_an_interrupt_that_comes_while_the_event_loop_is_closed_ends_nothing() -> None:
    run = run_of(Awaited, [{}] * 5)
    run.until_idle()
    run.interrupts.set(Interrupt.PAUSE)
    run.stop()


@BOTH_LANES
def test_an_error_of_our_own_where_an_attempt_has_ended_is_raised_and_not_lost(base: type[Threaded]) -> None:
    run = run_of(base, [{}])
    lanes = run.loop._handling._lanes  # type: ignore[attr-defined]  # of a window
    lanes.on_ended = lambda task: 1 // 0  # as a mistake of ours would do
    with pytest.raises(ZeroDivisionError):
        run.turn(100)
    lanes.close()
    run.stop()


def test_a_coroutine_sees_what_pre_consume_has_set_and_nothing_of_another_task() -> None:
    tenant = ContextVar("tenant", default="nobody")

    class Setting(Awaited):
        def pre_consume(self) -> None:
            tenant.set("all")

        def handle(self, offset: int, record: Any) -> object:
            self.seen.append(tenant.get())
            tenant.set(str(offset))
            return None

    context = copy_context()
    run = context.run(lambda: ended(run_of(Setting, [{}] * 20)))
    assert run.consumer.seen == ["all"] * 20


@BOTH_LANES
def test_of_what_the_lanes_were_given_a_stop_begins_hardly_any(base: type[Threaded]) -> None:
    class Stopped(base):  # type: ignore[misc,valid-type]  # a class that is a parameter
        def handle(self, offset: int, record: Any) -> object:
            self.seen.append(offset)
            run.interrupts.set(Interrupt.STOP)
            return None

    run = run_of(Stopped, [{}] * 50)
    assert run.loop.run() is WorkerExit.DRAINED
    assert len(run.consumer.seen) <= (WIDTH if base.is_async else 2 * WIDTH)
    run.stop()


@BOTH_LANES
def test_a_stop_begins_no_further_round_of_attempts(base: type[Threaded]) -> None:
    class Stopped(base):  # type: ignore[misc,valid-type]  # a class that is a parameter
        RETRY_BASIC_INTERVAL = 0.0

        def handle(self, offset: int, record: Any) -> object:
            self.seen.append(offset)
            run.interrupts.set(Interrupt.STOP)
            raise ValueError

    run = run_of(Stopped, [1], task_retry_times=20)
    assert run.loop.run() is WorkerExit.DRAINED
    assert len(run.consumer.seen) <= 2, "one may have begun before the stop was seen"
    run.stop()


@BOTH_LANES
def test_a_parked_task_that_has_killed_its_workers_is_not_run(base: type[Threaded]) -> None:
    run = run_of(base, [], crash_limit=3)
    row = ParkedTask(
        consumer=NAME, task_id=TaskId("test:p"), source="test", shard=0, position=100, offset=100,
        state=ParkedState.WAITING, due_at=0.0, attempts=1, first_at=0.0, last_at=0.0, error="", traceback="",
        payload=b"1", crashes=3,
    )  # fmt: skip
    run.store.rows[row.task_id] = row
    run.interrupts.set(Interrupt.PARKED_DUE)
    run.advance(1.0)
    assert (run.consumer.seen, list(run.dead())) == ([], [row.task_id])
    ended(run)
