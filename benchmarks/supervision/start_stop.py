"""Many workers started, and stopped: from the execution of their supervisor, and from its SIGTERM."""

from __future__ import annotations

import statistics
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from benchmarks.figures import Better, Figure, spread
from benchmarks.running import Running, RunningMaster
from benchmarks.supervision.life import Life, all_told, lived
from benchmarks.supervision.peers import Peer

WORKERS = 64
RUNS = 5
SETTLE_S = 3.0
REST_S = 12.0
"""A peer's tree is at rest for so long; ours is looked at with Kafka."""


@dataclass(frozen=True)
class OwnStart:
    """forked_s: from the loaded code until the last worker handled a task."""

    life: Life
    forked_s: float


def own_starts() -> list[OwnStart]:
    """So many runs, with tasks from memory, one a worker."""
    return [_own_start() for _ in range(RUNS)]


def _own_start() -> OwnStart:
    forked_s = 0.0

    def await_start(running: Running) -> float:
        nonlocal forked_s
        start_s = all_told(WORKERS)(running)
        started_wall_s = time.time() - (time.monotonic() - (running.begun_ns / 1e9 + start_s))
        forked_s = started_wall_s - _loaded_at(master)
        return start_s

    with RunningMaster.of_pool("benchmarks.consumers:Announcing", WORKERS, {"count": WORKERS}) as master:
        life = lived(master, await_start, settle_s=SETTLE_S, rest_s=0.1)
    return OwnStart(life, forked_s)


def _loaded_at(master: RunningMaster) -> float:
    """When the master heard that its zygote had imported the code, by the wall clock."""
    return datetime.fromisoformat(master.logged("consumer_loaded")[0]["timestamp"]).timestamp()


def peer_lives(peers: Sequence[Peer]) -> dict[Peer, Life | None]:
    """Of each peer's workers one run; None where they do not start."""
    return {peer: _peer_life(peer) for peer in peers}


def _peer_life(peer: Peer) -> Life | None:
    with Running(peer.command(WORKERS, False)) as running:
        try:
            return lived(running, all_told(WORKERS), settle_s=SETTLE_S, rest_s=REST_S)
        except TimeoutError:
            return None


def figures(ours: Sequence[OwnStart], on_kafka: Life, peers: Mapping[Peer, Life | None]) -> Iterator[Figure]:
    """The medians of our runs, beside what peers take."""
    started = [start.life.start_s for start in ours]
    forked = [start.forked_s for start in ours]
    stopped = [start.life.stop_s for start in ours]
    starts = {peer: None if life is None else life.start_s for peer, life in peers.items()}
    stops = {peer: None if life is None else life.stop_s for peer, life in peers.items()}
    what = f"{WORKERS} workers in their loops"
    yield _seconds(f"{what} after `consumerd run`", started, told(starts, "s"), 1.0)
    yield _seconds(f"{what} after their zygote has loaded", forked, f"{len(ours)} runs", 0.35)
    yield _seconds(f"{WORKERS} workers stopped", stopped, told(stops, "s"), 0.3)
    yield _seconds(f"{WORKERS} idle Kafka workers stopped", [on_kafka.stop_s], "one run", 3.0)


def told(values: Mapping[Peer, float | None], unit: str) -> str:
    """One value of each peer, in words where there is none."""
    return "; ".join(
        f"{peer} " + ("never" if value is None else f"{value:.3g} {unit}") for peer, value in values.items()
    )


def _seconds(what: str, values: Sequence[float], beside: str, bar: float) -> Figure:
    ours = f"{values[0]:.2f} s" if len(values) == 1 else f"{spread(values, '.2f')} s"
    return Figure(what, ours, beside, statistics.median(values), bar, Better.LOWER)
