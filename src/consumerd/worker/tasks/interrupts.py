"""What makes the loop look up from its batch, and by when it must have ended. Runs in workers and the foreground.

The *cell* is one element that the fast loop tests after each task; it only says "look". The reasons stand in a queue
beside it, so that none is lost between a thread that sets one and the loop that takes them. The descriptor lets an
idle loop wait; signal handlers may set (they take no lock).
"""

from __future__ import annotations

import math
import os
import select
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from enum import Enum, auto
from typing import Protocol

from consumerd.clock import Clock, monotonic
from consumerd.model.exits import WorkerExit


class Interrupt(Enum):
    """One reason to look up from the batch."""

    STOP = auto()
    MASTER_GONE = auto()
    SETTLE_DUE = auto()
    REVOKED = auto()
    PARKED_DUE = auto()
    FORKED = auto()
    OUT_OF_MEMORY = auto()
    STALE = auto()
    PAUSE = auto()
    AMENDED = auto()


class Cell(Protocol):
    """What the fast loop tests; a list of one element."""

    def __getitem__(self, index: int, /) -> bool: ...


LONG_S = 1.0


class LeaseCell:
    """The cell, for tasks that are held under a lease: it says "look" after a long task, too, for the process may have
    been frozen in it, and the lease be over. The keeper finds that out as well, but perhaps a task later.
    """

    def __init__(self, cell: Cell, clock: Clock) -> None:
        self._cell = cell
        self._monotonic = clock.monotonic
        self._looked_at = -math.inf

    def __getitem__(self, index: int) -> bool:
        now = self._monotonic()
        was_long, self._looked_at = now - self._looked_at > LONG_S, now
        return was_long or self._cell[index]


class Interrupts:
    """Set from signal handlers and any thread; waited for and taken by the loop's thread."""

    def __init__(self, *, is_paused: bool = False, sleep: Callable[[float], None] | None = None) -> None:
        """is_paused: whether the loop is to fetch nothing; whoever changes it sets an interrupt then.

        sleep: how to wait, where no thread can set an interrupt meanwhile: a test's clock.
        """
        self.is_paused = is_paused
        self._sleep = sleep
        self.cell: list[bool] = [False]
        self._reasons: deque[Interrupt] = deque()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._wake_fd, select.POLLIN)

    def fileno(self) -> int:
        """A descriptor that can be read while an interrupt is set and not taken."""
        return self._wake_fd

    def close(self) -> None:
        """Nothing is set or waited for any more."""
        os.close(self._wake_fd)

    def set(self, reason: Interrupt) -> None:
        """Make the loop look up for this reason."""
        self._reasons.append(reason)
        self.cell[0] = True
        os.eventfd_write(self._wake_fd, 1)

    def set_in_child(self, reason: Interrupt) -> None:
        """The same in a forked child, whose descriptor is its parent's: nobody is woken."""
        self._reasons.append(reason)
        self.cell[0] = True

    def take(self) -> frozenset[Interrupt]:
        """The reasons set since the last call."""
        if not self.cell[0]:
            return frozenset()
        self.cell[0] = False  # before the reasons: one that is set now is seen now or by the next look
        with suppress(BlockingIOError):  # set before it is written: the write comes after and wakes once too often
            os.eventfd_read(self._wake_fd)
        taken = set()
        while self._reasons:
            taken.add(self._reasons.popleft())
        return frozenset(taken)

    def are_set(self) -> bool:
        """Whether one was set since the last `take`."""
        return self.cell[0]

    def calm(self) -> None:
        """Where none is set, its descriptor cannot be read any more: the last one was taken before it was written."""
        if not self.cell[0]:
            with suppress(BlockingIOError):
                os.eventfd_read(self._wake_fd)

    def wait(self, seconds: float, descriptor: int | None = None) -> None:
        """Sleep, at most so long; an interrupt that is set or comes ends it, or what can be read from `descriptor`."""
        if self._sleep is not None:
            self._sleep(seconds)
        else:
            self.wait_for(descriptor, seconds)

    def wait_for(self, descriptor: int | None, seconds: float) -> None:
        """The same, though time may be moved by hand: another thread is about to write to `descriptor`."""
        if self.cell[0]:
            return
        if descriptor is not None:
            self._poll.register(descriptor, select.POLLIN)
        self._poll.poll(max(0.0, seconds) * 1000)
        if descriptor is not None:
            self._poll.unregister(descriptor)
        self.calm()


class StopDeadline:
    """When a stop must have ended, on the monotonic clock; the earliest that was asked for counts.

    is_last: no other worker takes the slot over, as far as the master has said.
    """

    def __init__(self, stop_timeout_s: float) -> None:
        self.stop_timeout_s = stop_timeout_s
        self.at_s: float | None = None
        self.exit = WorkerExit.DEADLINE_PASSED
        self.is_last = False

    @property
    def drained(self) -> WorkerExit:
        """How a worker ends that was asked to stop and had nothing in hand."""
        return WorkerExit.MASTER_GONE if self.exit is WorkerExit.MASTER_GONE else WorkerExit.DRAINED

    def has_begun(self) -> bool:
        """Whether a stop was asked for."""
        return self.at_s is not None

    def start(self, at_s: float | None = None) -> float:
        """A stop was asked for; by when it must have ended. Takes no lock: signal handlers call it."""
        wanted = at_s if at_s is not None else monotonic() + self.stop_timeout_s
        if self.at_s is None or wanted < self.at_s:
            self.at_s = wanted
        return self.at_s
