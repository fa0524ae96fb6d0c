"""What user code raises where it should not: who survives it, and that the reason is told."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from consumerd.errors import ConsumerdError
from consumerd.sources.table.schema import create_table, enqueue
from integration.scenarios.running import environment, running
from integration.scenarios.small_masters import entry, pool, stop, write_config
from servers.waiting import wait_until

HOOKED = """
from consumerd import TableBaseConsumer

class Hooked(TableBaseConsumer):
    def get_process_name(self):
        raise LookupError("no name")

    def handle_task(self, offset, record):
        with open(self.config["book"], "a") as book:
            book.write(f"{record['number']}\\n")

    def post_handle_task(self):
        raise ConnectionError("metrics are down")

    def post_consume(self):
        raise SystemExit(3)
"""

UNPREPARED = """
from consumerd import TableBaseConsumer

class Unprepared(TableBaseConsumer):
    def pre_consume(self):
        raise ExceptionGroup("not ready", [ConnectionError("the cache refuses"), KeyError("token")])

    def handle_task(self, offset, record):
        pass
"""

DYING = """
import os, sys
print("cannot map the model", file=sys.stderr, flush=True)
os._exit(7)
"""


END_S = 90.0
"""Of each wait: three imports in a row, with their pauses, take long on a machine that has much else to do."""


def is_true(condition: Callable[[], object]) -> bool:
    """Whether it holds; not yet where the master is not up, or nothing is there to look at."""
    try:
        return bool(condition())
    except (ConsumerdError, OSError, LookupError):
        return False


def facts(log: Path, name: str, consumer: str) -> list[dict[str, Any]]:
    found = (json.loads(line) for line in log.read_text().splitlines() if line.startswith("{"))
    return [fact for fact in found if (fact["event"], fact.get("consumer")) == (name, f"small/{consumer}")]


def test_hooks_and_a_locked_database_cost_no_worker_and_each_end_has_its_reason(tmp_path: Path) -> None:
    for name, text in (("hooked", HOOKED), ("unprepared", UNPREPARED), ("dying", DYING)):
        (tmp_path / f"{name}_jobs.py").write_text(text)
    database, book, log = tmp_path / "jobs.sqlite", tmp_path / "book", tmp_path / "log"
    create_table(str(database))
    enqueue(str(database), ({"number": number} for number in range(3)))
    config = write_config(
        tmp_path,
        entry("Hooked", module="hooked_jobs", database=str(database), book=str(book)),
        entry("Unprepared", module="unprepared_jobs", database=str(database)),
        entry("Dying", module="dying_jobs"),
    )
    with contextlib.closing(sqlite3.connect(database, isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with running(config, state_dir=tmp_path / "state", log=log, env=environment()) as master:

            def wait(condition: Callable[[], object]) -> None:
                wait_until(lambda: is_true(condition), END_S, message=master.tail)

            wait(lambda: "source_away" in pool(master, "hooked")["workers"][0]["flags"])
            pid = pool(master, "hooked")["workers"][0]["pid"]
            wait(lambda: pool(master, "unprepared")["workers"][0]["last_end"])
            reason = pool(master, "unprepared")["workers"][0]["last_end"]["reason"]
            assert "ConnectionError: the cache refuses; KeyError: 'token'" in reason
            wait(lambda: pool(master, "dying")["state"] == "failed")
            assert pool(master, "dying")["reason"].endswith("the last: exit 7: cannot map the model")
            other.execute("ROLLBACK")
            wait(lambda: len(book.read_text().split()) == 3)
            hooks = {"get_process_name", "post_handle_task"}
            wait(lambda: {fact["hook"] for fact in facts(log, "hook_failed", "hooked")} == hooks)
            assert pool(master, "hooked")["workers"][0]["pid"] == pid
            assert stop(master) == 0
    assert [fact["end"] for fact in facts(log, "worker_ended", "hooked")] == ["drained"]
    assert "post_consume" in {fact["hook"] for fact in facts(log, "hook_failed", "hooked")}
    assert sorted(book.read_text().split()) == ["0", "1", "2"]
