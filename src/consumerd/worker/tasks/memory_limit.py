"""A worker's hard limit of memory, which the kernel keeps: beyond it an allocation fails. Runs in workers.

`RLIMIT_DATA` counts what a process may write to and nobody else sees, also what it has only reserved (the stacks of
its threads). What it shares with its zygote counts as well. A process that the handler starts has the limit too.
"""

from __future__ import annotations

import resource
from pathlib import Path

from consumerd import events
from consumerd.config.sizes import size_text
from consumerd.errors import UsageError
from consumerd.model.interrupts import Interrupt
from consumerd.worker.tasks.context import WorkerContext

ROOM_BYTES = 32 * 2**20
"""What the threads of a worker and its clients reserve before the first task."""

RELIEF_BYTES = 64 * 2**20
"""So much more a worker gets that has reached its limit: it has to park what failed, and to settle what is finished."""


def limit_memory(limit_bytes: int | None) -> None:
    """Set the limit; None: none. UsageError where it leaves no room for a worker."""
    if limit_bytes is None:
        return
    least_bytes = data_bytes() + ROOM_BYTES
    if limit_bytes < least_bytes:
        raise UsageError(
            f"memory_limit is {size_text(limit_bytes)}, and a worker of this consumer needs {size_text(least_bytes)} "
            "before its first task: raise it"
        )
    _, hard = resource.getrlimit(resource.RLIMIT_DATA)
    last = limit_bytes + RELIEF_BYTES
    last = last if hard == resource.RLIM_INFINITY else min(last, hard)
    resource.setrlimit(resource.RLIMIT_DATA, (min(limit_bytes, last), last))


class Fullness:
    """Whether a worker has reached its limit. It is replaced then: what has filled it is in its memory."""

    def __init__(self, context: WorkerContext) -> None:
        self._context = context
        self._is_full = False

    def note(self, ended: object) -> None:
        """How an attempt ended. For want of memory: there is more at once, for what is still to be done."""
        if isinstance(ended, MemoryError):
            self._is_full = True
            _, hard = resource.getrlimit(resource.RLIMIT_DATA)
            resource.setrlimit(resource.RLIMIT_DATA, (hard, hard))

    def conclude(self) -> None:
        """A task is concluded. Only now the worker leaves: one that is to leave makes no further attempt."""
        limit = self._context.common.memory_limit
        if self._is_full and limit is not None and self._context.member is not None:
            self._context.emit(events.worker_full(memory_limit_bytes=limit))
            self._context.ask_for_replacement(Interrupt.OUT_OF_MEMORY)


def data_bytes() -> int:
    """How much of what the limit counts this process has now."""
    for line in Path("/proc/self/status").read_text(encoding="utf-8", errors="replace").splitlines():
        if line.startswith("VmData:"):
            return int(line.split()[1]) * 1024
    return 0
