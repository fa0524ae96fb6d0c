"""What the master's children write to stderr: the last of it kept, all of it relayed. Runs in the master."""

from __future__ import annotations

import asyncio
import os
from collections.abc import Callable

from consumerd.events.outlet import Outlet

KEPT_BYTES = 8_192
READ_BYTES = 65_536
READS_AT_THE_END = 4

Hear = Callable[[int, str, bytes], None]
"""Takes a piece of what a pipe brought, with its descriptor and whose it is; an empty one when the pipe is closed."""


class StderrPipes:
    """Reads stderr pipes as they fill, and writes them on to the master's own stderr without waiting for it.

    What does not fit is dropped and counted there; the last 8 KiB of each child are kept for who asks why it died.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop, outlet: Outlet, hear: Hear = lambda *_: None) -> None:
        """hear: is told of every piece as well."""
        self._loop = loop
        self._outlet = outlet
        self._hear = hear
        self._whose: dict[int, str] = {}
        self._tails: dict[int, bytearray] = {}

    def open(self, fd: int, whose: str = "") -> None:
        """Read a pipe, which this object closes from now on. whose: of which consumer its process is, if of one."""
        self._whose[fd] = whose
        self._tails[fd] = bytearray()
        self._loop.add_reader(fd, self._read, fd)

    def close(self, fd: int) -> str:
        """Read what is left, as far as it is there; the last lines of all that came.

        Does not wait for the end of file: a handler's own children may hold the other end for ever.
        """
        for _ in range(READS_AT_THE_END):
            if not self._read(fd):
                break
        self._loop.remove_reader(fd)
        os.close(fd)
        self._hear(fd, self._whose.pop(fd), b"")
        return self._tails.pop(fd).decode("utf-8", "replace")

    def _read(self, fd: int) -> bool:
        try:
            data = os.read(fd, READ_BYTES)
        except BlockingIOError:
            return False
        if not data:
            self._loop.remove_reader(fd)
            return False
        tail = self._tails[fd]
        tail += data
        del tail[:-KEPT_BYTES]
        self._hear(fd, self._whose[fd], data)
        self._pass_on(data)
        return True

    def _pass_on(self, data: bytes) -> None:
        if self._outlet.write(data) and self._outlet.dropped:
            dropped = self._outlet.take_dropped()
            self._outlet.write(f"consumerd: {dropped} pieces of stderr were dropped: nobody read it\n".encode())
