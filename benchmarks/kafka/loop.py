"""The framework's loop against the bare loop: one process, one topic, JSON decoded, an asynchronous commit a second.

The records are in the client's memory when the watch starts: the broker's own pace would hide the loops'.
"""

from __future__ import annotations

import random
from collections.abc import Iterator

import orjson

from benchmarks.brokers import kafka
from benchmarks.figures import Figure
from benchmarks.kafka import whole
from benchmarks.runs import paired

PARTITIONS = 4
PAIRS, FEW_PAIRS = 7, 3
RECORDS = 1_000_000
WHOLE_RECORDS = 2_000_000
"""For whole commands, in a topic of their own."""

HOOK_RECORDS = 300_000
BUSY_RECORDS = 100_000
"""Of the same topic, for the handler that takes 20 µs."""


def figures() -> Iterator[Figure]:
    """Both loops, with a handler that does nothing, after a hook as well, and with one that takes 20 µs; and whole
    commands."""
    with kafka() as server:
        server.create_topic("logins", PARTITIONS)
        produce(server.brokers, "logins", RECORDS)
        for what, records, handler, pairs, bar in (
            ("Kafka loop, trivial handler", RECORDS, "nothing", PAIRS, 0.9),
            ("Kafka loop, trivial handler and a hook before each task", HOOK_RECORDS, "hook", FEW_PAIRS, None),
            ("Kafka loop, handler of 20 µs", BUSY_RECORDS, "20us", FEW_PAIRS, 0.98),
        ):
            arguments = [server.brokers, "logins", str(records), handler]
            yield paired(what, "benchmarks.kafka.run", arguments, pairs=pairs, bar=bar)
        server.create_topic("whole", PARTITIONS)
        produce(server.brokers, "whole", WHOLE_RECORDS)
        yield from whole.figures(server.brokers, "whole", WHOLE_RECORDS)


def produce(brokers: str, topic: str, records: int, headers: list[tuple[str, bytes]] | None = None) -> None:
    """Logins as small JSON objects, over all partitions in turn."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 50, "queue.buffering.max.messages": 1_000_000})
    numbers = random.Random(7)
    for number in range(records):
        login = {"platform": number % 3, "uid": numbers.randrange(10**9), "app_id": 100_000 + number % 7, "now": number}
        producer.produce(topic, orjson.dumps(login), partition=number % PARTITIONS, headers=headers)
        if number % 10_000 == 0:
            producer.poll(0)
    producer.flush(120)
