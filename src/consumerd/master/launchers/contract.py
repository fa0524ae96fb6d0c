"""The launcher's contract: how a pool's processes come to be, end and are reaped. Runs in the master.

Nothing here waits. OSError where the system refuses a process or a descriptor.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

from consumerd.wire.board import Board
from consumerd.wire.channel import Channel
from consumerd.wire.messages import Fork


@dataclass(frozen=True)
class Executed:
    """A process that was executed, a zygote or a store helper, and the master's ends of what it holds."""

    pid: int
    channel: Channel
    stderr_fd: int


@dataclass(frozen=True)
class Commanded:
    """A command of the user's that was executed, the leader of a process group; what it writes comes by `stderr_fd`."""

    pid: int
    stderr_fd: int


@dataclass(frozen=True)
class Seating:
    """What the master keeps of a worker from the fork on; its pid and pidfd come later."""

    channel: Channel
    board: Board
    stderr_fd: int


class Launcher(Protocol):
    """Starts and ends processes."""

    def execute(self, module: str) -> Executed:
        """A fresh interpreter that runs `module`, which finds its end of the channel by `wire.inherited`."""
        ...

    def command(self, arguments: Sequence[str], told: str, environment: Mapping[str, str]) -> Commanded:
        """Execute a command, with `told` on its stdin."""
        ...

    def kill_group(self, pid: int) -> None:
        """End a command that is not reaped yet, and what it has started."""
        ...

    def fork(self, zygote: Channel, fork: Fork, *, lock: Path, awaited: int) -> Seating:
        """Have a zygote fork a worker, which will lock the file `lock`. awaited: so many descriptors are still to come
        for workers that were asked for before.
        """
        ...

    def kill(self, pid: int, pidfd: int | None) -> None:
        """End a process at once; through its pidfd where its pid may be somebody else's by now."""
        ...

    def ask_stacks(self, pid: int, pidfd: int | None) -> None:
        """Have a worker write the stacks of its threads on its board, which takes it a moment."""
        ...

    def is_worker(self, pid: int, pidfd: int, *, zygote: int) -> bool:
        """Whether the descriptor is of this process, and that is a child of the zygote; what a zygote tells of itself
        is not believed. OSError where the system has no descriptor for the look.
        """
        ...

    def is_stopped(self, pid: int) -> bool:
        """Whether a process was stopped by a signal (SIGSTOP) and not continued since."""
        ...

    def ended(self) -> Sequence[int]:
        """Pids of ended children that nobody has reaped yet; adopted ones among them."""
        ...

    def reap(self, pid: int, *, with_group: bool) -> int | None:
        """Reap an ended child: its wait status. with_group: first kill what its process group still holds."""
        ...

    def is_child(self, pid: int) -> bool:
        """Whether this process is a child of ours, alive or not yet reaped."""
        ...

    def holder(self, lock: Path) -> int | None:
        """Who holds the lock of a slot; None where nobody does. OSError where that cannot be read."""
        ...

    def kill_holder(self, lock: Path, *, but: int | None) -> int | None:
        """Kill whoever holds the lock of a slot, unless it is `but`; the pid, or None where there was no one."""
        ...
