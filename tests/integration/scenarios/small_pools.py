"""Consumers for the tests of the master: no source but themselves, and each way in which a worker can end."""

from __future__ import annotations

import os
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from consumerd import BaseConsumer, SQLBaseConsumer

Record = dict[str, Any]  # what a generator yields has any shape

DIVIDED_ROWS = 40


class Counting(BaseConsumer):
    """Yields a number now and then, for ever."""

    def iterate_task(self) -> Iterator[tuple[int, Record]]:
        number = 0
        while not self.can_stop_consume():
            yield number, {"id": f"{self.worker_id}-{number}"}
            number += 1
            time.sleep(0.005)

    def handle_task(self, offset: int, record: Record) -> None:
        pass


class Hanging(Counting):
    """Its handler never returns."""

    def handle_task(self, offset: int, record: Record) -> None:
        time.sleep(3600)


class Ending(BaseConsumer):
    """Its source ends after one task."""

    def iterate_task(self) -> Iterator[tuple[int, Record]]:
        yield 0, {"id": "only"}

    def handle_task(self, offset: int, record: Record) -> None:
        pass


class Crashing(Counting):
    """Kills its own process with its first task, until the file `mended` is there."""

    def handle_task(self, offset: int, record: Record) -> None:
        if not Path(self.config["mended"]).exists():
            os._exit(3)


class Spawning(Counting):
    """Its handler starts a child that would outlive it, and tells its pid."""

    def handle_task(self, offset: int, record: Record) -> None:
        if offset == 0:
            child = subprocess.Popen(["sleep", "3600"])
            Path(self.config["children"], f"{child.pid}").touch()


class Shouting(Counting):
    """Writes its descriptors to a file, then shouts on stderr."""

    def pre_consume(self) -> None:
        os.write(2, b"a word from the worker\n")


class Failing(Counting):
    """Each of its first three tasks fails, and is parked."""

    def handle_task(self, offset: int, record: Record) -> None:
        if offset < 3:
            raise ValueError(f"task {offset} fails")


class Dividing(SQLBaseConsumer):
    """Many rows, again and again, divided by the number of workers; a row takes a while, and is written down."""

    def get_next_batch(self) -> list[Record]:
        return [{"id": number} for number in range(DIVIDED_ROWS)]

    def handle_task(self, offset: int, record: Record) -> None:
        with Path(self.config["book"]).open("a") as book:
            book.write(f"begin {record['id']} {os.getpid()} {time.monotonic_ns()}\n")
            book.flush()
            time.sleep(self.config["task_s"])
            book.write(f"end {record['id']} {os.getpid()} {time.monotonic_ns()}\n")
