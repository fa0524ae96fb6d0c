"""A pool that is held back from outside: nothing is begun meanwhile, nobody is restarted, and `status` says why."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Callable
from pathlib import Path
from typing import Any

from consumerd.sources.table.schema import create_table, enqueue
from consumerd.wire.control import call
from integration.scenarios.running import environment, running
from integration.scenarios.small_masters import entry, pool, write_config
from integration.test_reasons import is_true
from servers.waiting import wait_until

END_S = 90.0

PAYING = """
import os
from consumerd import TableBaseConsumer

class Payments(TableBaseConsumer):
    def handle_task(self, offset, record):
        if os.path.exists(self.config["hold"]):
            raise RuntimeError("begun while it is held back")
"""


def test_a_file_holds_tasks_back_until_it_is_gone_and_a_change_of_throttle_restarts_nobody(tmp_path: Path) -> None:
    (tmp_path / "paying_jobs.py").write_text(PAYING)
    database, hold = tmp_path / "jobs.sqlite", tmp_path / "hold"
    create_table(str(database))
    hold.touch()
    payments: dict[str, Any] = {"module": "paying_jobs", "database": str(database), "hold": str(hold), "workers": 2}
    config = write_config(tmp_path, entry("Payments", **payments, throttle={"file": "hold"}))
    with running(config, state_dir=tmp_path / "state", log=tmp_path / "log", env=environment()) as master:

        def wait(condition: Callable[[], object]) -> None:
            wait_until(lambda: is_true(condition), END_S, message=master.tail)

        def throttled() -> str:
            return str(pool(master, "payments")["throttled"])

        def pids() -> list[int]:
            return [worker["pid"] for worker in pool(master, "payments")["workers"] if worker["state"] == "running"]

        wait(lambda: len(pids()) == 2)
        assert throttled() == "the file hold is there"
        before = pids()
        enqueue(str(database), ({"number": number} for number in range(50)))
        hold.unlink()
        wait(lambda: throttled() == "")
        wait(lambda: done(database) == 50)

        hold.mkdir()
        wait(lambda: throttled() == "the file hold cannot be read (Is a directory)")
        (problem,) = master.status()["problems"]
        assert "the file hold cannot be read (Is a directory): mend the file, or remove it" in problem
        hold.rmdir()
        wait(lambda: throttled() == "")

        write_config(tmp_path, entry("Payments", **payments, throttle={"during": ["00:00-12:00", "12:00-24:00"]}))
        call(master.state_dir / "control.sock", "reload")
        wait(lambda: throttled().startswith("its hours "))
        enqueue(str(database), ({"number": number} for number in range(50)))

        write_config(tmp_path, entry("Payments", **payments))
        call(master.state_dir / "control.sock", "reload")
        wait(lambda: done(database) == 100)
        assert throttled() == ""
        assert pids() == before
        told = [json.loads(line)["event"] for line in (tmp_path / "log").read_text().splitlines() if line[0] == "{"]
        assert [event for event in told if "throttle" in event] == ["pool_throttled", "throttle_ended"] * 3


def done(database: Path) -> int:
    with sqlite3.connect(database) as connection:
        return int(connection.execute("SELECT count(*) FROM tasks WHERE state = 'done'").fetchone()[0])
