"""Consumers in order by key that write down when each attempt begins and how it ends, one write a line, in a file of
their process. How long an attempt takes, and whether it fails, is drawn from the task and the attempt.
"""

from __future__ import annotations

import asyncio
import os
import random
import time
from pathlib import Path
from typing import Any

from consumerd import Dead, KafkaBaseConsumer

LONGEST_S = 0.01


class KeyedTasks(KafkaBaseConsumer):
    """In threads."""

    RETRY_BASIC_INTERVAL = 0.02

    def pre_consume(self) -> None:
        self._pid = os.getpid()
        path = Path(self.config["history"]) / str(self._pid)
        self._history = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def handle_task(self, offset: int, record: dict[str, Any]) -> object:
        self.write("begin", record)
        seconds, how = self.drawn(record)
        time.sleep(seconds)
        return self.end(how, record)

    def drawn(self, record: dict[str, Any]) -> tuple[float, str]:
        """How long it takes, and how it ends."""
        attempt = self.attempt
        numbers = random.Random(f"{record} {attempt}")
        seconds, number = numbers.uniform(0, LONGEST_S), numbers.random()
        if number < 0.1 and attempt <= self.config["task_retry_times"]:
            return seconds, "failed"
        return seconds, "dead" if number > 0.995 else "done"

    def end(self, how: str, record: dict[str, Any]) -> object:
        self.write(how, record)
        if how == "failed":
            raise ValueError("it was drawn to fail")
        return Dead("it was drawn") if how == "dead" else None

    def write(self, what: str, record: dict[str, Any]) -> None:
        line = f"{what} {record['key']} {record['number']} {self._pid} {time.monotonic_ns()}\n"
        os.write(self._history, line.encode())


class AwaitedKeyedTasks(KeyedTasks):
    """On an event loop."""

    async def handle_task(self, offset: int, record: dict[str, Any]) -> object:  # type: ignore[override]  # both may be
        self.write("begin", record)
        seconds, how = self.drawn(record)
        await asyncio.sleep(seconds)
        return self.end(how, record)


class SlowTasks(KafkaBaseConsumer):
    """Each takes so long, in threads."""

    def handle_task(self, offset: int, record: dict[str, Any]) -> None:
        self.write("begin", record)
        time.sleep(self.config["task_s"])
        self.write("end", record)

    def write(self, what: str, record: dict[str, Any]) -> None:
        with open(self.config["history"], "a") as history:  # noqa: PTH123 - a line a write, from several processes
            history.write(f"{what} {record['number']} {os.getpid()}\n")


class AwaitedSlowTasks(SlowTasks):
    """The same on an event loop."""

    async def handle_task(self, offset: int, record: dict[str, Any]) -> None:  # type: ignore[override]  # both may be
        self.write("begin", record)
        await asyncio.sleep(self.config["task_s"])
        self.write("end", record)
