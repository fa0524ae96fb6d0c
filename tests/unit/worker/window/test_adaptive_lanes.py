"""`concurrency = "auto"` in a worker: no more tasks run, and no more are fetched, than help."""

from __future__ import annotations

import asyncio
from statistics import median
from typing import Any, ClassVar

import pytest
from pydantic import BaseModel

from consumerd import BaseConsumer, Dead, Retry
from consumerd.testing.running import Run


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


class Queued(Held):
    """What it calls serves so many at once, a tenth of a second each; each of its turns moves the time."""

    KNEE = 6
    clock: Any  # the run's

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.served = asyncio.Semaphore(self.KNEE)

    async def handle_task(self, offset: int, record: Any) -> object:
        self.running += 1
        async with self.served:
            ends_at = self.clock.monotonic() + 0.1
            while self.clock.monotonic() < ends_at:
                self.clock.advance(0.002 / self.running)
                await asyncio.sleep(0)
        self.running -= 1
        return self.answer(record)

    def answer(self, record: Any) -> object:
        return None


class Deferring(Queued):
    """No task is done at first: each is put off."""

    IS_ANSWERED = False

    def answer(self, record: Any) -> object:
        return Dead("it is told so") if self.IS_ANSWERED else Retry(after=1.0)


class Login(BaseModel):
    uid: int


class Refusing(Held):
    """No record is one."""

    async def handle_task(self, offset: int, record: Login) -> None:
        raise AssertionError


def widths(run: Run, turns: int) -> list[int]:
    """After each of so many turns; hardly more than that run."""
    found = []
    for _ in range(turns):
        before = run.board.read().width
        run.turn()
        found.append(run.board.read().width)
        assert run.consumer.running <= 2 * max(before, found[-1]) + 4
    return found


def running(consumer_class: type, **configs: Any) -> Run:
    run = Run(consumer_class, ["x"] * 3_000, configs=configs)
    run.consumer.clock = run.clock
    return run


@pytest.mark.parametrize(("concurrency", "first"), [("auto", 4), ({"min": 7}, 7), ({"min": 3, "max": 3}, 3)])
def test_it_begins_with_few_and_fetches_hardly_more(concurrency: object, first: int) -> None:
    run = Run(Held, ["x"] * 400, configs={"concurrency": concurrency})
    run.turn(3)
    assert (run.consumer.running, run.board.read().width) == (first, first)
    assert run.source.unsettled() <= first + 2
    run.consumer.let_go.set()
    run.until_idle()
    assert run.done == 400
    run.stop()


def test_it_comes_to_as_many_as_are_served_at_once() -> None:
    run = running(Queued, concurrency="auto")
    while run.done < 2_500:
        found = widths(run, 50)
    assert Queued.KNEE - 2 <= median(found) <= 2 * Queued.KNEE + 2
    run.until_idle()
    run.stop()


def test_the_most_are_the_most() -> None:
    run = running(Queued, concurrency={"max": 4})
    while run.done < 1_000:
        found = widths(run, 50)
    assert max(found) == 4
    run.until_idle()
    run.stop()


def test_where_none_is_done_it_comes_down_and_a_verdict_of_the_handler_is_an_answer() -> None:
    run = running(Deferring, concurrency={"min": 2, "max": 8})
    run.consumer.IS_ANSWERED = True
    while max(widths(run, 50)) < 6:
        pass
    run.consumer.IS_ANSWERED = False
    while run.board.read().width > 2:
        run.turn()
    run.consumer.IS_ANSWERED = True
    run.until_idle()
    run.stop()


def test_what_could_not_be_decoded_says_nothing_of_what_tasks_need() -> None:
    run = Run(Refusing, [str(number) for number in range(300)], configs={"concurrency": {"min": 2, "max": 8}})
    run.until_idle()
    assert (len(run.dead()), run.board.read().width) == (300, 4)
    run.stop()
