"""A pool whose workers end as soon as they begin: what it costs the pool beside it, and itself after a minute."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Sequence

from benchmarks.figures import Better, Figure, spread
from benchmarks.proc import spent_s, tree
from benchmarks.running import Running, RunningMaster, pool_entry
from benchmarks.supervision.peers import Peer

PAIRS = 5
BUSY_WORKERS = 2
LOOPING_WORKERS = 4
WARM_UP_S = 1.0
MEASURED_S = 8.0
MINUTE_S = 60.0
AFTER_S = 20.0
PEER_FOR_S = 10.0
STARTS_WITHIN_S = 60.0


def figures(peers: Sequence[Peer]) -> Iterator[Figure]:
    """Pairs of runs, taking turns at going first; then the loop alone."""
    paces: dict[bool, list[float]] = {False: [], True: []}
    for pair in range(PAIRS):
        for is_beside in (False, True) if pair % 2 else (True, False):
            paces[is_beside].append(_pace(is_beside=is_beside))
    ratios = [beside / alone for beside, alone in zip(paces[True], paces[False], strict=True)]
    yield Figure(
        "throughput of a pool beside one in a crash loop",
        f"{statistics.median(paces[True]):,.0f}/s",
        f"alone {statistics.median(paces[False]):,.0f}/s; ratio of {PAIRS} pairs {spread(ratios, '.3f')}",
        statistics.median(ratios),
        0.97,
    )
    ends, percent = _after_a_minute()
    beside = "; ".join([f"{ends} ends in {MINUTE_S:.0f} s", *map(_told, peers)])
    yield Figure("CPU of a pool in a crash loop, after a minute", f"{percent:.2f} %", beside, percent, 2, Better.LOWER)


def _pace(*, is_beside: bool) -> float:
    """Tasks a second of the busy pool. Where another crashes beside it, from that one's first crash on."""
    groups = {"busy": [pool_entry("pool", "benchmarks.consumers:Busy", BUSY_WORKERS)]}
    if is_beside:
        looping = pool_entry("pool", "benchmarks.consumers:Crashing", LOOPING_WORKERS, {"after": ["busy/pool"]})
        groups["looping"] = [looping]
    with RunningMaster(groups) as master:
        master.hellos.gather(BUSY_WORKERS, STARTS_WITHIN_S)
        if is_beside:
            master.hellos.gather(1, STARTS_WITHIN_S)
        else:
            time.sleep(WARM_UP_S)
        before, begun = master.handled("busy/pool"), time.monotonic()
        time.sleep(MEASURED_S)
        return (master.handled("busy/pool") - before) / (time.monotonic() - begun)


def _after_a_minute() -> tuple[int, float]:
    """How often a pool's workers ended in a minute, and what the whole tree took after it, in percent of a core."""
    with RunningMaster.of_pool("benchmarks.consumers:Crashing", LOOPING_WORKERS) as master:
        ends = sum(1 for _ in master.hellos.until(time.monotonic() + MINUTE_S))
        pids = tree(master.process.pid)
        before = spent_s(pids[:2])
        time.sleep(AFTER_S)
        return ends, 100 * (spent_s(pids[:2]) - before) / AFTER_S


def _told(peer: Peer) -> str:
    """How often a peer starts its workers anew, and what that takes, until it is looked at for the last time."""
    with Running(peer.command(LOOPING_WORKERS, True)) as running:
        begun = time.monotonic()
        starts = sum(1 for _ in running.hellos.until(begun + PEER_FOR_S))
        percent = 100 * spent_s(tree(running.process.pid)) / (time.monotonic() - begun)
        if running.process.poll() is not None:
            return f"{peer} ends itself"
    return f"{peer} {starts} starts, {percent:.1f} % in its first {PEER_FOR_S:.0f} s"
