"""Metrics of a real master: nothing that a worker has counted is lost with it, and the text is what servers read."""

from __future__ import annotations

import json
import random
from pathlib import Path

from prometheus_client.openmetrics.parser import text_string_to_metric_families
from prometheus_client.samples import Sample

from integration.scenarios.numbered_pool import POOL, Load, NumberedPool
from integration.scenarios.processes import process_number
from integration.scenarios.running import READY_S, Running, kill
from servers.waiting import wait_until

WORKERS = 3
KILLS = 5
LOAD = Load(task_s=0.002, max_unsettled=10, backlog=500)


def samples(master: Running) -> dict[str, list[Sample]]:
    """Of each family, as `consumerd metrics` prints it."""
    shown = master.verb("metrics")
    assert shown.returncode == 0, shown.stderr
    return {family.name: family.samples for family in text_string_to_metric_families(shown.stdout.decode())}


def value(found: list[Sample], **labels: str) -> float:
    return sum(sample.value for sample in found if labels.items() <= sample.labels.items())


def calls_of(found: dict[str, list[Sample]]) -> float:
    """Of the handler, of all pools together."""
    return count_of(found["consumerd_handler_seconds"])


def count_of(histogram: list[Sample]) -> float:
    return sum(each.value for each in histogram if each.name.endswith("_count"))


def test_counts_outlive_the_workers_that_made_them(state_dir: Path) -> None:
    pool, killed = NumberedPool(state_dir, WORKERS, None, LOAD), set[int]()
    with pool.started(killed=killed):
        done = calls = 0.0
        for number in range(1, KILLS + 1):
            pids = [worker["pid"] for worker in pool.pool()["workers"] if worker["pid"] and worker["handled"]]
            if pids:
                killed.add(process_number(pid := random.choice(pids)))
                kill(pid)
            pool.fill()
            wait_until(lambda: pool.pool()["workers_running"] == WORKERS, READY_S, lambda: f"all{pool.master.tail()}")
            found = samples(pool.master)
            assert value(found["consumerd_tasks"], consumer=POOL, outcome="done") >= done
            assert calls_of(found) >= calls
            assert value(found["consumerd_worker_ends"], end="SIGKILL") == len(killed), number
            done = value(found["consumerd_tasks"], consumer=POOL, outcome="done")
            calls = calls_of(found)
        wait_until(lambda: pool.pool()["handled"] >= pool.report.rows, READY_S, lambda: f"all{pool.master.tail()}")
        found = samples(pool.master)
    begun = value(found["rows_begun"], consumer=POOL)
    assert len(pool.report.runs) <= begun <= len(pool.report.runs) + len(killed)
    rows, most_twice = pool.report.rows, len(killed) * LOAD.max_unsettled
    assert pool.report.complaints == []
    assert killed
    assert rows <= value(found["consumerd_tasks"], outcome="done") <= rows + most_twice
    assert rows <= calls_of(found) <= rows + most_twice
    crashes = value(found["consumerd_worker_ends"], cause="crashed", end="SIGKILL")
    assert crashes == len(killed)


def test_the_json_has_what_the_text_has(state_dir: Path) -> None:
    pool = NumberedPool(state_dir, 1, None, LOAD)
    with pool.started():
        wait_until(lambda: pool.pool()["handled"] >= pool.report.rows, READY_S, lambda: f"all{pool.master.tail()}")
        plain = json.loads(pool.master.verb("metrics", "--json").stdout)
        found = samples(pool.master)
    assert plain["status"]["pools"][0]["handled"] == value(found["consumerd_tasks"], outcome="done")
    assert sum(plain["pools"][0]["calls"]["counts"]) == pool.report.rows
    assert plain["pools"][0]["events"]["worker_ready"] == 1
