"""Workers that are alive and make no progress: found, shown, diagnosed and replaced."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from consumerd.sources.table.schema import create_table, enqueue
from integration.scenarios.running import Answer, Running, environment, running
from integration.scenarios.small_masters import SOON_S, entry, pool, stop, wait_for, wait_replaced, write_config
from integration.scenarios.small_stuck import HANG_AT
from servers.waiting import wait_until

STUCK = "integration.scenarios.small_stuck"
TIMEOUT_S = 2.0
LEASE_S = 30.0
FLAGGED_S = 120.0
"""Three measurements of the lag, ten seconds apart, or half a minute without a turn; and room for a slow machine."""

Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a master on one consumer of `small_stuck`, whose mark is `mark` in the test's directory."""
    with contextlib.ExitStack() as masters:

        def on(name: str, **configs: Any) -> Running:
            config = write_config(tmp_path, entry(name, module=STUCK, mark=str(tmp_path / "mark"), **configs))
            where = {"state_dir": tmp_path / "state", "log": tmp_path / "log"}
            return masters.enter_context(running(config, **where, env=environment()))

        yield on


def worker(found: Answer) -> Answer:
    return found["pools"][0]["workers"][0]


def wait_hanging(master: Running) -> Answer:
    """Until the worker is in the handler that hangs."""
    return worker(wait_for(master, lambda found: worker(found).get("offset") == HANG_AT, "the task that hangs"))


def facts(master: Running, name: str) -> list[Answer]:
    lines = [line for line in master.log.read_text().splitlines() if line.startswith("{")]
    return [fact for fact in map(json.loads, lines) if fact["event"] == name]


@pytest.mark.parametrize(
    ("consumer", "frames"),
    [
        ("Stuck", ["in hang", "in handle_task"]),
        ("Holding", ["in hang"]),
        ("Deadlocked", ["in hang", "in other_thread"]),
    ],
)
def test_a_handler_that_hangs_is_diagnosed_and_its_worker_replaced(
    start: Start, consumer: str, frames: list[str]
) -> None:
    master = start(consumer, task_timeout=TIMEOUT_S)
    pid = worker(wait_for(master, lambda found: worker(found)["pid"], "a worker"))["pid"]
    end = worker(wait_for(master, lambda found: worker(found)["last_end"], "an end"))["last_end"]
    assert (end["pid"], end["generation"], end["end"]) == (pid, 1, "SIGKILL")
    assert end["reason"].startswith(f"stuck: it has been on offset {HANG_AT} of shard 0 for ")
    assert end["reason"].endswith("task_timeout is 2 s")
    assert end["culprit"] == {"shard": 0, "offset": HANG_AT}
    assert end["board"]["handled"] == HANG_AT
    assert [frame for frame in frames if frame not in end["stacks"]] == []
    found = wait_for(master, lambda found: found["is_healthy"] and worker(found)["handled"] > HANG_AT, "a new worker")
    assert worker(found)["pid"] != pid
    assert end["reason"] in found["pools"][0]["last_error"]["fields"]["end"]
    [killed] = facts(master, "worker_killed")
    assert (killed["reason"], killed["offset"]) == (end["reason"], HANG_AT)
    assert [frame for frame in frames if frame not in killed["stacks"]] == []
    assert facts(master, "task_stalled")[0]["why"] == "task"
    stop(master)


def test_the_task_that_hung_comes_again_and_those_behind_it_are_handled(start: Start, tmp_path: Path) -> None:
    database = str(tmp_path / "rows.sqlite")
    create_table(database)
    enqueue(database, ({"number": number} for number in range(10)))
    master = start("Claiming", database=database, task_timeout=TIMEOUT_S)
    rows = tmp_path / "mark.rows"
    wait_until(
        lambda: rows.exists() and {*map(int, rows.read_text().split())} == {*range(10)},
        deadline_s=LEASE_S + SOON_S,
        message=lambda: f"every row{master.tail()}",
    )
    assert len(facts(master, "worker_killed")) == 1
    [suspected] = facts(master, "task_suspected")
    assert suspected["end"] == "killed, as it ran longer than its task_timeout of 2 s"
    stop(master)


