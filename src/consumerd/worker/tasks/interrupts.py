"""What makes the loop look up from its batch. Runs in workers and the foreground.

The *cell* is one element that the fast loop tests after each task; it only says "look". The reasons stand in a queue
beside it, so that none is lost between a thread that sets one and the loop that takes them. The descriptor lets an
idle loop wait; signal handlers may set (they take no lock).
"""

from __future__ import annotations

import os
import select
from collections import deque

from consumerd.model.interrupts import Interrupt


class Interrupts:
    """Set from signal handlers and any thread; waited for and taken by the loop's thread."""

    def __init__(self, *, is_paused: bool = False) -> None:
        """is_paused: whether the loop is to fetch nothing; whoever changes it sets an interrupt then."""
        self.is_paused = is_paused
        self.cell: list[bool] = [False]
        self._reasons: deque[Interrupt] = deque()
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._poll = select.poll()
        self._poll.register(self._wake_fd, select.POLLIN)

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
        self._clear_wake()
        taken = set()
        while self._reasons:
            taken.add(self._reasons.popleft())
        return frozenset(taken)

    def wait(self, seconds: float) -> None:
        """Sleep, at most so long; an interrupt that is set, or comes, ends it."""
        if not self.cell[0]:
            self._poll.poll(max(0.0, seconds) * 1000)

    def _clear_wake(self) -> None:
        try:
            os.eventfd_read(self._wake_fd)
        except BlockingIOError:
            return  # set between the append and the write: the write comes after and wakes once too often
