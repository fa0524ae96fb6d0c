"""The framework's loop against the bare loop: one process, one topic, JSON decoded, an asynchronous commit a second.

The records are in the client's memory when the watch starts: the broker's own pace would hide the loops'.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator

from benchmarks.brokers import kafka
from benchmarks.figures import Figure
from benchmarks.runs import paired

PARTITIONS = 4
PAIRS = 7
RECORDS = 1_000_000
HOOK_RECORDS = 300_000
BUSY_RECORDS = 150_000
"""Of the same topic, for the handler that takes 20 µs."""


def figures() -> Iterator[Figure]:
    """Both loops, with a handler that does nothing, after a hook as well, and with one that takes 20 µs."""
    with kafka() as server:
        server.create_topic("logins", PARTITIONS)
        _produce(server.brokers, "logins")
        for what, records, handler, bar in (
            ("Kafka loop, trivial handler", RECORDS, "nothing", 0.9),
            ("Kafka loop, trivial handler and a hook before each task", HOOK_RECORDS, "hook", None),
            ("Kafka loop, handler of 20 µs", BUSY_RECORDS, "20us", 0.98),
        ):
            arguments = [server.brokers, "logins", str(records), handler]
            yield paired(what, "benchmarks.kafka_run", arguments, pairs=PAIRS, bar=bar)


def _produce(brokers: str, topic: str) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 50, "queue.buffering.max.messages": 1_000_000})
    numbers = random.Random(7)
    for number in range(RECORDS):
        login = {"platform": number % 3, "uid": numbers.randrange(10**9), "app_id": 100_000 + number % 7, "now": number}
        producer.produce(topic, json.dumps(login).encode(), partition=number % PARTITIONS)
        if number % 10_000 == 0:
            producer.poll(0)
    producer.flush(120)
