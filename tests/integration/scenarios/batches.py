"""Consumers that handle many tasks at once; which record went with which batch is written down."""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

from sqlalchemy import text

from consumerd import BatchTask, KafkaBaseConsumer, TableBaseConsumer
from integration.scenarios.poisoned import die

Tasks = list[BatchTask[dict[str, Any]]]

TABLE = "CREATE TABLE IF NOT EXISTS last_logins (uid INTEGER PRIMARY KEY, at INTEGER)"
WRITE = text("INSERT INTO last_logins VALUES (:uid, :at) ON DUPLICATE KEY UPDATE at = GREATEST(at, VALUES(at))")


class Logins(KafkaBaseConsumer):
    """Keeps the newest login of each user; one that is `bad` fails its batch."""

    def handle_batch(self, tasks: Tasks) -> None:
        with self.database.begin() as connection:
            connection.execute(WRITE, [task.record for task in tasks])
            if any(task.record.get("is_bad") for task in tasks):
                raise ValueError("a bad one")


class Numbers(KafkaBaseConsumer):
    """Writes down the numbers of each batch, which takes a moment."""

    def handle_batch(self, tasks: Tasks) -> None:
        time.sleep(0.02)
        note(self.config["file"], tasks)


class PoisonedRows(TableBaseConsumer):
    """Dies of what its records say."""

    def handle_batch(self, tasks: Tasks) -> None:
        for task in tasks:
            die(task.record, task.attempt)
        note(self.config["file"], tasks)


def note(file: str, tasks: Tasks) -> None:
    lines = "".join(f"{task.record['number']}\n" for task in tasks)
    with Path(file).open("a") as numbers:
        numbers.write(lines)
