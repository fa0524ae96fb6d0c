"""A pool of a table that grows with its backlog and shrinks again, in real processes."""

from __future__ import annotations

import os
import signal
from pathlib import Path

from consumerd.sources.table.schema import create_table, enqueue
from integration.scenarios.running import Answer, Running, environment, running
from integration.scenarios.small_masters import entry, pool, stop, wait_for, wait_running, write_config
from servers.waiting import wait_until

MOST = 4
ROWS = 700
TABLE = "integration.scenarios.slow_rows"
END_S = 150.0


def wait_for_workers(master: Running, number: int) -> Answer:
    def look() -> Answer:
        found = pool(master, "slowrows")
        return found if found["workers_wanted"] == found["workers_running"] == number else None

    return wait_until(look, deadline_s=END_S, message=lambda: f"{number} workers{master.tail()}")


def test_workers_grow_with_a_burst_and_shrink_again_and_nobody_else_restarts(state_dir: Path) -> None:
    database = str(state_dir / "tasks.sqlite")
    create_table(database)
    scaled = entry("SlowRows", module=TABLE, database=database, batch_size=10)
    scaled["configs"]["workers"] = {"min": 1, "max": MOST, "target_seconds": 4}
    config = write_config(state_dir, scaled, entry("Counting"))
    log, places = state_dir / "log", {"state_dir": state_dir / "state", "env": environment()}
    with running(config, log=log, **places) as master:
        before = wait_running(master, 2)
        enqueue(database, ({"number": number} for number in range(ROWS)))
        grown = wait_for_workers(master, MOST)
        assert "wanted" in grown["scaling"]["reason"]
        wait_until(lambda: pool(master, "slowrows")["handled"] == ROWS, deadline_s=END_S, message=master.tail)
        shrunk = wait_for_workers(master, 1)
        after = wait_for(master, lambda found: found["is_healthy"], "health")
        assert [each["workers"][0]["pid"] for each in after["pools"]] == [
            each["workers"][0]["pid"] for each in before["pools"]
        ]
        assert [each["restarts"] for each in after["pools"]] == [0, 0]
        assert (shrunk["handled"], shrunk["failed"]) == (ROWS, 0)
        assert stop(master) == 0


def test_a_pinned_number_stays_whatever_is_behind_until_it_is_given_back(state_dir: Path) -> None:
    database = str(state_dir / "tasks.sqlite")
    create_table(database)
    enqueue(database, ({"number": number} for number in range(10_000)))
    scaled = entry("SlowRows", module=TABLE, database=database, batch_size=10)
    scaled["configs"]["workers"] = {"min": 1, "max": MOST, "target_seconds": 4}
    config = write_config(state_dir, scaled)
    with running(config, state_dir=state_dir / "state", log=state_dir / "log", env=environment()) as master:
        wait_running(master, 1)
        master.answer("scale", "small/slowrows", "2")
        wait_until(
            lambda: pool(master, "slowrows")["scaling"]["wanted"] > 2,
            deadline_s=END_S,
            message=lambda: f"more to be wanted{master.tail()}",
        )
        found = pool(master, "slowrows")
        assert found["scaling"]["reason"].startswith("pinned to 2 by hand; else: ")
        assert (found["workers_pinned"], found["workers_wanted"]) == (2, 2)
        assert found["workers_configured"] == {"min": 1, "max": MOST, "target_seconds": 4.0}
        master.answer("scale", "small/slowrows", "auto")
        wait_for_workers(master, MOST)
        assert stop(master) == 0


def test_while_the_worker_of_slot_0_is_stopped_another_measures_the_lag(state_dir: Path) -> None:
    database = str(state_dir / "tasks.sqlite")
    create_table(database)
    config = write_config(state_dir, entry("SlowRows", 2, module=TABLE, database=database))
    with running(config, state_dir=state_dir / "state", log=state_dir / "log", env=environment()) as master:
        first = wait_running(master, 2)["pools"][0]["workers"][0]["pid"]
        wait_until(lambda: pool(master, "slowrows")["lag"], deadline_s=END_S, message=master.tail)
        os.kill(first, signal.SIGSTOP)

        def is_measured_since() -> bool:
            found = pool(master, "slowrows")
            slot = found["workers"][0]
            return slot["state"] == "stalled" and found["lag_age_s"] < slot["since_s"]

        wait_until(is_measured_since, deadline_s=END_S, message=master.tail)
        os.kill(first, signal.SIGCONT)
        wait_for(master, lambda found: found["is_healthy"], "health")
        assert stop(master) == 0
