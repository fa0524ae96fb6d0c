"""An outlet: a descriptor that lines are written to, and that never holds the writer up for long.

Whoever reads our output may be stopped, with the pipe full. The outlet then waits a bounded time, once; after that it
drops lines and counts them until the descriptor takes one again.
"""

from __future__ import annotations

import fcntl
import os
import select
import socket
import stat
from collections.abc import Callable

from consumerd import clock

Write = Callable[[bytes], int]
"""Writes what fits without waiting and returns how much that was; BlockingIOError when nothing does."""

FIRST_OWN = 3
"""The lowest descriptor that is no standard one."""

CHUNK_BYTES = 512
"""What a terminal that is ready takes without blocking, where it cannot be opened again."""


class Outlet:
    """Writes whole lines to a descriptor that others write to as well, and that stays theirs. For one thread at a time.

    patience_s: how long one line may wait in all. `dropped` counts the lines lost since `take_dropped`.
    """

    def __init__(self, fd: int, *, patience_s: float) -> None:
        self._patience_s = patience_s
        self._write, self._wait_fd, self._close = _writer(fd)
        self._is_stuck = False
        self._is_in_line = False
        self.dropped = 0

    def write(self, line: bytes) -> bool:
        """Write a line, which brings its newline; False when it was dropped, or only a part of it was written."""
        if self._is_in_line:
            line = b"\n" + line
        deadline = clock.monotonic() + (0.0 if self._is_stuck else self._patience_s)
        written = self._write_until(deadline, line)
        self._is_in_line = written > 0 and not line[:written].endswith(b"\n") if written else self._is_in_line
        self._is_stuck = written < len(line)
        self.dropped += self._is_stuck
        return not self._is_stuck

    def take_dropped(self) -> int:
        """How many lines were dropped since the last call."""
        dropped, self.dropped = self.dropped, 0
        return dropped

    def close(self) -> None:
        """Close what was opened for this outlet; the descriptor that it was given stays open."""
        self._close()

    def _write_until(self, deadline: float, line: bytes) -> int:
        written = 0
        while written < len(line):
            try:
                written += self._write(line[written:])
            except BlockingIOError:
                if not self._wait(deadline):
                    break
            except OSError:
                break  # nobody reads any more, the disk is full: the line is dropped and counted
        return written

    def _wait(self, deadline: float) -> bool:
        poller = select.poll()
        poller.register(self._wait_fd, select.POLLOUT)
        return bool(poller.poll(max(0.0, deadline - clock.monotonic()) * 1000))


def _writer(fd: int) -> tuple[Write, int, Callable[[], None]]:
    """How to write to `fd` without waiting, the descriptor to wait for, and how to close what this has opened.

    O_NONBLOCK would belong to everyone who shares the file's description (the shell, our workers). So a pipe or a
    terminal is opened anew for a description of our own, a socket is asked for each write not to wait, and a regular
    file does not block. Each goes by a descriptor of our own: user code may close `fd`, and open another file there.
    """
    try:
        mode = os.fstat(fd).st_mode
        fd = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, FIRST_OWN)
    except OSError:  # closed: whoever started us wants to hear nothing
        return _refuse, fd, lambda: None
    if stat.S_ISSOCK(mode):
        shared = socket.socket(fileno=fd)
        return lambda data: shared.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL), shared.fileno(), shared.close
    if not (stat.S_ISFIFO(mode) or stat.S_ISCHR(mode)):
        return lambda data: os.write(fd, data), fd, lambda: os.close(fd)
    try:
        own = os.open(f"/proc/self/fd/{fd}", os.O_WRONLY | os.O_NONBLOCK | os.O_CLOEXEC | os.O_NOCTTY)
    except OSError:  # another user's terminal, no /proc
        return lambda data: _write_when_ready(fd, data), fd, lambda: os.close(fd)
    os.close(fd)
    return lambda data: os.write(own, data), own, lambda: os.close(own)


def _refuse(data: bytes) -> int:
    raise BrokenPipeError("the output is closed")


def _write_when_ready(fd: int, data: bytes) -> int:
    poller = select.poll()
    poller.register(fd, select.POLLOUT)
    if not poller.poll(0):
        raise BlockingIOError
    return os.write(fd, data[:CHUNK_BYTES])
