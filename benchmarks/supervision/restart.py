"""SIGKILL of a worker to its replacement in its loop: ours handles a first task, a peer's is about to loop."""

from __future__ import annotations

import os
import random
import signal
import statistics
import time
from collections.abc import Iterator, Sequence

from benchmarks.figures import Better, Figure, percentile
from benchmarks.hello import Hellos
from benchmarks.running import Running, RunningMaster
from benchmarks.supervision.peers import Peer
from consumerd.master.rules.restart import PROVEN_AFTER_S

WORKERS = 4
KILLS = 100
PEER_KILLS = 12
PEER_FOR_S = 12.0
"""No peer's worker is killed later than so long after the first."""

REST_S = 0.75
"""Before each kill, and up to twice that: until its turn comes again a worker of ours has settled a task. One that has
proved nothing would back off, as it must; and so does one that is killed on the task on which one was killed before,
which comes of rests that are all the same, for each worker begins with the same numbers."""

NEVER_S = 30.0


def figures(peers: Sequence[Peer] = ()) -> Iterator[Figure]:
    """The median and the 99th percentile of so many kills, one after the other, of workers that are busy."""
    with RunningMaster.of_pool("benchmarks.consumers:Announcing", WORKERS) as master:
        workers = {hello.slot: hello.pid for hello in master.hellos.gather(WORKERS, NEVER_S)}
        time.sleep(PROVEN_AFTER_S)
        milliseconds = [second * 1000 for second in replaced(master.hellos, workers, KILLS)]
    what = "SIGKILL → replacement handles a task"
    beside = "; ".join([f"{KILLS} kills, {WORKERS} workers", *map(_told, peers)])
    median, p99 = statistics.median(milliseconds), percentile(milliseconds, 99)
    yield Figure(f"{what}, median", f"{median:.1f} ms", beside, median, 10, Better.LOWER)
    yield Figure(f"{what}, p99", f"{p99:.1f} ms", f"worst {max(milliseconds):.1f} ms", p99, 50, Better.LOWER)


def replaced(hellos: Hellos, workers: dict[int, int], kills: int, *, rest_s: float = REST_S) -> Iterator[float]:
    """Kill one slot's worker after the other; the seconds until its next one tells of its first task."""
    for number in range(kills):
        slot = number % WORKERS
        time.sleep(rest_s * (1 + random.random()))
        killed_ns = time.monotonic_ns()
        os.kill(workers[slot], signal.SIGKILL)
        for hello in hellos.until(time.monotonic() + NEVER_S):
            workers[hello.slot] = hello.pid
            if hello.slot == slot:
                yield (hello.at_ns - killed_ns) / 1e9
                break
        else:
            raise TimeoutError(f"slot {slot} had no worker again within {NEVER_S:g} s")


def _told(peer: Peer) -> str:
    seconds = _replaced_by(peer)
    if not seconds:
        return f"{peer} never in {NEVER_S:.0f} s"
    return f"{peer} {statistics.median(seconds) * 1000:,.0f} ms (worst of {len(seconds)}: {max(seconds) * 1000:,.0f})"


def _replaced_by(peer: Peer) -> list[float]:
    """The same, in the order of the workers' ages: a peer's have no slots."""
    seconds: list[float] = []
    with Running(peer.command(WORKERS, False)) as running:
        alive = [hello.pid for hello in running.hellos.gather(WORKERS, NEVER_S)]
        time.sleep(PROVEN_AFTER_S / 2)
        until = time.monotonic() + PEER_FOR_S
        while len(seconds) < PEER_KILLS and time.monotonic() < until:
            time.sleep(REST_S)
            killed_ns = time.monotonic_ns()
            os.kill(alive.pop(0), signal.SIGKILL)
            hello = running.hellos.next(NEVER_S)
            if hello is None:
                return seconds
            alive.append(hello.pid)
            seconds.append((hello.at_ns - killed_ns) / 1e9)
    return seconds
