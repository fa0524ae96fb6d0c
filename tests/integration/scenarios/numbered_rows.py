"""A consumer that writes down when it begins and ends a row, one write a line, and takes its time."""

from __future__ import annotations

import os
import time
from typing import Any, ClassVar

from sqlalchemy import text

from consumerd import TableBaseConsumer


class NumberedRows(TableBaseConsumer):
    """`color` makes a new edition, `tint` is live."""

    LIVE_CONFIGS: ClassVar[tuple[str, ...]] = ("tint",)

    def pre_consume(self) -> None:
        self._book = os.open(self.config["book"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)

    def handle_task(self, offset: int, record: dict[str, Any]) -> None:
        self._write("begin", record["number"])
        time.sleep(self.config["task_s"])
        self._write("end", record["number"])

    def _write(self, what: str, number: int) -> None:
        os.write(self._book, f"{what} {number} {os.getpid()} {time.monotonic_ns()}\n".encode())


class NumberedEffects(NumberedRows):
    """Writes each number into the table `effects`, which has no key, in the transaction that settles its row."""

    def handle_task(self, offset: int, record: dict[str, Any]) -> None:
        self._write("begin", record["number"])
        with self.transaction() as connection:
            connection.execute(text("INSERT INTO effects VALUES (:number)"), record)
            time.sleep(self.config["task_s"])
            self._write("end", record["number"])
