"""Schedules of the scenarios: what they do is written down, a line each, in the file that `BOOK` names."""

from __future__ import annotations

import os
import threading
import time
from typing import Any

from consumerd import ScheduleBaseConsumer


def write(*words: object) -> None:
    """A line of the book, in one write; all processes of a scenario append to it."""
    book = os.open(os.environ["BOOK"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
    try:
        os.write(book, (" ".join(map(str, words)) + "\n").encode())
    finally:
        os.close(book)


class EachSecond(ScheduleBaseConsumer):
    """Takes a part of a second, so that some are killed in it."""

    def handle_task(self, offset: int, record: Any) -> None:
        write("begin", offset, record.starts, os.getpid(), f"{time.time():.3f}")
        time.sleep(0.3)
        write("end", offset, record.starts, os.getpid(), f"{time.time():.3f}")


class Pages(ScheduleBaseConsumer):
    """A run of many pages; it waits at the page that `configs` names, until it is killed or stopped."""

    def handle_task(self, offset: int, record: Any) -> None:
        first = record.cursor or 0
        write("begin", first, record.starts, os.getpid(), record.by_hand)
        write("zone", record.scheduled.tzname())
        for page in range(first, 10):
            write("page", page)
            self.checkpoint(page + 1, done=page + 1, total=10)
            while page + 1 == self.config["stops_at"] and record.starts == 1:
                threading.Event().wait(0.05)
                self.checkpoint(page + 1, done=page + 1, total=10)
        write("end", offset, record.starts)


class Failing(ScheduleBaseConsumer):
    """Dies at its fourth page, until the file in `configs` is there."""

    def handle_task(self, offset: int, record: Any) -> None:
        for page in range(record.cursor or 0, 10):
            if page == 4 and not os.path.exists(self.config["mended"]):  # noqa: PTH110 - it is told by its name
                raise ValueError("the fourth page is broken")
            write("page", page)
            self.checkpoint(page + 1)
        write("end", offset, record.starts)
