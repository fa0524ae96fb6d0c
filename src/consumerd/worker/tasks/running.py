"""The task that a thread or a coroutine is handling, where a worker runs several at once. Runs in workers."""

from __future__ import annotations

from contextvars import ContextVar
from typing import Protocol

from consumerd.model.task import Task


class RunningLane(Protocol):
    """A place on the board."""

    def attempt_goes_on(self) -> None: ...


class RunningTask(Protocol):
    """lane: its place on the board. thread: the one in which its handler runs; None on an event loop.

    task: RuntimeError where several are handled together.
    """

    @property
    def lane(self) -> RunningLane: ...

    @property
    def thread(self) -> int | None: ...

    @property
    def task(self) -> Task: ...


RUNNING: ContextVar[RunningTask | None] = ContextVar("consumerd_running_task", default=None)
"""None in a worker that runs one task at a time, and where no task is handled."""
