"""One run of one loop, in a process of its own: `python -m benchmarks.kafka_run LOOP BROKERS TOPIC RECORDS HANDLER`.

Prints how many records were handled in how many seconds.
"""

from __future__ import annotations

import json
import sys
import time
import uuid

import orjson

from benchmarks.handlers import HANDLERS, Handler, consume
from benchmarks.runs import Stopwatch

BATCH = 500
COMMIT_INTERVAL_S = 1.0


def run_bare(brokers: str, topic: str, handler: Handler, watch: Stopwatch) -> None:
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


def run_consumerd(brokers: str, topic: str, handler: Handler, watch: Stopwatch) -> None:
    """A consumer of ours in the foreground."""
    from consumerd import KafkaBaseConsumer

    configs = {"brokers": brokers, "topic_name": topic, "consumer_group": uuid.uuid4().hex}
    consume(KafkaBaseConsumer, handler, watch, configs)


def main() -> None:
    loop, brokers, topic, records, handler = sys.argv[1:]
    watch = Stopwatch(int(records))
    run = {"bare": run_bare, "consumerd": run_consumerd}[loop]
    run(brokers, topic, HANDLERS[handler], watch)
    print(json.dumps(watch.answer))


if __name__ == "__main__":
    main()
