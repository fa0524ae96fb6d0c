"""SIGKILL of a worker on Kafka to its replacement, a static member, handling its partition again."""

from __future__ import annotations

import statistics
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager

from benchmarks.figures import Better, Figure, percentile
from benchmarks.running import RunningMaster
from benchmarks.supervision.restart import NEVER_S, WORKERS, replaced

KILLS = 30
EVERY_S = 0.005
"""So often each partition gets a record: a replacement that has its partition finds one at once."""

REST_S = 1.5
"""Before each kill: a commit a second is confirmed until then."""


def figures(brokers: str) -> Iterator[Figure]:
    """The 95th percentile of so many kills, one after the other. A worker tells of its first record."""
    configs = {"brokers": brokers, "topic_name": "restarts", "consumer_group": "restarts"}
    running = RunningMaster.of_pool("benchmarks.consumers:Receiving", WORKERS, configs)
    with producing(brokers, "restarts"), running as master:
        workers = {hello.slot: hello.pid for hello in master.hellos.gather(WORKERS, NEVER_S)}
        time.sleep(REST_S * 2)
        seconds = list(replaced(master.hellos, workers, KILLS, rest_s=REST_S))
    p95 = percentile(seconds, 95)
    beside = f"{KILLS} kills, {WORKERS} workers and partitions; median {statistics.median(seconds):.2f} s"
    what = "Kafka: SIGKILL → replacement handles the partition, p95"
    yield Figure(what, f"{p95:.2f} s", beside, p95, 2, Better.LOWER)


@contextmanager
def producing(brokers: str, topic: str) -> Iterator[None]:
    """A record for each partition, again and again, until the end."""
    is_over = threading.Event()
    thread = threading.Thread(target=_produce, args=(brokers, topic, is_over))
    thread.start()
    try:
        yield
    finally:
        is_over.set()
        thread.join()


def _produce(brokers: str, topic: str, is_over: threading.Event) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 0})
    while not is_over.wait(EVERY_S):
        for partition in range(WORKERS):
            producer.produce(topic, b"{}", partition=partition)
        producer.poll(0)
    producer.flush(10)
