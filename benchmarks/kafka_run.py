"""One run of one loop, in a process of its own: `python -m benchmarks.kafka_run LOOP BROKERS TOPIC RECORDS HANDLER`.

Prints its pace, in records a second.
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
MAX_UNSETTLED = 10_000
HEAD_START_S = 5.0
READ_AHEAD = {"queued.min.messages": 10_000_000, "queued.max.messages.kbytes": 2_000_000}
"""librdkafka reads as far ahead as it may; the bare loop's and ours alike."""


def run_bare(brokers: str, topic: str, handler: Handler, watch: Stopwatch) -> None:
    """What a careful person writes by hand, with our commit pattern: batches, errors looked at, asynchronous commits
    once a second or after 2,500 records, one on its way, no more than 10,000 records not confirmed."""
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
            "on_commit": answered,
            **READ_AHEAD,
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


def run_consumerd(brokers: str, topic: str, handler: Handler, watch: Stopwatch) -> None:
    """A consumer of ours in the foreground."""
    from consumerd import KafkaBaseConsumer

    configs = {"brokers": brokers, "topic_name": topic, "consumer_group": uuid.uuid4().hex, **READ_AHEAD}
    consume(KafkaBaseConsumer, handler, watch, configs)


def main() -> None:
    loop, brokers, topic, records, handler = sys.argv[1:]
    watch = Stopwatch(int(records), HEAD_START_S)
    run = {"bare": run_bare, "consumerd": run_consumerd}[loop]
    run(brokers, topic, HANDLERS[handler], watch)
    print(json.dumps(watch.answer))


if __name__ == "__main__":
    main()
