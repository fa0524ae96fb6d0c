"""SIGKILL of a worker to its replacement in its loop: the first task that the next generation handles."""

from __future__ import annotations

import os
import select
import signal
import statistics
import time
from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import Better, Figure
from benchmarks.hello import HELLO
from benchmarks.running import RunningMaster

WORKERS = 4
KILLS = 40
SETTLED_IN_S = 0.6
"""A worker killed before it has settled a task has proved nothing, and its slot backs off, as it should. Each is
killed after so many seconds for every worker."""


def figures() -> Iterator[Figure]:
    """The median and the 99th percentile of so many kills, one after the other."""
    with RunningMaster(consumer="benchmarks.consumers:Announcing", workers=WORKERS) as master:
        seconds = _kill_and_wait(master.directory, KILLS)
    milliseconds = sorted(second * 1000 for second in seconds)
    median = statistics.median(milliseconds)
    p99 = milliseconds[int(len(milliseconds) * 0.99) - 1]
    what, beside = "SIGKILL → replacement handles a task", f"{KILLS} kills, {WORKERS} workers"
    yield Figure(f"{what}, median", f"{median:.1f} ms", beside, median, 10, Better.LOWER)
    yield Figure(f"{what}, p99", f"{p99:.1f} ms", beside, p99, 50, Better.LOWER)


def _kill_and_wait(directory: Path, kills: int) -> list[float]:
    fifo = os.open(directory / "hello", os.O_RDONLY | os.O_NONBLOCK)
    keep_open = os.open(directory / "hello", os.O_WRONLY)
    (directory / "go").touch()
    pids: dict[int, int] = {}
    while len(pids) < WORKERS:
        slot, pid, _ = _hello(fifo)
        pids[slot] = pid
    seconds = []
    for number in range(kills):
        slot = number % WORKERS
        time.sleep(5.2 if number < WORKERS else SETTLED_IN_S)
        killed_at = time.monotonic_ns()
        os.kill(pids[slot], signal.SIGKILL)
        while True:
            hello_slot, pid, at_ns = _hello(fifo)
            pids[hello_slot] = pid
            if hello_slot == slot:
                break
        seconds.append((at_ns - killed_at) / 1e9)
    os.close(fifo)
    os.close(keep_open)
    return seconds


def _hello(fifo: int) -> tuple[int, int, int]:
    poll = select.poll()
    poll.register(fifo, select.POLLIN)
    if not poll.poll(30_000):
        raise TimeoutError("no worker handled a first task within 30 s")
    slot, pid, at_ns = HELLO.unpack(os.read(fifo, HELLO.size))
    return slot, pid, at_ns
