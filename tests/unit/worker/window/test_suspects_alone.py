"""A suspect, where several tasks run at once: nothing runs beside it, and nothing waits for it for ever."""

from __future__ import annotations

import asyncio
from typing import Any, ClassVar

import pytest

from consumerd import BaseConsumer
from consumerd.model.suspects import shown
from consumerd.model.task import TaskId
from consumerd.testing.running import NAME, Run
from consumerd.wire.messages import Cleared

TURNS = 500


class Counting(BaseConsumer):
    """Keeps how many ran beside each task; `fail` fails at its first attempt."""

    SOURCE: ClassVar[str] = "memory"
    DEFAULT_RETRY_TIMES = 1
    RETRY_BASIC_INTERVAL = 0.5

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.running: set[int] = set()
        self.beside: dict[int, int] = {}

    async def handle_task(self, offset: int, record: Any) -> None:
        self.running.add(offset)
        try:
            for _ in range(3):
                self.beside[offset] = max(self.beside.get(offset, 0), len(self.running) - 1)
                await asyncio.sleep(0)
        finally:
            self.running.discard(offset)
        if record == "fail" and self.attempt == 1:
            raise ValueError("not yet")


def suspects(*numbers: int, crashes: int = 1) -> tuple[tuple[str, int, str], ...]:
    return tuple((f"{NAME}:{number}", crashes, "SIGSEGV") for number in numbers)


def until_done(run: Run, tasks: int) -> None:
    for _ in range(TURNS):
        if run.done == tasks:
            return
        run.turn()
        run.clock.advance(0.1)
    raise AssertionError(f"{run.done} are done, of {tasks}")


@pytest.mark.parametrize("record", ["ok", "fail"])
def test_a_suspect_runs_alone_at_each_attempt_and_the_others_beside_each_other(record: str) -> None:
    run = Run(Counting, ["ok", "ok", record, record, "ok", "ok", "ok"], configs={"concurrency": 4})
    run.link.suspects.put(suspects(2, 3))
    until_done(run, 7)
    beside = run.consumer.beside
    assert (beside[2], beside[3]) == (0, 0)
    assert max(beside.values()) > 0
    cleared = [message.task_id for message in run.link.told if isinstance(message, Cleared)]
    assert cleared == [f"{NAME}:2", f"{NAME}:3"]
    assert run.store.rows == {}
    run.stop()


def test_one_past_its_limit_is_parked_while_others_run() -> None:
    run = Run(Counting, ["ok"] * 5, configs={"concurrency": 4})
    run.link.suspects.put(suspects(1, crashes=3))
    until_done(run, 4)
    assert list(run.dead()) == [f"{NAME}:1"]
    run.stop()


def test_a_suspect_of_a_long_id_is_known_by_what_its_lane_has_shown() -> None:
    long = "x" * 300

    class Long(Counting):
        def task_id(self, record: Any) -> object:
            return record

    run = Run(Long, [long + "a", long + "b"], configs={"concurrency": 4})
    ids = [TaskId(f"{NAME}:{end}") for end in (long + "a", long + "b")]
    name = shown(ids[1])
    run.link.suspects.put(((name, 3, "SIGSEGV"),))
    suspect = run.runtime._suspects
    assert suspect.are_known
    assert suspect.find(ids[0]) is None
    found = suspect.find(ids[1])
    assert found is not None
    assert (found.task_id, found.crashes) == (ids[1], 3)
    suspect.clear(ids[1])
    assert not suspect.are_known
    assert Cleared(name) in run.link.told
    run.stop()
