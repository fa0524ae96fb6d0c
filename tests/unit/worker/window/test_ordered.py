"""Tasks of one key, where several tasks run at once: in the order of their source, whatever becomes of them."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest

from consumerd import BaseConsumer, Retry
from consumerd.model.parked import ParkedState
from consumerd.testing.running import Run
from consumerd.worker.tasks.interrupts import Interrupt

LATER_S = 5.0


class Ordered(BaseConsumer):
    """Its records are `key:number`; the first attempt at number 1 of key `a` is put off."""

    SOURCE: ClassVar[str] = "memory"

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.handled: list[str] = []

    def task_key(self, record: Any) -> object:
        return record[0]

    async def handle_task(self, offset: int, record: Any) -> object:
        self.handled.append(record)
        if record == "a1" and self.attempt == 1:
            return self.put_off()
        return None

    def put_off(self) -> object:
        return Retry(after=LATER_S)


class Failing(Ordered):
    """It fails instead."""

    DEFAULT_RETRY_TIMES = 2
    RETRY_BASIC_INTERVAL = LATER_S

    def put_off(self) -> object:
        raise ValueError("not yet")


@pytest.mark.parametrize("consumer_class", [Ordered, Failing])
def test_a_task_that_is_tried_again_holds_up_those_of_its_key_alone(consumer_class: type[Ordered]) -> None:
    records = ["a1", "b1", "a2", "b2", "a3", "c1"]
    run = Run(consumer_class, records, configs={"concurrency": 4, "ordered": "key"})
    handled = run.consumer.handled
    while len(handled) < 4:
        run.turn()
    if consumer_class is Ordered:
        run.turn(3)
        assert sorted(handled) == ["a1", "b1", "b2", "c1"]
        run.clock.advance(LATER_S)
    run.until_idle()
    assert [record for record in handled if record[0] == "a"] == ["a1", "a1", "a2", "a3"]
    assert [record for record in handled if record[0] == "b"] == ["b1", "b2"]
    assert (run.done, run.waiting(), run.dead()) == (6, {}, {})
    run.stop()


class Served(Ordered):
    """One server, which is down at first, serves all keys."""

    is_down = True

    def task_key(self, record: Any) -> object:
        return record["key"]

    async def handle_task(self, offset: int, record: Any) -> object:
        self.handled.append(record["key"])
        if self.is_down:
            raise OSError("down")
        return None


def test_dead_tasks_that_are_tried_again_and_put_off_have_no_key_in_hand() -> None:
    records = [{"key": f"k{number}", "server": "game-7"} for number in range(16)]
    run = Run(Served, records, configs={"concurrency": 2, "ordered": "key", "destination": "server"})
    for _ in range(200):
        run.turn()
        run.clock.advance(0.05)
    died = run.dead()
    assert died
    for task_id in died:
        row = run.store.rows[task_id]  # type: ignore[index]  # an id is text
        run.store.rows[row.task_id] = replace(row, state=ParkedState.WAITING, due_at=0.0)
    run.interrupts.set(Interrupt.PARKED_DUE)
    for turn in range(2000):
        run.consumer.is_down = turn < 40
        run.turn()
        run.clock.advance(0.05)
    assert (run.done, run.waiting(), run.dead()) == (16, {}, {})
    run.stop()
