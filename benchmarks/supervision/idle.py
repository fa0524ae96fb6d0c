"""What a tree of many idle workers costs: CPU time and memory of its supervisor, and of all of it."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping

from benchmarks.figures import Better, Figure
from benchmarks.groups import await_joined
from benchmarks.running import Running, RunningMaster
from benchmarks.supervision.life import Life, Rest, lived
from benchmarks.supervision.peers import Peer
from benchmarks.supervision.start_stop import WORKERS, told

SETTLE_S = 15.0
REST_S = 40.0
"""Four times what lies between two measurements of the lag."""


def on_kafka(brokers: str, topic: str) -> Life:
    """Ours, each with a partition of a topic that is empty."""
    configs = {"brokers": brokers, "topic_name": topic, "consumer_group": topic}

    def await_start(running: Running) -> float:
        await_joined(brokers, topic, WORKERS)
        return 0.0

    with RunningMaster.of_pool("benchmarks.consumers:Idle", WORKERS, configs) as master:
        return lived(master, await_start, settle_s=SETTLE_S, rest_s=REST_S)


def figures(ours: Life, peers: Mapping[Peer, Life | None]) -> Iterator[Figure]:
    """Ours with Kafka clients; peers' workers have none, and sleep."""
    rest, what = ours.rest, f"idle, {WORKERS} workers"
    master_ms, zygote_ms, *workers_ms = rest.cpu_ms_per_s
    master_mb = rest.pss_bytes[0] / 1e6
    beside = _told(peers, lambda rest: rest.cpu_ms_per_s[0], "ms")
    yield Figure(f"{what}: CPU of the master a second", f"{master_ms:.2f} ms", beside, master_ms, 0.3, Better.LOWER)
    beside = _told(peers, lambda rest: rest.pss_bytes[0] / 1e6, "MB")
    yield Figure(f"{what}: PSS of the master", f"{master_mb:.1f} MB", beside, master_mb, 40, Better.LOWER)
    without = _told(peers, lambda rest: rest.tree_ms_per_s, "ms")
    beside = (
        f"zygote {zygote_ms:.2f}, a worker {min(workers_ms):.2f}–{max(workers_ms):.2f} ms; without clients: {without}"
    )
    tree_ms, tree_mb = rest.tree_ms_per_s, rest.tree_bytes / 1e6
    yield Figure(f"{what} on Kafka: CPU of the tree a second", f"{tree_ms:.1f} ms", beside, tree_ms, 80, Better.LOWER)
    beside = f"without clients: {_told(peers, lambda rest: rest.tree_bytes / 1e6, 'MB')}"
    yield Figure(f"{what} on Kafka: PSS of the tree", f"{tree_mb:.0f} MB", beside, tree_mb, None)


def _told(peers: Mapping[Peer, Life | None], read: Callable[[Rest], float], unit: str) -> str:
    return told({peer: None if life is None else read(life.rest) for peer, life in peers.items()}, unit)
