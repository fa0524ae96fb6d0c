"""Consumers for the drills: all is well with them until a file in their directory, `marks_in`, says otherwise."""

from __future__ import annotations

import os
import threading
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from consumerd import BaseConsumer, KafkaBaseConsumer, ScheduleBaseConsumer, SQLBaseConsumer, TableBaseConsumer

Record = dict[str, Any]  # what a source yields has any shape

BATCH = 50
KEPT: list[bytes] = []
"""What leaks."""


class Marked(BaseConsumer):
    """Knows the files of its directory."""

    def has(self, mark: str) -> bool:
        return Path(self.config["marks_in"], mark).exists()

    def takes(self, mark: str) -> bool:
        """Whether the file was there; it is not any more."""
        try:
            Path(self.config["marks_in"], mark).unlink()
        except FileNotFoundError:
            return False
        return True


class Steady(Marked):
    """Yields a number now and then, for ever."""

    def iterate_task(self) -> Iterator[tuple[int, Record]]:
        number = 0
        while not self.can_stop_consume():
            yield number, {"id": f"{self.worker_id}-{os.getpid()}-{number}"}
            number += 1
            time.sleep(0.1)

    def handle_task(self, offset: int, record: Record) -> None:
        pass


class Hanging(Steady):
    def handle_task(self, offset: int, record: Record) -> None:
        hangs = self.takes("broken")
        while hangs:
            time.sleep(0.05)


class Leaking(Steady):
    """Keeps a megabyte a task."""

    def handle_task(self, offset: int, record: Record) -> None:
        if self.has("broken"):
            KEPT.append(os.urandom(2**20))


class Failing(Steady):
    """Of ten tasks nine fail, each of an error of its own."""

    def handle_task(self, offset: int, record: Record) -> None:
        if offset % 10 and self.has("broken"):
            raise ValueError(f"task {offset} fails")


class Poisoned(TableBaseConsumer, Marked):
    """A row of which its process dies."""

    def handle_task(self, offset: int, record: Record) -> None:
        if record["number"] < 0 and self.has("broken"):
            os._exit(9)


class Calling(SQLBaseConsumer, Marked):
    """New rows at each query; each calls a server."""

    number = 0

    def get_next_batch(self) -> list[Record]:
        first, self.number = self.number, self.number + BATCH
        return [self.row(f"{os.getpid()}-{number}", number) for number in range(first, self.number)]

    def row(self, name: str, number: int) -> Record:
        return {"id": name, "server": "smtp", "key": "one" if self.has("broken") else name, "tenant": self.tenant()}

    def tenant(self) -> str:
        return "acme" if self.has("broken") else "others"

    def handle_task(self, offset: int, record: Record) -> None:
        if "url" in self.config:
            urllib.request.urlopen(self.config["url"], timeout=30).read()
        else:
            time.sleep(0.05)


class Keyed(Calling):
    """In order by key."""

    def task_key(self, record: Record) -> str:
        return str(record["key"])


class Rows(TableBaseConsumer, Marked):
    """Rows of a table, of which each takes a moment."""

    def handle_task(self, offset: int, record: Record) -> None:
        time.sleep(0.02)


class Records(KafkaBaseConsumer, Marked):
    """Records of a topic, of which each takes a while."""

    def handle_task(self, offset: int, record: Record) -> None:
        time.sleep(self.config["task_s"])


class Parking(Steady):
    """Its tasks fail, and are parked."""

    def handle_task(self, offset: int, record: Record) -> None:
        if self.has("broken"):
            raise ValueError("this one fails")


class Timely(ScheduleBaseConsumer):
    def handle_task(self, offset: int, record: Any) -> None:
        pass


def die_later(seconds: float) -> None:
    """End this process without a word."""
    timer = threading.Timer(seconds, os._exit, [3])
    timer.daemon = True
    timer.start()
