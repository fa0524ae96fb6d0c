"""A release with a typo: no task becomes a dead letter, and all are done once it is mended."""

from __future__ import annotations

import contextlib
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from consumerd.sources.table.schema import create_table, enqueue
from consumerd.wire.control import call
from integration.scenarios.running import environment, running
from integration.scenarios.small_masters import entry, pool, status, write_config
from integration.test_reasons import is_true
from servers.waiting import wait_until

ROWS = 400
END_S = 90.0

BROKEN = """
from consumerd import TableBaseConsumer

class Grants(TableBaseConsumer):
    def handle_task(self, offset, record):
        with open(self.config["book"], "a") as book:
            book.write(f"{record['number']}\\n")
        record.missing
"""


@pytest.mark.parametrize("concurrency", [1, 8])
def test_a_release_with_a_typo_kills_no_task_and_all_are_done_after_the_next(tmp_path: Path, concurrency: int) -> None:
    module, database, book = tmp_path / "typo_jobs.py", tmp_path / "jobs.sqlite", tmp_path / "book"
    parked = tmp_path / "state" / "parked.sqlite"
    module.write_text(BROKEN)
    create_table(str(database))
    enqueue(str(database), ({"number": number} for number in range(ROWS)))
    typo = entry(
        "Grants", module="typo_jobs", database=str(database), book=str(book), workers=2, concurrency=concurrency
    )
    config = write_config(tmp_path, typo)
    with running(config, state_dir=tmp_path / "state", log=tmp_path / "log", env=environment()) as master:

        def wait(condition: Callable[[], object]) -> None:
            wait_until(lambda: is_true(condition), END_S, message=master.tail)

        def flags() -> list[str]:
            return [flag for worker in pool(master, "grants")["workers"] for flag in worker["flags"]]

        wait(lambda: flags() == ["failing", "failing"])
        [problem, *_] = [each for each in status(master)["problems"] if "die of one error" in each]
        assert "AttributeError" in problem
        assert "consumerd restart" in problem
        wait(lambda: count(parked, "SELECT count(*) FROM parked WHERE state = 'waiting'") > 0)
        wait(lambda: count(parked, "SELECT count(*) FROM parked WHERE state = 'dead'") == 0)
        tried = len(set(book.read_text().split()))
        assert tried < ROWS / 2

        module.write_text(BROKEN.replace("        record.missing\n", ""))
        call(master.state_dir / "control.sock", "restart", {"target": "small/grants"})
        wait(lambda: count(database, "SELECT count(*) FROM tasks WHERE state = 'done'") == ROWS)
        wait(lambda: count(parked, "SELECT count(*) FROM parked") == 0)
        assert flags() == []


def count(database: Path, query: str) -> int:
    """What a query counts; 0 where there is no table yet."""
    with contextlib.suppress(sqlite3.OperationalError), contextlib.closing(sqlite3.connect(database)) as connection:
        return int(connection.execute(query).fetchone()[0])
    return 0
