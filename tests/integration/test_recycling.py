"""Workers that have done their part are replaced slot by slot; one that leaks ends by itself, and alone."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.scenarios.running import Answer, Running, environment, running
from integration.scenarios.small_masters import entry, pool, stop, wait_for, wait_running, write_config
from servers.waiting import wait_until

LEAKING = "integration.scenarios.small_leaking"
END_S = 90.0
WORKERS = 2


@contextlib.contextmanager
def master_on(state_dir: Path, *entries: dict[str, Any]) -> Iterator[Running]:
    config = write_config(state_dir, *entries)
    with running(config, state_dir=state_dir / "state", log=state_dir / "log", env=environment()) as master:
        yield master


def facts(master: Running, name: str) -> list[Answer]:
    lines = [json.loads(line) for line in master.log.read_text().splitlines() if line.startswith("{")]
    return [line for line in lines if line["event"] == name]


def wait_recycled(master: Running, name: str, generation: int) -> Answer:
    """The pool, once each of its slots runs such a generation, or a later one."""

    def look() -> Answer:
        found = pool(master, name)
        slots = found["workers"]
        is_there = all(slot["state"] == "running" and slot["generation"] >= generation for slot in slots)
        return found if is_there else None

    return wait_until(look, deadline_s=END_S, message=lambda: f"generation {generation} of {name}{master.tail()}")


@pytest.mark.parametrize(
    ("name", "module", "configs", "reason"),
    [
        ("Counting", None, {"max_tasks": 100}, "max_tasks is 100"),
        ("Counting", None, {"max_age": 3}, "max_age is 3 s"),
        ("Leaking", LEAKING, {"max_memory": "64MiB"}, "max_memory is 64 MiB"),
    ],
)
def test_worn_out_workers_are_replaced_without_a_loss_and_nobody_else(
    state_dir: Path, name: str, module: str | None, configs: dict[str, Any], reason: str
) -> None:
    worn = entry(name, WORKERS, **({"module": module} if module else {}), **configs) | {"name": "worn"}
    with master_on(state_dir, worn, entry("Counting")) as master:
        before = wait_running(master, WORKERS + 1)
        after = wait_recycled(master, "worn", 3)
        assert (after["failed"], after["parked"], after["last_error"]) == (0, 0, None)
        assert pool(master, "counting")["workers"][0]["pid"] == before["pools"][1]["workers"][0]["pid"]
        assert all(reason in fact["reason"] for fact in facts(master, "worker_worn_out"))
        assert {fact["end"] for fact in facts(master, "worker_ended")} == {"drained"}
        assert stop(master) == 0


def test_a_worker_that_reaches_its_memory_limit_fails_one_task_and_leaves_and_nobody_else(state_dir: Path) -> None:
    leaking = entry("Leaking", module=LEAKING, memory_limit="320MiB")
    with master_on(state_dir, leaking, entry("Counting")) as master:
        before = wait_running(master, 2)
        after = wait_recycled(master, "leaking", 3)
        parked = master.parked()  # one look: it goes on leaking
        assert {task["consumer"] for task in parked} == {"small/leaking"}
        assert all("MemoryError" in task["error"] for task in parked)
        ends = [fact["end"] for fact in facts(master, "worker_ended")]
        assert set(ends) == {"recycle"}
        assert after["failed"] <= len(ends) + 1, "one task a life"
        assert pool(master, "counting")["workers"][0]["pid"] == before["pools"][1]["workers"][0]["pid"]
        assert stop(master) == 0


def test_a_memory_limit_without_room_for_a_worker_fails_the_pool_with_a_sentence(state_dir: Path) -> None:
    with master_on(state_dir, entry("Counting", memory_limit="8MiB"), entry("Failing")) as master:
        found = wait_for(master, lambda found: found["pools"][0]["state"] == "failed", "the failure")
        errors = [fact["error"] for fact in facts(master, "consume_failed")]
        assert all("memory_limit is 8 MiB, and a worker of this consumer needs" in error for error in errors)
        assert found["pools"][1]["state"] == "up"
        assert stop(master) == 0
