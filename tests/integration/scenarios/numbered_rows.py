"""A consumer that writes down when it begins and ends a row, one write a line, and takes its time."""

from __future__ import annotations

import json
import os
import time
from typing import Any, ClassVar

from prometheus_client import Counter
from sqlalchemy import Connection, text

from consumerd import SQLBaseConsumer, TableBaseConsumer
from integration.scenarios.processes import process_number

BEGUN = Counter("rows_begun", "Rows that a handler has begun.")


class NumberedRows(TableBaseConsumer):
    """`color` makes a new edition, `tint` is live."""

    LIVE_CONFIGS: ClassVar[tuple[str, ...]] = ("tint",)

    def pre_consume(self) -> None:
        self._book = os.open(self.config["book"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._process = process_number()

    def handle_task(self, offset: int, record: dict[str, Any]) -> None:
        BEGUN.inc()
        self._write("begin", record["number"])
        time.sleep(self.config["task_s"])
        self._write("end", record["number"])

    def _write(self, what: str, number: int) -> None:
        os.write(self._book, f"{what} {number} {self._process} {time.monotonic_ns()}\n".encode())


class NumberedEffects(NumberedRows):
    """Writes each number into the table `effects`, which has no key, in the transaction that settles its row."""

    def handle_task(self, offset: int, record: dict[str, Any]) -> None:
        self._write("begin", record["number"])
        with self.transaction() as connection:
            connection.execute(text("INSERT INTO effects VALUES (:number)"), record)
            time.sleep(self.config["task_s"])
            self._write("end", record["number"])


class NumberedQuery(SQLBaseConsumer):
    """The same by a query on the table."""

    SLEEP_TIME = 0.2

    pre_consume = NumberedRows.pre_consume
    handle_task = NumberedEffects.handle_task
    _write = NumberedRows._write

    def get_next_batch(self) -> list[dict[str, Any]]:
        ours = self.shard.condition("id")
        query = text(f"SELECT id, payload FROM tasks WHERE state = 'pending' AND {ours} ORDER BY id LIMIT 50")
        with self.database.connect() as connection:
            return [{"id": row.id, **json.loads(row.payload)} for row in connection.execute(query)]

    def mark_done(self, record: dict[str, Any], connection: Connection) -> int:
        update = text("UPDATE tasks SET state = 'done' WHERE id = :id AND state = 'pending'")
        return connection.execute(update, {"id": record["id"]}).rowcount
