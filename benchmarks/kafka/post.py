"""The loop of the post that consumerd comes from, under nothing.

`python -m benchmarks.kafka.post BROKERS TOPIC RECORDS`. Written anew after it: hooks before and after each task, a try,
a look at the clock, a generator that decodes. Its client is polled for each record, and commits by itself.
"""

from __future__ import annotations

import logging
import sys
import time
import uuid
from collections.abc import Iterator

import orjson

from benchmarks.kafka.count import Count

log = logging.getLogger(__name__)


class Base:
    """What it calls `BaseConsumer`, as far as one worker needs it."""

    task_retry_times = 0
    reload_interval = 300
    retry_basic_interval = 0.1

    def __init__(self, worker_id: int, **config: str) -> None:
        self.worker_id = worker_id
        self.config = config
        self.number_of_consumed = 0

    def consume(self) -> None:
        """Handle what `iterate_task` gives, one by one."""
        reloaded_at = 0.0
        for offset, record in self.iterate_task():
            now = time.time()
            if now - reloaded_at > self.reload_interval:
                self.reload_config()
                reloaded_at = now
            if self.can_stop_consume():
                break
            self.pre_handle_task()
            self._attempt(offset, record)
            self.post_handle_task()
            self.number_of_consumed += 1

    def _attempt(self, offset: int, record: object) -> None:
        for tried in range(self.task_retry_times + 1):
            try:
                self.handle_task(offset=offset, record=record)
                break
            except Exception:
                log.exception("offset %d of worker %d", offset, self.worker_id)
                time.sleep(self.retry_basic_interval * tried)

    def iterate_task(self) -> Iterator[tuple[int, object]]:
        raise NotImplementedError

    def handle_task(self, offset: int, record: object) -> None:
        raise NotImplementedError

    def reload_config(self) -> None: ...

    def can_stop_consume(self) -> bool:
        return False

    def pre_handle_task(self) -> None: ...

    def post_handle_task(self) -> None: ...


class OnKafka(Base):
    """What it calls `KafkaBaseConsumer`."""

    def iterate_task(self) -> Iterator[tuple[int, object]]:
        for offset, value in self._received():
            yield offset, orjson.loads(value)

    def _received(self) -> Iterator[tuple[int, bytes]]:
        from confluent_kafka import Consumer

        settings = {"bootstrap.servers": self.config["brokers"], "group.id": uuid.uuid4().hex}
        client = Consumer({**settings, "auto.offset.reset": "earliest"})
        client.subscribe([self.config["topic_name"]])
        while True:
            message = client.poll(1.0)
            if message is not None and message.error() is None:
                yield message.offset(), message.value()  # type: ignore[misc]  # a record has both


def main() -> None:
    brokers, topic, records = sys.argv[1:]
    count = Count(int(records))

    class Counting(OnKafka):
        def handle_task(self, offset: int, record: object) -> None:
            count()

    Counting(0, brokers=brokers, topic_name=topic).consume()


if __name__ == "__main__":
    main()
