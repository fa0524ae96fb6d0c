"""A query whose rows the workers divide, on one host or several, and what it writes down."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from sqlalchemy import NullPool, create_engine, text

from consumerd import SQLBaseConsumer
from integration.scenarios.numbered_book import Run, read_runs
from integration.scenarios.small_masters import entry, write_config

MOST_AT_ONCE = 400


class DividedRows(SQLBaseConsumer):
    """It writes down when it begins and ends a row, one write a line."""

    SLEEP_TIME = 0.1

    def pre_consume(self) -> None:
        self._book = os.open(self.config["book"], os.O_WRONLY | os.O_APPEND | os.O_CREAT, 0o600)
        self._engine = create_engine(self.config["database"], isolation_level="AUTOCOMMIT", pool_size=1)

    def get_next_batch(self) -> list[Mapping[Any, Any]]:
        with self._engine.connect() as connection:
            query = text("SELECT id FROM numbered WHERE state = 'new' ORDER BY id LIMIT :most")
            return list(connection.execute(query, {"most": MOST_AT_ONCE}).mappings())

    def handle_task(self, offset: int, record: Mapping[Any, Any]) -> None:
        self._write("begin", record["id"])
        time.sleep(self.config["task_s"])
        self._write("end", record["id"])
        with self._engine.connect() as connection:
            connection.execute(text("UPDATE numbered SET state = 'done' WHERE id = :id"), {"id": record["id"]})

    def _write(self, what: str, number: int) -> None:
        os.write(self._book, f"{what} {number} {os.getpid()} {time.monotonic_ns()}\n".encode())


class FixedRows(DividedRows):
    """Its workers divide the rows by their number."""

    def get_next_batch(self) -> list[Mapping[Any, Any]]:
        with self._engine.connect() as connection:
            query = text("SELECT id FROM numbered WHERE state = 'new' AND id % :count = :own ORDER BY id LIMIT :most")
            values = {"most": MOST_AT_ONCE, "own": self.shard.index, "count": self.shard.count}
            return list(connection.execute(query, values).mappings())


class Rows:
    """The table, and the book of all handlers. database: the URL of an empty one."""

    def __init__(self, directory: Path, database: str) -> None:
        self._book = directory / "book"
        self._book.touch()
        self._database = database
        self._engine = create_engine(database, poolclass=NullPool, isolation_level="AUTOCOMMIT")
        self.count = 0
        self._run("CREATE TABLE numbered (id INTEGER PRIMARY KEY, state VARCHAR(8) NOT NULL DEFAULT 'new')")

    def configure(self, directory: Path, workers: int, task_s: float, cls: str = "DividedRows") -> str:
        """A configuration in a directory; its path."""
        directory.mkdir(exist_ok=True)
        configs = {"book": str(self._book), "database": self._database, "task_s": task_s, "stop_timeout": 20}
        module = "integration.scenarios.divided_rows"
        return write_config(directory, entry(cls, workers, module, **configs) | {"name": "rows"})

    def add(self, more: int) -> None:
        """So many new ones."""
        values = ", ".join(f"({number})" for number in range(self.count, self.count + more))
        self._run(f"INSERT INTO numbered (id) VALUES {values}")
        self.count += more

    def waiting(self) -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(text("SELECT count(*) FROM numbered WHERE state = 'new'")).scalar_one())

    def runs(self) -> list[Run]:
        lines = self._book.read_text()
        return read_runs(lines[: lines.rfind("\n") + 1].splitlines())

    def at_work(self, since: int = 0) -> set[int]:
        """The processes that have handled rows from the number `since` on."""
        return {run.pid for run in self.runs() if run.number >= since}

    def _run(self, statement: str) -> None:
        with self._engine.connect() as connection:
            connection.execute(text(statement))


def longest_gap_s(runs: Iterable[Run], pids: Iterable[int]) -> float:
    """The longest time in which a process of these began nothing, between its first and its last row."""
    began: dict[int, list[int]] = {pid: [] for pid in pids}
    for run in runs:
        if run.pid in began:
            began[run.pid].append(run.began_ns)
    pairs = (pair for times in began.values() for pair in itertools.pairwise(times))
    return max((later - earlier for earlier, later in pairs), default=0) / 1e9
