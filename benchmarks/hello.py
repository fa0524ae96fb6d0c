"""How a worker tells a benchmark that it is in its loop: a FIFO `hello` in the benchmark's directory.

The standard library alone: workers of peers, in an environment of their own, tell it in the same way.
"""

from __future__ import annotations

import os
import select
import struct
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

DIRECTORY = "BENCHMARK_DIRECTORY"
"""The environment variable that names the directory."""

FIFO = "hello"
_HELLO = struct.Struct("=IIq")


@dataclass(frozen=True, slots=True)
class Hello:
    """slot: of the worker, 0 where it has no number; at_ns: on the monotonic clock, which all processes share."""

    slot: int
    pid: int
    at_ns: int


def announce(slot: int = 0) -> None:
    """Tell the benchmark that this process is in its loop now."""
    fifo = os.open(Path(os.environ[DIRECTORY]) / FIFO, os.O_WRONLY)
    os.write(fifo, _HELLO.pack(slot, os.getpid(), time.monotonic_ns()))
    os.close(fifo)


class Hellos:
    """What workers tell, in order. `pids`: of all that ever told something."""

    def __init__(self, fifo: int) -> None:
        self._fifo = fifo
        self.pids: set[int] = set()

    def next(self, timeout_s: float) -> Hello | None:
        """The next one; None where nobody tells anything for so long."""
        poll = select.poll()
        poll.register(self._fifo, select.POLLIN)
        if not poll.poll(max(0.0, timeout_s) * 1000):
            return None
        hello = Hello(*_HELLO.unpack(os.read(self._fifo, _HELLO.size)))
        self.pids.add(hello.pid)
        return hello

    def until(self, deadline: float) -> Iterator[Hello]:
        """All that come before `deadline`, on the monotonic clock."""
        while (hello := self.next(deadline - time.monotonic())) is not None:
            yield hello

    def gather(self, workers: int, timeout_s: float) -> list[Hello]:
        """The first of each of so many processes; TimeoutError where they are fewer."""
        found: dict[int, Hello] = {}
        for hello in self.until(time.monotonic() + timeout_s):
            found.setdefault(hello.pid, hello)
            if len(found) == workers:
                return list(found.values())
        raise TimeoutError(f"{len(found)} of {workers} workers were in their loops within {timeout_s:g} s")


@contextmanager
def listening(directory: Path) -> Iterator[Hellos]:
    """Make the FIFO in `directory`, and listen to it."""
    os.mkfifo(directory / FIFO)
    fifo = os.open(directory / FIFO, os.O_RDONLY | os.O_NONBLOCK)
    kept_open = os.open(directory / FIFO, os.O_WRONLY)  # else it would end between two workers
    try:
        yield Hellos(fifo)
    finally:
        os.close(fifo)
        os.close(kept_open)
