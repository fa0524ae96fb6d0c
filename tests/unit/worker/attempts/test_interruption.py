"""Ending a running attempt from without: in the handler, once, and never in code of ours."""

from __future__ import annotations

import asyncio
import logging
import signal
import sys
import threading
import time
from collections.abc import Iterator
from typing import Any, ClassVar

import pytest

from consumerd import BaseConsumer, TaskInterrupted
from consumerd.model.suspects import CANCELLED_FOR_GOOD
from consumerd.model.task import Task
from consumerd.testing.running import NAME, Run
from consumerd.wire.board import Board
from consumerd.wire.board_writer import BoardWriter, LaneWriter
from consumerd.wire.messages import CancelTask
from consumerd.worker.attempt_limits import AttemptLimits
from consumerd.worker.attempts.attempt import Cancelled
from consumerd.worker.attempts.interruption import BREAK_SIGNAL, Targets, ThreadGuard, TimedOut, Why, hear_swallowed
from consumerd.worker.tasks.running import RUNNING
from unit.worker.conftest import Spans

TURNS = 100_000
CALLS = 2_000
DEADLINE_S = 20.0
INTERRUPTERS: list[threading.Thread] = []


class Interrupted(BaseConsumer):
    """Its first task never ends, in the attempts that `whys` has something for; another thread interrupts those."""

    SOURCE: ClassVar[str] = "memory"
    whys: ClassVar[list[Why]]
    run: ClassVar[Run]

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.begun: list[int] = []
        self.raised: list[type[BaseException]] = []

    def handle_task(self, offset: int, record: Any) -> None:
        self.begun.append(offset)
        self.run.clock.advance(0.001)
        if record == "hang" and self.whys:
            try:
                self.have_interrupted(self.whys.pop(0))
                self.hang()
            except BaseException as error:
                self.raised.append(type(error))
                raise

    def hang(self) -> None:
        while True:
            pass

    def have_interrupted(self, why: Why) -> None:
        """From another thread, which tries until it is done."""
        interruptions, running = self.run.context.interruptions, RUNNING.get()
        lane = self.run.context.board.lane if running is None else running.lane
        assert isinstance(lane, LaneWriter)
        place = lane.place

        def interrupt() -> None:
            ends_at = time.monotonic() + DEADLINE_S
            while lane.place == place:
                assert time.monotonic() < ends_at
                interruptions.interrupt({lane.number: (place, why)})
                time.sleep(0.001)

        INTERRUPTERS.append(threading.Thread(target=interrupt, daemon=True))
        INTERRUPTERS[-1].start()


class InCall(Interrupted):
    """It hangs in a call that a signal wakes."""

    def hang(self) -> None:
        time.sleep(3600)


class InFinalizer(Interrupted):
    """It is interrupted while the interpreter runs something of which nobody can catch what it raises."""

    def hang(self) -> None:
        class Last:
            def __del__(self) -> None:
                while True:
                    pass

        Last()  # its end comes at once, and with it the first interruption
        super().hang()


class WithHooks(Interrupted):
    """One hook overridden is enough."""

    def pre_handle_task(self) -> None:
        """For the general loop."""


class Awaiting(Interrupted):
    async def handle_task(self, offset: int, record: Any) -> None:  # type: ignore[override]  # as users write it
        self.begun.append(offset)
        self.run.clock.advance(0.001)
        if record == "hang" and self.whys:
            try:
                self.have_interrupted(self.whys.pop(0))
                await self.wait()
            except BaseException as error:
                self.raised.append(type(error))
                raise

    async def wait(self) -> None:
        await asyncio.sleep(3600)


class Suspended(Awaiting):
    """It waits for something already when it is interrupted."""

    async def handle_task(self, offset: int, record: Any) -> None:  # type: ignore[override]  # as users write it
        self.begun.append(offset)
        if record == "hang" and self.whys:
            asyncio.get_running_loop().call_soon(self.have_interrupted, self.whys.pop(0))
            await self.wait()


class Blocking(Awaiting):
    """It blocks the event loop."""

    async def wait(self) -> None:
        time.sleep(3600)


@pytest.fixture(autouse=True)
def signal_handled() -> Iterator[None]:
    """As a worker's process has it."""
    signal.signal(BREAK_SIGNAL, lambda number, frame: Interrupted.run.context.interruptions.on_signal(0, frame))
    before = sys.unraisablehook
    yield
    for interrupting in INTERRUPTERS:
        interrupting.join()
    INTERRUPTERS.clear()
    sys.unraisablehook = before
    signal.signal(BREAK_SIGNAL, signal.SIG_DFL)