def test_a_stopped_worker_is_flagged_and_goes_on_when_it_is_continued(start: Start) -> None:
    master = start("Counting")
    pid = worker(wait_for(master, lambda found: worker(found)["state"] == "running", "a worker"))["pid"]
    os.kill(pid, signal.SIGSTOP)
    found = wait_for(master, lambda found: worker(found)["state"] == "stalled", "the flag")
    assert worker(found)["stuck"].startswith("has been stopped by a signal for ")
    assert not found["is_healthy"]
    assert found["problems"][0].startswith("small/counting: worker 0 has been stopped by a signal for ")
    assert found["pools"][0]["workers_stalled"] == 1
    os.kill(pid, signal.SIGCONT)
    found = wait_for(master, lambda found: found["is_healthy"], "no flag any more")
    assert worker(found)["pid"] == pid
    assert len(facts(master, "task_went_on")) == 1
    stop(master)


def test_a_worker_that_stays_stopped_is_replaced(start: Start) -> None:
    master = start("Counting", task_timeout=TIMEOUT_S)
    before = worker(wait_for(master, lambda found: worker(found)["state"] == "running", "a worker"))
    os.kill(before["pid"], signal.SIGSTOP)
    wait_replaced(master, "counting", 0, before["pid"])
    end = pool(master, "counting")["workers"][0]["last_end"]
    assert end["reason"].startswith("stuck: it has been stopped by a signal for ")
    stop(master)


def test_a_task_that_says_that_it_goes_on_is_left_alone(start: Start, tmp_path: Path) -> None:
    master = start("Telling", task_timeout=TIMEOUT_S)
    pid = wait_hanging(master)["pid"]
    wait_until((tmp_path / "mark.done").exists, deadline_s=SOON_S, message=lambda: f"its end{master.tail()}")
    found = wait_for(master, lambda found: worker(found)["handled"] > HANG_AT, "the next task")
    assert worker(found)["pid"] == pid
    assert facts(master, "task_stalled") == []
    stop(master)


@pytest.mark.parametrize("form", ["small/stuck#0", f"small/stuck#0:0:{HANG_AT}"])
def test_an_operator_cancels_a_running_task(start: Start, tmp_path: Path, form: str) -> None:
    master = start("Stuck")
    before = wait_hanging(master)
    assert before["task"] == f"small/stuck#0:0:{HANG_AT}"
    answer = master.answer("cancel", form)
    assert answer == {
        "task": before["task"],
        "consumer": "small/stuck",
        "worker_id": 0,
        "shard": 0,
        "offset": HANG_AT,
    }
    found = wait_for(master, lambda found: worker(found)["handled"] > HANG_AT, "the task, which was tried again")
    assert worker(found)["pid"] == before["pid"]
    assert facts(master, "worker_killed") == facts(master, "task_failed") == []
    audited = [json.loads(line) for line in (tmp_path / "state" / "audit.log").read_text().splitlines()]
    assert [(line["method"], line["params"]) for line in audited] == [("cancel", {"task": form})]
    stop(master)


def test_a_cancelled_task_that_cannot_be_interrupted_ends_with_its_worker(start: Start) -> None:
    master = start("Holding")
    before = wait_hanging(master)
    master.answer("cancel", "small/holding#0")
    wait_replaced(master, "holding", 0, before["pid"])
    end = pool(master, "holding")["workers"][0]["last_end"]
    assert end["reason"] == f"cancelled by an operator, on offset {HANG_AT} of shard 0"
    assert "in hang" in end["stacks"]
    stop(master)


@pytest.mark.parametrize("consumer", ["Stuck", "Looping"])
def test_an_attempt_past_its_soft_timeout_has_failed_and_its_worker_goes_on(start: Start, consumer: str) -> None:
    master = start(consumer, soft_timeout=1.0, task_retry_times=1)
    found = wait_for(master, lambda found: worker(found).get("handled", 0) > HANG_AT, "the task, which was tried again")
    assert (worker(found)["generation"], facts(master, "worker_killed")) == (1, [])
    [failed] = facts(master, "task_failed")
    assert (failed["offset"], failed["error"]) == (HANG_AT, "TaskInterrupted: soft_timeout, 1 s, is over")
    stop(master)


