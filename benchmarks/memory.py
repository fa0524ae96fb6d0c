"""What idle workers weigh: PSS, with a Kafka client subscribed and the keeper running."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable, Iterator

from benchmarks.brokers import kafka
from benchmarks.figures import Better, Figure
from benchmarks.groups import await_joined
from benchmarks.proc import pss_bytes, tree
from benchmarks.running import RunningMaster

WORKERS = 16
SETTLES_IN_S = 15.0


def figures() -> Iterator[Figure]:
    """On a broker of our own."""
    with kafka() as server:
        yield from figures_on(server.brokers, server.create_topic)


def figures_on(brokers: str, create_topic: Callable[[str, int], object]) -> Iterator[Figure]:
    """The median of the workers of an idle pool, and the whole tree, a while after all have joined."""
    create_topic("idle", WORKERS)
    configs = {"brokers": brokers, "topic_name": "idle", "consumer_group": "idle"}
    with RunningMaster.of_pool("benchmarks.consumers:Idle", WORKERS, configs) as master:
        await_joined(brokers, "idle", WORKERS)
        time.sleep(SETTLES_IN_S)
        master_mb, zygote_mb, *megabytes = (pss_bytes(pid) / 1e6 for pid in tree(master.process.pid))
    median, total = statistics.median(megabytes), master_mb + zygote_mb + sum(megabytes)
    yield Figure(
        "PSS of an idle worker, Kafka client subscribed, keeper running",
        f"{median:.2f} MB",
        f"{len(megabytes)} workers, {min(megabytes):.2f}–{max(megabytes):.2f}",
        median,
        6.5,
        Better.LOWER,
    )
    beside = f"master {master_mb:.1f}, zygote {zygote_mb:.1f} MB"
    what = f"PSS of {WORKERS} of them with zygote and master"
    yield Figure(what, f"{total:.1f} MB", beside, total, 135, Better.LOWER)
