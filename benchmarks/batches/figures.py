"""Logins from a real Kafka into a real MariaDB: one statement each, as the post has it, and `handle_batch`.

The users are drawn by Zipf's law, as real ones log in: few very often, most of them once.
"""

from __future__ import annotations

import itertools
import json
import random
import statistics
import subprocess
import sys
from collections.abc import Iterator

from benchmarks.brokers import database_server, kafka
from benchmarks.figures import Figure, ratio_of_medians, spread

USERS = 100_000
EXPONENT = 1.0
RECORDS = 300_000
PARTITIONS = 4
RUNS = 3
BAR = 10.0

WAYS = {
    "each": 20_000,
    "batch": 200_000,
    "coalesced": RECORDS,
    "behind": RECORDS,
}
"""The ways, and how many records each of them handles."""

WORDS = {
    "batch": "handle_batch, 500 rows a statement",
    "coalesced": "handle_batch, coalesced by user",
    "behind": "handle_batch, coalesced over a second",
}


def figures() -> Iterator[Figure]:
    """Their pace beside that of one statement each, and how many statements and rows they need for a record."""
    found: dict[str, list[dict[str, float]]] = {way: [] for way in WAYS}
    with kafka() as broker, database_server("MariaDB") as server, server.fresh_database() as url:
        _make_durable(url)
        broker.create_topic("logins", PARTITIONS)
        _produce(broker.brokers, "logins")
        for way in [*WAYS] * RUNS:
            found[way].append(_run(way, broker.brokers, url))
    each = [run["pace"] for run in found["each"]]
    for way, words in WORDS.items():
        ours = [run["pace"] for run in found[way]]
        statements = statistics.median(run["statements"] for run in found[way])
        rows = statistics.median(run["rows"] for run in found[way])
        what = f"{words}: {statements:.5f} statements and {rows:.2f} rows a record"
        beside = f"one statement each {spread(each, ',.0f')}/s"
        yield Figure(what, f"{spread(ours, ',.0f')}/s", beside, ratio_of_medians(ours, each), BAR)


def _make_durable(url: str) -> None:
    """A commit waits for the disk, as MariaDB is installed; the server of the tests does without."""
    from sqlalchemy import create_engine, text

    engine = create_engine(url)
    with engine.connect() as connection:
        connection.execute(text("SET GLOBAL innodb_flush_log_at_trx_commit = 1"))
    engine.dispose()


def _produce(brokers: str, topic: str) -> None:
    """A user's logins are in one partition, as by the key that the client's own partitioner takes."""
    from confluent_kafka import Producer

    producer = Producer({"bootstrap.servers": brokers, "linger.ms": 50, "queue.buffering.max.messages": 1_000_000})
    weights = list(itertools.accumulate(1 / rank**EXPONENT for rank in range(1, USERS + 1)))
    users = random.Random(7).choices(range(USERS), cum_weights=weights, k=RECORDS)
    for number, uid in enumerate(users):
        login = {"platform": 1, "uid": uid, "app_id": 100_001, "now": 1_700_000_000 + number // 1000}
        producer.produce(topic, json.dumps(login).encode(), key=str(uid).encode())
        if number % 10_000 == 0:
            producer.poll(0)
    producer.flush(120)


def _run(way: str, brokers: str, url: str) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks.batches.run", way, brokers, "logins", url, str(WAYS[way])]
    found = subprocess.run(command, capture_output=True, text=True, check=False, timeout=300)
    if found.returncode:
        raise RuntimeError(f"{' '.join(command)} failed: {found.stderr}")
    answer: dict[str, float] = json.loads(found.stdout.splitlines()[-1])
    return answer
