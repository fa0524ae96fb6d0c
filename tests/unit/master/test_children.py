"""Children of no pool, on processes that do not exist: who is killed, buried and told of."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable
from pathlib import Path
from typing import cast

from consumerd.events.outlet import Outlet
from consumerd.master.children import Children, End
from consumerd.master.host.launcher import Commanded, Launcher
from consumerd.master.host.stderr import StderrPipes

PID, OTHER = 4711, 4712


class Killer:
    """The part of a launcher that ends."""

    def __init__(self) -> None:
        self.killed: list[int] = []
        self.has_killed = asyncio.Event()

    def kill_group(self, pid: int) -> None:
        self.killed.append(pid)
        self.has_killed.set()


class Stage:
    def __init__(self, loop: asyncio.AbstractEventLoop, output: int) -> None:
        self.killer, self.ends = Killer(), list[End]()
        pipes = StderrPipes(loop, Outlet(output, patience_s=0.0))
        self.children = Children(cast("Launcher", self.killer), pipes)

    def start(self, pid: int = PID, *, writes: bytes = b"", may_take_s: float | None = None) -> Commanded:
        read_end, write_end = os.pipe()
        os.set_blocking(read_end, False)
        os.write(write_end, writes)
        os.close(write_end)
        child = Commanded(pid, read_end)
        self.children.add(child, self.ends.append, may_take_s=may_take_s)
        return child


def on_stage(test: Callable[[Stage], None]) -> None:
    async def run() -> None:
        with Path(os.devnull).open("wb") as output:
            test(Stage(asyncio.get_running_loop(), output.fileno()))

    asyncio.run(run())


def test_whoever_started_a_child_is_told_how_it_ended_and_what_it_wrote_last() -> None:
    def test(stage: Stage) -> None:
        child = stage.start(writes=b"no such table\n")
        stage.children.note_end(OTHER, 0)
        assert child in stage.children
        stage.children.note_end(PID, 256)
        assert [(end.status, end.last_words) for end in stage.ends] == [(256, "no such table\n")]
        assert child not in stage.children

    on_stage(test)


def test_a_child_that_is_killed_is_told_of_when_it_is_reaped_and_one_that_is_ended_is_not() -> None:
    def test(stage: Stage) -> None:
        stage.children.kill(stage.start(PID))
        stage.children.end(stage.start(OTHER))
        assert stage.killer.killed == [PID, OTHER]
        for pid in (PID, OTHER):
            stage.children.note_end(pid, 9)
        assert len(stage.ends) == 1

    on_stage(test)


def test_a_pid_that_is_somebody_elses_by_now_is_not_killed() -> None:
    def test(stage: Stage) -> None:
        child = stage.start()
        stage.children.note_end(PID, 0)
        stage.children.end(child)
        assert stage.killer.killed == []

    on_stage(test)


def test_nothing_outlives_the_master() -> None:
    def test(stage: Stage) -> None:
        stage.start(PID)
        stage.start(OTHER, may_take_s=60.0)
        stage.children.close()
        assert stage.killer.killed == [PID, OTHER]

    on_stage(test)


def test_a_child_is_killed_once_its_time_is_over() -> None:
    async def run() -> None:
        with Path(os.devnull).open("wb") as output:
            stage = Stage(asyncio.get_running_loop(), output.fileno())
            stage.start(may_take_s=0.0)
            await asyncio.wait_for(stage.killer.has_killed.wait(), 10.0)
            stage.children.note_end(PID, 9)

    asyncio.run(run())
