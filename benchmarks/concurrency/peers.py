"""One peer whose tasks wait: `python benchmarks/concurrency/peers.py NAME BROKERS TOPIC RECORDS`, by itself installed.

A hundred tasks at once, 5 ms each, as its documentation has it. Prints its pace from the first tenth of the records on.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
import time
import uuid
from collections.abc import Callable
from typing import Any

WIDTH = 100
TASK_S = 0.005


class Pace:
    """Ends the process when all tasks have been handled."""

    def __init__(self, records: int) -> None:
        self._records, self._handled, self._began = records, 0, 0.0

    async def __call__(self) -> None:
        await asyncio.sleep(TASK_S)
        self._handled += 1
        if self._handled == self._records // 10:
            self._began = time.perf_counter()
        elif self._handled == self._records:
            rate = (self._records - self._records // 10) / (time.perf_counter() - self._began)
            os.write(1, f"{json.dumps({'pace': rate})}\n".encode())
            os._exit(0)


async def aiokafka(brokers: str, topic: str, pace: Pace) -> None:
    """Iterated, with a semaphore."""
    from aiokafka import AIOKafkaConsumer

    room, running = asyncio.Semaphore(WIDTH), set[asyncio.Task[None]]()

    async def handle(payload: bytes) -> None:
        json.loads(payload)
        try:
            await pace()
        finally:
            room.release()

    group = uuid.uuid4().hex
    async with AIOKafkaConsumer(
        topic, bootstrap_servers=brokers, group_id=group, auto_offset_reset="earliest"
    ) as consumer:
        async for message in consumer:
            await room.acquire()
            task = asyncio.create_task(handle(message.value))
            running.add(task)
            task.add_done_callback(running.discard)


async def faststream(brokers: str, topic: str, pace: Pace) -> None:
    """`max_workers`."""
    from faststream import FastStream
    from faststream.kafka import KafkaBroker

    broker = KafkaBroker(brokers, logger=None)

    @broker.subscriber(topic, group_id=uuid.uuid4().hex, auto_offset_reset="earliest", max_workers=WIDTH)  # type: ignore[untyped-decorator]  # it has no types here
    async def handle(record: dict[str, Any]) -> None:
        await pace()

    await FastStream(broker, logger=None).run()


PEERS: dict[str, Callable[..., Any]] = {"aiokafka": aiokafka, "faststream": faststream}

if __name__ == "__main__":
    name, brokers, topic, records = sys.argv[1:]
    asyncio.run(PEERS[name](brokers, topic, Pace(int(records))))
