"""Children of the master that are of no pool: the store helper, the command of `on_event`. Runs in the master.

Each leads a process group, is killed with it when its time is over or nobody wants it any more, and has what it writes
to stderr read. Nobody waits for one: the supervisor reaps it, and whoever started it is told how it ended.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from consumerd import clock
from consumerd.master.host.launcher import Commanded, Executed, Launcher
from consumerd.master.host.stderr import StderrPipes


@dataclass(frozen=True, slots=True)
class End:
    """How a child ended by itself, or at its deadline.

    status: its wait status; None where somebody else has taken it.
    took_s: for how long it ran.
    last_words: the last that it wrote to stderr.
    """

    status: int | None
    took_s: float
    last_words: str


@dataclass(frozen=True)
class _Running:
    child: Executed | Commanded
    on_end: Callable[[End], None]
    since: float
    timer: asyncio.TimerHandle | None


class Children:
    """Every child of the master that is of no pool, by its pid."""

    def __init__(self, launcher: Launcher, stderr: StderrPipes) -> None:
        self._launcher = launcher
        self._stderr = stderr
        self._running: dict[int, _Running] = {}

    def add(
        self, child: Executed | Commanded, on_end: Callable[[End], None], *, may_take_s: float | None = None
    ) -> None:
        """Look after a child that was just started. may_take_s: after this time it is killed; None: it may stay."""
        self._stderr.open(child.stderr_fd)
        loop, timer = asyncio.get_running_loop(), None
        if may_take_s is not None:
            timer = loop.call_later(may_take_s, self._launcher.kill_group, child.pid)
        self._running[child.pid] = _Running(child, on_end, clock.monotonic(), timer)

    def __contains__(self, child: Executed | Commanded) -> bool:
        """Whether it runs."""
        return child.pid in self._running and self._running[child.pid].child is child

    def kill(self, child: Executed | Commanded) -> None:
        """Kill a child, if it runs, with all that it has started; its end is told when it is reaped."""
        if child in self:
            self._launcher.kill_group(child.pid)

    def end(self, child: Executed | Commanded) -> None:
        """Kill a child, if it runs; its end is told to nobody."""
        self.kill(child)
        if child in self:
            self._bury(child.pid)

    def note_end(self, pid: int, status: int | None) -> None:
        """A child of the master was reaped that is of no pool."""
        if pid in self._running:
            running, last_words = self._running[pid], self._bury(pid)
            running.on_end(End(status, clock.monotonic() - running.since, last_words))

    def close(self) -> None:
        """End all: nothing outlives the master."""
        for running in tuple(self._running.values()):
            self.end(running.child)

    def _bury(self, pid: int) -> str:
        running = self._running.pop(pid)
        if running.timer is not None:
            running.timer.cancel()
        return self._stderr.close(running.child.stderr_fd)
