"""A generator that yields one task and then waits for ever: what failed is tried again all the same."""

from __future__ import annotations

import contextlib
import sqlite3
from pathlib import Path

from integration.scenarios.running import environment, running
from integration.scenarios.small_masters import SOON_S, entry, pool, stop, wait_running, write_config
from servers.waiting import wait_until

BLOCKING = """
import sqlite3, threading, time
from consumerd import BaseConsumer

class Blocking(BaseConsumer):
    def pre_consume(self):
        self.connection = sqlite3.connect(self.config["book"], isolation_level=None, timeout=10)

    def iterate_task(self):
        self.connection.execute("SELECT 1")
        yield 0, {"id": "only"}
        time.sleep(3600)

    def handle_task(self, offset, record):
        self.connection.execute("INSERT INTO attempts VALUES (?)", (self.attempt,))
        if self.attempt < 3:
            raise ValueError("not yet")
"""


def test_its_retries_come_by_an_instance_with_connections_of_its_own(tmp_path: Path) -> None:
    (tmp_path / "blocking_jobs.py").write_text(BLOCKING)
    books = [tmp_path / "immediate", tmp_path / "deferred"]
    for book in books:
        with contextlib.closing(sqlite3.connect(book)) as connection:
            connection.execute("CREATE TABLE attempts (number)")
    module = "blocking_jobs"
    immediate = entry("Blocking", module=module, book=str(books[0]), task_retry_times=3)
    deferred = entry("Blocking", module=module, book=str(books[1]), back_off_time=1) | {"name": "deferred"}

    def attempts(book: Path) -> list[int]:
        with contextlib.closing(sqlite3.connect(book, timeout=10)) as connection:
            return [number for (number,) in connection.execute("SELECT number FROM attempts ORDER BY rowid")]

    config = write_config(tmp_path, immediate, deferred)
    with running(config, state_dir=tmp_path / "state", log=tmp_path / "log", env=environment()) as master:
        wait_running(master, 2)
        pids = [pool(master, name)["workers"][0]["pid"] for name in ("blocking", "deferred")]
        wait_until(lambda: [attempts(book) for book in books] == [[1, 2, 3]] * 2, 2 * SOON_S, message=master.tail)
        wait_until(lambda: master.parked() == [], SOON_S, message=master.tail)
        assert [pool(master, name)["workers"][0]["pid"] for name in ("blocking", "deferred")] == pids
        assert stop(master) == 0