def test_a_task_that_hangs_for_good_is_cancelled_and_parked(start: Start, tmp_path: Path) -> None:
    database = str(tmp_path / "rows.sqlite")
    create_table(database)
    enqueue(database, ({"number": number} for number in range(10)))
    master = start("Claiming", database=database)
    wait_until((tmp_path / "mark").exists, deadline_s=SOON_S, message=lambda: f"a hanging task{master.tail()}")
    (tmp_path / "mark").unlink()  # it would hang again
    master.answer("cancel", "small/claiming#0", "--park")
    (parked,) = wait_for_parked(master)
    assert (parked["state"], parked["error"]) == ("dead", "an operator cancelled it, and had it parked")
    wait_for(master, lambda found: (found["pools"][0]["parked_now"] or {}).get("dead") == 1, "the count of the parked")
    rows, handled = tmp_path / "mark.rows", {*range(10)} - {HANG_AT}
    wait_until(lambda: {*map(int, rows.read_text().split())} == handled, deadline_s=SOON_S, message="all other rows")
    stop(master)


def test_what_its_source_gives_away_cannot_be_parked_and_runs_on(start: Start) -> None:
    master = start("Stuck")
    before = wait_hanging(master)
    done = master.verb("cancel", "small/stuck#0", "--park")
    assert done.returncode == 2
    assert b"its source has given the task away, so that it cannot be parked: cancel it without --park" in done.stderr
    assert wait_hanging(master)["pid"] == before["pid"]
    stop(master)


def wait_for_parked(master: Running) -> list[Answer]:
    def parked() -> list[Answer]:
        found: list[Answer] = master.answer("parked", "list")["tasks"]
        return found

    wait_until(lambda: bool(parked()), deadline_s=SOON_S, message=lambda: f"a parked task{master.tail()}")
    return parked()


def test_a_wrong_task_is_refused_with_a_sentence(start: Start) -> None:
    master = start("Stuck")
    wait_hanging(master)
    for task, sentence in {
        "stuck": "'stuck' is no task: TASK is ",
        "small/stack#0": "there is no pool 'small/stack'",
        "small/stuck#7": "worker 7 of small/stuck is not there",
        "small/stuck#0:0:9": "does not run small/stuck#0:0:9 any more: it is on small/stuck#0:0:3",
    }.items():
        done = master.verb("cancel", task)
        told = done.stderr.decode()
        assert (done.returncode, told.count("\n")) == (2, 1), told
        assert sentence in told
    assert pool(master, "stuck")["workers"][0]["state"] == "running"
    stop(master)


def test_a_source_that_falls_silent_or_hangs_is_flagged(tmp_path: Path) -> None:
    """The table's rows can be seen, and claiming one changes nothing; the query of the other never comes back."""
    database = str(tmp_path / "rows.sqlite")
    create_table(database)
    enqueue(database, ({"number": number} for number in range(10)))
    with contextlib.closing(sqlite3.connect(database)) as connection, connection:
        connection.execute("CREATE TRIGGER silent BEFORE UPDATE ON tasks BEGIN SELECT RAISE(IGNORE); END")
    silent = entry("Claiming", module=STUCK, mark=str(tmp_path / "mark"), database=database)
    config = write_config(tmp_path, silent, entry("Asking", module=STUCK))
    with running(config, state_dir=tmp_path / "state", log=tmp_path / "log", env=environment()) as master:
        wait_until(lambda: facts(master, "shard_stalled"), deadline_s=FLAGGED_S, message=master.tail)
        wait_until(lambda: facts(master, "task_stalled"), deadline_s=FLAGGED_S, message=master.tail)
        [stalled] = facts(master, "task_stalled")
        assert (stalled["consumer"], stalled["why"]) == ("small/asking", "loop")
        problems = "\n".join(master.status()["problems"])
        assert "small/claiming" in problems
        assert "small/asking: worker 0" in problems
        stop(master)
