"""One peer on a topic: `python -m benchmarks.kafka.peers NAME BROKERS TOPIC RECORDS`, in an environment of its own.

Each as its documentation has it: one process, JSON decoded, a trivial handler, its own way to commit. It handles until
it is ended.
"""

from __future__ import annotations

import asyncio
import sys
import uuid
from collections.abc import Callable
from typing import Any

import orjson

from benchmarks.kafka.count import Count

Handle = Callable[..., None]


def aiokafka(brokers: str, topic: str, count: Count) -> None:
    """`getmany`, and a commit a second by itself."""
    from aiokafka import AIOKafkaConsumer

    async def run() -> None:
        consumer = AIOKafkaConsumer(
            topic,
            bootstrap_servers=brokers,
            group_id=uuid.uuid4().hex,
            auto_offset_reset="earliest",
            auto_commit_interval_ms=1000,
        )
        handle = _handler(count)
        async with consumer:
            while True:
                for records in (await consumer.getmany(timeout_ms=200, max_records=500)).values():
                    for record in records:
                        handle(record.offset, orjson.loads(record.value))

    asyncio.run(run())


def faststream(brokers: str, topic: str, count: Count) -> None:
    """A handler for each record."""
    _faststream(brokers, topic, lambda record: count())


def faststream_batch(brokers: str, topic: str, count: Count) -> None:
    """A handler for up to 500 of them."""
    _faststream(brokers, topic, lambda records: count.add(len(records)), batch=True, max_records=500)


def _faststream(brokers: str, topic: str, note: Callable[[Any], None], **options: Any) -> None:
    from faststream import FastStream
    from faststream.kafka import KafkaBroker

    broker = KafkaBroker(brokers, logger=None)
    subscriber = broker.subscriber(topic, group_id=uuid.uuid4().hex, auto_offset_reset="earliest", **options)

    if options:

        @subscriber  # type: ignore[untyped-decorator]  # what is installed there, the type checker does not know
        async def handle_batch(records: list[dict[str, Any]]) -> None:
            note(records)

    else:

        @subscriber  # type: ignore[untyped-decorator]  # as above
        async def handle(record: dict[str, Any]) -> None:
            note(record)

    asyncio.run(FastStream(broker, logger=None).run())


def quixstreams(brokers: str, topic: str, count: Count) -> None:
    """A function for each value of a stream."""
    from quixstreams import Application

    app = Application(
        broker_address=brokers,
        consumer_group=uuid.uuid4().hex,
        auto_offset_reset="earliest",
        auto_create_topics=False,
        loglevel=None,
    )
    frame = app.dataframe(app.topic(topic, value_deserializer="json"))
    frame.update(lambda value: count())
    app.run()


def kafka_python(brokers: str, topic: str, count: Count) -> None:
    """Iterated, and a commit a second by itself."""
    from kafka import KafkaConsumer

    handle = _handler(count)
    consumer = KafkaConsumer(
        topic,
        bootstrap_servers=brokers,
        group_id=uuid.uuid4().hex,
        auto_offset_reset="earliest",
        auto_commit_interval_ms=1000,
    )
    for message in consumer:
        handle(message.offset, orjson.loads(message.value))


def _handler(count: Count) -> Handle:
    def handle(offset: int, record: object) -> None:
        count()

    return handle


PEERS: dict[str, Callable[[str, str, Count], None]] = {
    "aiokafka": aiokafka,
    "faststream": faststream,
    "faststream_batch": faststream_batch,
    "quixstreams": quixstreams,
    "kafka_python": kafka_python,
}

if __name__ == "__main__":
    name, brokers, topic, records = sys.argv[1:]
    PEERS[name](brokers, topic, Count(int(records)))
