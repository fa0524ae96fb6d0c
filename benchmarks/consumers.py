"""The consumers that the benchmarks run."""

from __future__ import annotations

import asyncio
import os
import time
from typing import Any, ClassVar

from pydantic import BaseModel

from benchmarks.hello import announce
from benchmarks.kafka.count import Count
from consumerd import BaseConsumer, KafkaBaseConsumer, TableBaseConsumer


class Announcing(BaseConsumer):
    """Numbered tasks from memory, a millisecond each; tells the benchmark of its first one."""

    SOURCE: ClassVar[str] = "memory"
    _has_announced = False

    def handle_task(self, offset: int, record: Any) -> None:
        if not self._has_announced:
            self._has_announced = True
            announce(self.worker_id)
        time.sleep(0.001)


class Crashing(BaseConsumer):
    """Tells the benchmark of it, and ends, as soon as it is to begin."""

    SOURCE: ClassVar[str] = "memory"

    def pre_consume(self) -> None:
        announce(self.worker_id)
        os._exit(1)

    def handle_task(self, offset: int, record: Any) -> None:
        raise AssertionError("it has ended")


class Busy(BaseConsumer):
    """Numbered tasks from memory that take 20 µs of a CPU each."""

    SOURCE: ClassVar[str] = "memory"
    _has_announced = False

    def handle_task(self, offset: int, record: Any) -> None:
        if not self._has_announced:
            self._has_announced = True
            announce(self.worker_id)
        until = time.perf_counter() + 20e-6
        while time.perf_counter() < until:
            pass


class Idle(KafkaBaseConsumer):
    """Subscribed, with nothing to do."""

    def handle_task(self, offset: int, record: Any) -> None:
        raise AssertionError("the topic is empty")


class Receiving(KafkaBaseConsumer):
    """Tells the benchmark of its first task."""

    _has_announced = False

    def handle_task(self, offset: int, record: Any) -> None:
        if not self._has_announced:
            self._has_announced = True
            announce(self.worker_id)


class Counted(KafkaBaseConsumer):
    """Counts its records, as the peers do."""

    class Config(BaseModel):
        records: int

    def pre_consume(self) -> None:
        self._count = Count(self.config["records"])

    def handle_task(self, offset: int, record: Any) -> None:
        self._count()


class Stamping(TableBaseConsumer):
    """Writes down when each task began, into a file in its directory."""

    def handle_task(self, offset: int, record: Any) -> None:
        began_ns = time.monotonic_ns()
        with open("stamps", "a") as stamps:  # noqa: PTH123 - one write to the end of it
            stamps.write(f"{record} {began_ns}\n")


class Waiting(BaseConsumer):
    """Numbered tasks from memory that wait a second for an answer."""

    SOURCE: ClassVar[str] = "memory"

    def handle_task(self, offset: int, record: Any) -> None:
        time.sleep(1.0)


class Awaiting(BaseConsumer):
    """The same on an event loop."""

    SOURCE: ClassVar[str] = "memory"

    async def handle_task(self, offset: int, record: Any) -> None:
        await asyncio.sleep(1.0)
