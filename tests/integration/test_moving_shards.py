"""Ranges of keys move between the workers of a query, whose number changes; on one host, and on three.

No row is two workers' at once, none is left out, and workers that keep their ranges go on.
"""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from consumerd.wire.control import call
from integration.scenarios.divided_rows import Rows, longest_gap_s
from integration.scenarios.numbered_book import complaints
from integration.scenarios.query_hosts import Hosts
from integration.scenarios.running import Running, environment, kill, running
from servers.waiting import wait_until

TASK_S = 0.01
END_S = 90.0
NUMBERS = (16, 3, 8)
AT_ONCE = 400
"""So many rows a worker may have handled when it is killed, and not marked."""


def scale(master: Running, workers: int) -> None:
    call(master.state_dir / "control.sock", "scale", {"target": "small/rows", "workers": workers}, timeout_s=30)


def pids(master: Running) -> dict[int, int]:
    return {slot.slot: slot.pid for slot in master.slots() if slot.is_running and slot.pid is not None}


def wait_at_work(rows: Rows, master: Running, workers: int) -> dict[int, int]:
    """Until all workers have handled rows that came after now; their pids."""
    since = rows.count

    def all_work() -> dict[int, int] | None:
        if rows.waiting() < AT_ONCE:
            rows.add(AT_ONCE)
        found = pids(master)
        return found if len(found) == workers and set(found.values()) <= rows.at_work(since) else None

    return wait_until(all_work, END_S, lambda: f"{workers} at work, of {pids(master)}{master.tail()}")


@pytest.mark.timeout(300)
def test_ranges_move_while_the_number_of_workers_changes_and_workers_are_killed(
    database_url: str, state_dir: Path, tmp_path: Path
) -> None:
    rows = Rows(tmp_path, database_url)
    config, killed, kept = rows.configure(tmp_path / "host", 4, TASK_S), set[int](), set[int]()
    rows.add(AT_ONCE)
    with running(config, state_dir=state_dir, log=tmp_path / "log", env=environment()) as master:
        master.wait_until_ready(4)
        before = wait_at_work(rows, master, 4)
        for workers in NUMBERS:
            victim = before[max(before)]
            killed.add(victim)
            kill(victim)
            scale(master, workers)
            after = wait_at_work(rows, master, workers)
            kept = {slot for slot in before if slot in after and before[slot] not in killed}
            assert {slot: after[slot] for slot in kept} == {slot: before[slot] for slot in kept}, "replaced"
            before = after
        wait_until(lambda: rows.waiting() == 0, END_S, lambda: f"all done{master.tail()}")
        assert master.stop() == os.EX_OK, master.tail()
    runs = rows.runs()
    assert list(complaints(runs, range(rows.count), killed=killed, frozen=(), most_repeats=1)) == []
    print(f"longest gap {longest_gap_s(runs, (before[slot] for slot in kept)):.3f} s")


@pytest.mark.timeout(300)
def test_rows_of_a_host_that_is_cut_off_and_of_one_that_is_frozen_are_done_by_the_third(
    database_url: str, state_dir: Path
) -> None:
    """And both have their parts again afterwards. `make hosts` has five rounds."""
    report = Hosts(state_dir, database_url, seed=5).run(1)
    assert report.complaints == [], report
    print(report)
