"""What a window has in hand is bounded: by the bytes of its payloads, and by `max_unsettled`."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

from consumerd import BaseConsumer
from consumerd.errors import SourceAwayError
from consumerd.sources.contract import Batch
from consumerd.sources.memory import MemorySource
from consumerd.testing.running import Run
from consumerd.wire.board import BoardFlag, Hold
from consumerd.worker.window.batches import MOST_BYTES


class Held(BaseConsumer):
    """Its tasks go on until they are let go."""

    SOURCE: ClassVar[str] = "memory"

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.running = 0
        self.let_go = asyncio.Event()

    async def handle_task(self, offset: int, record: Any) -> None:
        self.running += 1
        await self.let_go.wait()
        self.running -= 1


def turned(run: Run) -> Run:
    """After it has begun all that it may."""
    running = -1
    while run.consumer.running != running:
        running = run.consumer.running
        run.turn(3)
    return run


def test_large_payloads_are_in_hand_up_to_a_bound_and_the_board_says_why() -> None:
    size = MOST_BYTES // 16
    run = turned(Run(Held, ["x" * size] * 40, configs={"concurrency": 100, "payload_limit": 2 * size}))
    assert 8 <= run.consumer.running <= 16
    assert run.board.read().hold is Hold.UNSETTLED_FULL
    run.consumer.let_go.set()
    run.until_idle()
    assert (run.done, run.board.read().hold) == (40, Hold.NOTHING)
    run.stop()


def test_small_ones_are_as_many_as_run_at_once_and_a_few() -> None:
    run = turned(Run(Held, ["x"] * 400, configs={"concurrency": 100}))
    assert run.consumer.running == 100
    assert run.source.unsettled() <= 110
    assert run.board.read().hold is Hold.NOTHING
    run.consumer.let_go.set()
    run.until_idle()
    assert run.done == 400
    run.stop()


def test_no_more_run_than_may_be_unsettled_and_the_board_says_why() -> None:
    run = turned(Run(Held, ["x"] * 40, configs={"concurrency": 10, "max_unsettled": 4}))
    assert (run.consumer.running, run.board.read().hold) == (4, Hold.UNSETTLED_FULL)
    run.consumer.let_go.set()
    run.until_idle()
    assert (run.done, run.board.read().hold) == (40, Hold.NOTHING)
    run.stop()


def test_what_is_in_hand_ends_in_a_pause_and_the_board_says_that_it_is_one() -> None:
    run = turned(Run(Held, ["x"] * 40, configs={"concurrency": 10}))
    run.interrupts.is_paused = True
    run.consumer.let_go.set()
    while run.source.unsettled():
        run.turn()
    run.turn()
    assert (run.board.read().hold, run.done < 40) == (Hold.PAUSED, True)
    run.interrupts.is_paused = False
    run.until_idle()
    assert (run.done, run.board.read().hold) == (40, Hold.NOTHING)
    run.stop()


class Leaving(MemorySource):
    is_away = False

    def fetch(self, limit: int, timeout_s: float) -> Batch | None:
        if self.is_away:
            raise SourceAwayError("it is away")
        return super().fetch(limit, timeout_s)


def test_tasks_end_while_their_source_is_away_and_the_board_says_that_it_is() -> None:
    source = Leaving()
    run = turned(Run(Held, ["x"] * 40, configs={"concurrency": 10}, source=source))
    source.is_away = True
    run.consumer.let_go.set()
    while source.unsettled():
        run.turn()
    run.turn()
    reading = run.board.read()
    assert (reading.flags, 10 <= reading.handled < 40) == (BoardFlag.SOURCE_AWAY, True)
    source.is_away = False
    run.clock.advance(10.0)
    run.until_idle()
    assert (run.done, run.board.read().hold) == (40, Hold.NOTHING)
    run.stop()
