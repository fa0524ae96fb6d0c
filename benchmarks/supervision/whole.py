"""All figures of supervision, in an order in which nothing is started twice. The peers are measured in the same run."""

from __future__ import annotations

import os
from collections.abc import Iterator

from benchmarks import memory
from benchmarks.brokers import kafka
from benchmarks.figures import Figure
from benchmarks.supervision import crash_loop, idle, kafka_restart, restart, start_stop
from benchmarks.supervision.peers import installed
from benchmarks.supervision.restart import WORKERS
from benchmarks.supervision.start_stop import WORKERS as MANY


def figures() -> Iterator[Figure]:
    """In about ten minutes."""
    peers = installed()
    print(f"load average before: {os.getloadavg()[0]:.2f}", flush=True)
    yield from restart.figures(peers)
    lives = start_stop.peer_lives(peers)
    ours = start_stop.own_starts()
    with kafka() as server:
        server.create_topic("restarts", WORKERS)
        yield from kafka_restart.figures(server.brokers)
        server.create_topic("many", MANY)
        on_kafka = idle.on_kafka(server.brokers, "many")
        yield from start_stop.figures(ours, on_kafka, lives)
        yield from idle.figures(on_kafka, lives)
        yield from memory.figures_on(server.brokers, server.create_topic)
    yield from crash_loop.figures(peers)
    print(f"load average after: {os.getloadavg()[0]:.2f}", flush=True)
