"""What a careful person writes by hand on the bare client, with our decoder and commit pattern.

`python -m benchmarks.kafka.bare BROKERS TOPIC RECORDS [auto]` counts records until it is ended; with `auto` by the
shortest loop there is.
"""

from __future__ import annotations

import sys
import time
import uuid
from typing import Any

import orjson

from benchmarks.handlers import Handler
from benchmarks.kafka.count import Count
from benchmarks.runs import Watch

BATCH = 500
COMMIT_INTERVAL_S = 1.0
MAX_UNSETTLED = 10_000


def run_bare(brokers: str, topic: str, handler: Handler, watch: Watch, **properties: Any) -> None:
    """Batches, errors looked at, asynchronous commits once a second or after 2,500 records, one on its way, no more
    than 10,000 records not confirmed. Its queue rests as long as ours: else it would wait for most of the time."""
    from confluent_kafka import Consumer, TopicPartition

    handled = sent = confirmed = 0
    is_outstanding = False

    def answered(error: object, _: object) -> None:
        nonlocal is_outstanding, confirmed
        if error is not None and positions:
            raise RuntimeError(error)
        is_outstanding, confirmed = False, sent

    consumer = Consumer(
        {
            "bootstrap.servers": brokers,
            "group.id": uuid.uuid4().hex,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "partition.assignment.strategy": "cooperative-sticky",
            "fetch.queue.backoff.ms": 50,
            "on_commit": answered,
            **properties,
        }
    )
    consumer.subscribe([topic])
    committed_at = time.monotonic()
    positions: dict[int, int] = {}
    while not watch.passed(handled):
        if handled - confirmed >= MAX_UNSETTLED:
            time.sleep(0.0005)
            messages = consumer.consume(1, 0)
        else:
            messages = consumer.consume(BATCH, 0.2)
        for message in messages:
            if message.error():
                raise RuntimeError(message.error())
            handler(offset=message.offset(), record=orjson.loads(message.value()))
            positions[message.partition()] = message.offset() + 1
            handled += 1
        is_due = handled - confirmed >= MAX_UNSETTLED // 4 or time.monotonic() - committed_at > COMMIT_INTERVAL_S
        if is_due and positions and not is_outstanding:
            committed_at, is_outstanding, sent = time.monotonic(), True, handled
            offsets = [TopicPartition(topic, partition, offset) for partition, offset in positions.items()]
            consumer.commit(offsets=offsets, asynchronous=True)
    consumer.close()


def run_auto(brokers: str, topic: str, handler: Handler) -> None:
    """The shortest loop: the client commits by itself, every five seconds, what it has handed out, done or not."""
    from confluent_kafka import Consumer

    consumer = Consumer({"bootstrap.servers": brokers, "group.id": uuid.uuid4().hex, "auto.offset.reset": "earliest"})
    consumer.subscribe([topic])
    while True:
        for message in consumer.consume(BATCH, 0.2):
            if message.error() is None:
                handler(offset=message.offset(), record=orjson.loads(message.value()))


class _Endless:
    def passed(self, handled: int) -> bool:
        return False


def main() -> None:
    brokers, topic, records, *auto = sys.argv[1:]
    count = Count(int(records))

    def handle(offset: int, record: object) -> None:
        count()

    if auto:
        run_auto(brokers, topic, handle)
    run_bare(brokers, topic, handle, _Endless())


if __name__ == "__main__":
    main()