MANY = {"concurrency": 3}
WAYS = pytest.mark.parametrize(
    ("consumer_class", "configs"),
    [
        (Interrupted, {}),
        (InCall, {}),
        (InFinalizer, {}),
        (WithHooks, {}),
        (Awaiting, {}),
        (Blocking, {}),
        (Interrupted, MANY),
        (InFinalizer, MANY),
        (Awaiting, MANY),
        (Blocking, MANY),
    ],
)


def ran(consumer_class: type[Interrupted], configs: dict[str, Any], *whys: Why, ended: int = 4) -> Run:
    """A run of four tasks, the second of which hangs, until so many have ended."""
    Interrupted.whys = list(whys)
    run = Interrupted.run = Run(consumer_class, ["ok", "hang", "ok", "ok"], configs=configs)
    hear_swallowed(run.context.interruptions)
    with run.context.attempt_log.kept(run.context.board.lane):
        for _ in range(TURNS):
            if run.done + len(run.dead()) >= ended:
                break
            run.turn()
            run.clock.advance(0.01)
    run.stop()
    return run


@WAYS
def test_a_soft_timeout_is_a_failed_attempt(consumer_class: type[Interrupted], configs: dict[str, Any]) -> None:
    run = ran(consumer_class, configs, TimedOut(10.0))
    assert run.dead() == {f"{NAME}:1": "TaskInterrupted: soft_timeout, 10 s, is over"}
    assert (run.done, sorted(run.consumer.begun)) == (3, [0, 1, 2, 3])
    assert run.consumer.raised in ([TaskInterrupted], [asyncio.CancelledError])


@WAYS
def test_a_soft_timeout_is_retried_as_any_failure(consumer_class: type[Interrupted], configs: dict[str, Any]) -> None:
    run = ran(consumer_class, {**configs, "task_retry_times": 2}, TimedOut(10.0), TimedOut(10.0))
    assert (run.done, run.dead()) == (4, {})
    assert sorted(run.consumer.begun) == [0, 1, 1, 1, 2, 3]


@WAYS
def test_the_span_of_an_interrupted_attempt_says_so(
    consumer_class: type[Interrupted], configs: dict[str, Any], spans: Spans
) -> None:
    traces = {"traces": {"sample": 1.0, "most_per_second": 100_000.0}, "task_retry_times": 1}
    run = ran(consumer_class, {**configs, **traces}, TimedOut(10.0), Cancelled(does_park=False))
    assert (run.done, run.dead()) == (4, {})
    told = [each for each in spans.told("consumerd.attempt", "consumerd.outcome", "error.type") if each[1] != "done"]
    assert told == [(1, "again", "consumerd.model.outcome.TaskInterrupted"), (2, "again", "Cancelled")]


@pytest.mark.parametrize("consumer_class", [InCall, Suspended])
@pytest.mark.parametrize("configs", [{}, MANY])
def test_a_soft_timeout_is_what_an_error_list_calls_it(
    consumer_class: type[Interrupted], configs: dict[str, Any]
) -> None:
    listed = {"task_retry_times": 2, "dead_on": ["consumerd.TaskInterrupted"]}
    run = ran(consumer_class, {**configs, **listed}, TimedOut(10.0))
    assert (run.done, list(run.dead())) == (3, [f"{NAME}:1"])


@WAYS
def test_a_cancelled_task_is_tried_again_or_parked(consumer_class: type[Interrupted], configs: dict[str, Any]) -> None:
    run = ran(consumer_class, configs, Cancelled(does_park=False), Cancelled(does_park=False))
    assert (run.done, run.dead()) == (4, {})
    assert sorted(run.consumer.begun) == [0, 1, 1, 1, 2, 3]
    run = ran(consumer_class, {**configs, "task_retry_times": 5}, Cancelled(does_park=True))
    assert (run.done, run.dead()) == (3, {f"{NAME}:1": CANCELLED_FOR_GOOD})


