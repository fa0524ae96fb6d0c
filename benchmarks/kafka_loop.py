"""The framework's loop against the bare loop: one process, one topic, JSON decoded, an asynchronous commit a second."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.brokers import kafka
from benchmarks.figures import Figure, ratio_of_medians, spread

PARTITIONS = 4
PAIRS = 7
TRIVIAL_RECORDS = 1_500_000
BUSY_RECORDS = 150_000
"""Of the same topic, for the handler that takes 20 µs."""


def figures() -> Iterator[Figure]:
    """Both loops, with a handler that does nothing and with one that takes 20 µs."""
    with kafka() as server:
        server.create_topic("logins", PARTITIONS)
        _produce(server.brokers, "logins", TRIVIAL_RECORDS)
        yield _pairs(server.brokers, TRIVIAL_RECORDS, "nothing", 0.9)
        yield _pairs(server.brokers, BUSY_RECORDS, "20us", 0.98)


def _pairs(brokers: str, records: int, handler: str, bar: float) -> Figure:
    rates: dict[str, list[float]] = {"bare": [], "consumerd": []}
    for pair in range(PAIRS):
        order = ("bare", "consumerd") if pair % 2 else ("consumerd", "bare")
        for loop in order:
            rates[loop].append(_rate(loop, brokers, records, handler))
    ratios = [ours / bare for ours, bare in zip(rates["consumerd"], rates["bare"], strict=True)]
    return Figure(
        f"Kafka loop, handler: {handler}",
        f"{statistics.median(rates['consumerd']):,.0f}/s",
        f"bare loop {statistics.median(rates['bare']):,.0f}/s; ratio a pair {spread(ratios, '.3f')}",
        ratio_of_medians(rates["consumerd"], rates["bare"]),
        bar,
    )


def _rate(loop: str, brokers: str, records: int, handler: str) -> float:
    command = [sys.executable, "-m", "benchmarks.kafka_run", loop, brokers, "logins", str(records), handler]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if found.returncode:
        raise RuntimeError(f"the {loop} loop failed: {found.stderr}")
    answer = json.loads(found.stdout.splitlines()[-1])
    return float(answer["records"]) / float(answer["seconds"])


def _produce(brokers: str, topic: str, records: int) -> None:
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 50, "queue.buffering.max.messages": 1_000_000})
    numbers = random.Random(7)
    for number in range(records):
        login = {"platform": number % 3, "uid": numbers.randrange(10**9), "app_id": 100_000 + number % 7, "now": number}
        producer.produce(topic, json.dumps(login).encode(), partition=number % PARTITIONS)
        if number % 10_000 == 0:
            producer.poll(0)
    producer.flush(120)
