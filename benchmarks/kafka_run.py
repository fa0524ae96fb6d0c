"""One run of one loop, in a process of its own: `python -m benchmarks.kafka_run LOOP BROKERS TOPIC RECORDS HANDLER`.

Prints how many records were handled in how many seconds, the first tenth left out.
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import orjson

BATCH = 500
COMMIT_INTERVAL_S = 1.0


class Stopwatch:
    """Runs from the first tenth of the records to the last."""

    def __init__(self, records: int) -> None:
        self._from, self._to = records // 10, records
        self._started: tuple[int, float] | None = None
        self.answer: dict[str, float] | None = None

    def passed(self, handled: int) -> bool:
        """Note how many are handled; true when all are."""
        now = time.perf_counter()
        if self._started is None and handled >= self._from:
            self._started = (handled, now)
        if handled >= self._to and self.answer is None:
            assert self._started is not None
            self.answer = {"records": handled - self._started[0], "seconds": now - self._started[1]}
        return self.answer is not None


def handle_nothing(*, offset: int, record: object) -> None:
    """The trivial handler."""


def handle_20us(*, offset: int, record: object) -> None:
    """Busy for 20 µs."""
    until = time.perf_counter() + 20e-6
    while time.perf_counter() < until:
        pass


HANDLERS: dict[str, Callable[..., None]] = {"nothing": handle_nothing, "20us": handle_20us}


def run_bare(brokers: str, topic: str, handler: Callable[..., None], watch: Stopwatch) -> None:
    """What a careful person writes by hand: batches, errors looked at, an asynchronous commit once a second."""
    from confluent_kafka import Consumer, TopicPartition

    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "partition.assignment.strategy": "cooperative-sticky",
        }
    )
    consumer.subscribe([topic])
    handled, committed_at = 0, time.monotonic()
    positions: dict[int, int] = {}
    while not watch.passed(handled):
        for message in consumer.consume(BATCH, 0.2):
            if message.error():
                raise RuntimeError(message.error())
            handler(offset=message.offset(), record=orjson.loads(message.value()))
            positions[message.partition()] = message.offset() + 1
            handled += 1
        if time.monotonic() - committed_at > COMMIT_INTERVAL_S:
            committed_at = time.monotonic()
            offsets = [TopicPartition(topic, partition, offset) for partition, offset in positions.items()]
            consumer.commit(offsets=offsets, asynchronous=True)
    consumer.close()


def run_consumerd(brokers: str, topic: str, handler: Callable[..., None], watch: Stopwatch) -> None:
    """A consumer of ours in the foreground, stopped when the records are handled."""
    from consumerd import KafkaBaseConsumer
    from consumerd.sources.kafka import source as kafka_source

    class Benchmarked(KafkaBaseConsumer):
        handle_task = staticmethod(handler)

    fetch = kafka_source.KafkaSource.fetch

    def watched_fetch(self: Any, limit: int, timeout_s: float) -> Any:  # the source itself, once a batch
        if watch.answer is None and watch.passed(consumer.number_of_consumed):
            os.kill(os.getpid(), 15)
        return fetch(self, limit, timeout_s)

    kafka_source.KafkaSource.fetch = watched_fetch  # type: ignore[method-assign]
    consumer = Benchmarked(0, brokers=brokers, topic_name=topic, consumer_group=uuid.uuid4().hex)
    consumer.consume()


LOOPS = {"bare": run_bare, "consumerd": run_consumerd}


def main() -> None:
    loop, brokers, topic, records, handler = sys.argv[1:]
    watch = Stopwatch(int(records))
    with tempfile.TemporaryDirectory() as state:
        os.environ["XDG_STATE_HOME"] = os.environ["CONSUMERD_STATE_DIR"] = str(Path(state))
        LOOPS[loop](brokers, topic, HANDLERS[handler], watch)
    print(json.dumps(watch.answer))


if __name__ == "__main__":
    main()