@pytest.mark.parametrize("configs", [{}, MANY])
def test_a_task_that_is_cancelled_for_good_keeps_what_it_had_logged(configs: dict[str, Any]) -> None:
    class Saying(Interrupted):
        def handle_task(self, offset: int, record: Any) -> None:
            logging.getLogger("said").warning("at %d", offset)
            super().handle_task(offset, record)

    run = ran(Saying, configs, Cancelled(does_park=True))
    assert run.store.rows[f"{NAME}:1"].log.endswith("WARNING said: at 1")


def test_a_handler_that_catches_it_and_returns_has_done_its_task() -> None:
    class Catching(Interrupted):
        def handle_task(self, offset: int, record: Any) -> None:
            try:
                super().handle_task(offset, record)
            except TaskInterrupted:
                self.begun.append(-1)

    run = ran(Catching, {}, TimedOut(10.0))
    assert (run.done, run.dead()) == (4, {})
    assert -1 in run.consumer.begun


# The end of an attempt in a thread


def spin() -> int:
    total = 0
    for number in range(20):
        total += number
    return total


def test_what_comes_at_the_end_of_a_handler_is_raised_in_it_or_never() -> None:
    """One thread calls handlers, another one strikes without a pause: nothing is raised outside of `call`."""
    board = Board.private()
    lane = BoardWriter(board.words).lane
    guard = ThreadGuard(lane, {spin.__code__})
    noted: list[int] = []
    outside: list[BaseException] = []
    inside = 0
    is_over = threading.Event()

    def interrupt() -> None:
        while not is_over.is_set():
            place = lane.place
            guard.interrupt(place, lambda: noted.append(1))

    interrupting = threading.Thread(target=interrupt, daemon=True)
    interrupting.start()
    try:
        for number in range(CALLS):
            lane.run(Task(None, number, "t", 0, number, b""))
            try:
                assert guard.call(spin) == sum(range(20))
            except TaskInterrupted:
                inside += 1
            spin()
            lane.rest()
    except BaseException as error:  # noqa: BLE001 - that is what must not be
        outside.append(error)
    is_over.set()
    interrupting.join()
    assert outside == []
    assert inside <= len(noted)


# Who is to be interrupted


class Interrupter:
    """Interrupts whoever it is asked to, by noting it."""

    def __init__(self) -> None:
        self.is_ready = True
        self.interrupted: list[int] = []

    def interrupt(self, targets: Targets) -> None:
        for lane, (_, note) in targets.items() if self.is_ready else ():
            note()
            self.interrupted.append(lane)


def limits(**configs: Any) -> tuple[Run, AttemptLimits, Interrupter]:
    run = Run(Interrupted, [], configs=configs)
    interrupter = run.context.interruptions.interrupter = Interrupter()
    return run, AttemptLimits(run.context), interrupter


def test_each_attempt_past_the_soft_timeout_is_interrupted_once() -> None:
    run, limit, interrupter = limits(soft_timeout=10.0)
    assert limit.look_every_s <= 1.0
    board = run.context.board
    board.lanes(3)
    board.lane_at(0).run(Task(None, 7, "t", 0, 7, b""))
    run.clock.advance(6.0)
    board.lane_at(2).run(Task(None, 8, "t", 0, 8, b""))
    limit.look()
    assert interrupter.interrupted == []
    run.clock.advance(6.0)
    for _ in range(3):
        limit.look()
    assert interrupter.interrupted == [0]
    interrupter.is_ready = False
    run.clock.advance(6.0)
    limit.look()
    board.lane_at(2).attempt_goes_on()
    interrupter.is_ready = True
    limit.look()
    assert interrupter.interrupted == [0], "progress begins the time anew"
    run.clock.advance(11.0)
    limit.look()
    assert interrupter.interrupted == [0, 2]
    run.stop()


def test_what_is_cancelled_is_tried_until_it_is_done_or_runs_no_more() -> None:
    run, limit, interrupter = limits()
    lane = run.context.board.lane
    lane.run(Task(None, 7, "t", 0, 7, b""))
    message = CancelTask(0, run.board.read().lanes[0].busy_since_ns, 7, does_park=False)
    interrupter.is_ready = False
    limit.cancel(message)
    limit.look()
    assert interrupter.interrupted == []
    interrupter.is_ready = True
    limit.look()
    lane.attempt_goes_on()  # the next attempt at the same task
    run.clock.advance(1.0)
    limit.look()
    assert interrupter.interrupted == [0]
    limit.cancel(message)
    lane.run(Task(None, 8, "t", 0, 8, b""))
    limit.look()
    assert interrupter.interrupted == [0]
    run.stop()
