"""One run of one loop whose tasks wait: `python -m benchmarks.concurrency.run LOOP BROKERS TOPIC RECORDS HANDLER`.

A hundred tasks at once, 5 ms each. LOOP is `bare` or `consumerd`; HANDLER is `async`, `threads`, or `keyed`, an event
loop in order by key, which the bare one is not. Prints the pace, in records a second.
"""

from __future__ import annotations

import asyncio
import json
import sys
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import orjson

from benchmarks.handlers import consume
from benchmarks.runs import Stopwatch

WIDTH = 100
TASK_S = 0.005
HEAD_START_S = 3.0
COMMIT_INTERVAL_S = 1.0


def handle_waiting(offset: int, record: object) -> None:
    """It waits for an answer."""
    time.sleep(TASK_S)


async def handle_awaiting(offset: int, record: object) -> None:
    """The same."""
    await asyncio.sleep(TASK_S)


class Bare:
    """A consumer as a careful person has it; the position is committed once a second."""

    def __init__(self, brokers: str, topic: str, watch: Stopwatch) -> None:
        from confluent_kafka import Consumer

        self._consumer = Consumer(
            {
                "bootstrap.servers": brokers,
                "group.id": uuid.uuid4().hex,
                "auto.offset.reset": "earliest",
                "enable.auto.commit": False,
            }
        )
        self._consumer.subscribe([topic])
        self._watch = watch
        self._committed_at = time.monotonic()
        self.handled = 0
        self.is_over = False

    def records(self, wait_s: float) -> Iterator[tuple[int, Any]]:  # JSON
        """Those that have come, decoded."""
        for message in self._consumer.consume(WIDTH, wait_s):
            if message.error():
                raise RuntimeError(message.error())
            yield message.offset(), orjson.loads(message.value())
        if self.handled and time.monotonic() - self._committed_at > COMMIT_INTERVAL_S:
            self._committed_at = time.monotonic()
            self._consumer.commit(asynchronous=True)

    def note(self) -> None:
        """One more is handled."""
        self.handled += 1
        if self.handled % WIDTH == 0:
            self.is_over = self._watch.passed(self.handled)


def run_bare_async(bare: Bare) -> None:
    """An event loop with a semaphore."""

    async def run() -> None:
        room, running = asyncio.Semaphore(WIDTH), set[asyncio.Task[None]]()

        async def handle(offset: int, record: object) -> None:
            try:
                await handle_awaiting(offset=offset, record=record)
                bare.note()
            finally:
                room.release()

        while not bare.is_over:
            for offset, record in bare.records(0.0 if running else 0.2):
                await room.acquire()
                task = asyncio.create_task(handle(offset, record))
                running.add(task)
                task.add_done_callback(running.discard)
            await asyncio.sleep(0)

    asyncio.run(run())


def run_bare_threads(bare: Bare) -> None:
    """A pool of threads, with as many tasks again before it."""
    room, lock = threading.Semaphore(2 * WIDTH), threading.Lock()

    def handle(offset: int, record: object) -> None:
        try:
            handle_waiting(offset=offset, record=record)
            with lock:
                bare.note()
        finally:
            room.release()

    with ThreadPoolExecutor(WIDTH) as pool:
        while not bare.is_over:
            for offset, record in bare.records(0.2):
                room.acquire()
                pool.submit(handle, offset, record)


def run_consumerd(brokers: str, topic: str, handler: str, watch: Stopwatch) -> None:
    """A consumer of ours in the foreground."""
    from consumerd import KafkaBaseConsumer

    configs: dict[str, Any] = {  # keys have any type
        "brokers": brokers,
        "topic_name": topic,
        "consumer_group": uuid.uuid4().hex,
        "concurrency": WIDTH,
    }
    if handler == "keyed":
        configs["ordered"] = "key"
    consume(KafkaBaseConsumer, handle_waiting if handler == "threads" else handle_awaiting, watch, configs)


def main() -> None:
    loop, brokers, topic, records, handler = sys.argv[1:]
    watch = Stopwatch(int(records), HEAD_START_S)
    if loop == "consumerd":
        run_consumerd(brokers, topic, handler, watch)
    else:
        (run_bare_threads if handler == "threads" else run_bare_async)(Bare(brokers, topic, watch))
    print(json.dumps(watch.answer))


if __name__ == "__main__":
    main()
