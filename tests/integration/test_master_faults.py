"""The master where its surroundings fail it: nobody reads its output, it is frozen, an old worker holds a lock."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.scenarios.running import Running, environment, running
from integration.scenarios.small_masters import (
    SOON_S,
    STOP_TIMEOUT_S,
    assert_nothing_left,
    entry,
    is_alive,
    parent_of,
    stop,
    wait_for,
    wait_replaced,
    wait_running,
    write_config,
)
from servers.waiting import wait_until

Start = Callable[..., Running]


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Start]:
    """Starts a master on some entries; all of it is gone after the test."""
    with contextlib.ExitStack() as masters:

        def begin(*entries: dict[str, Any]) -> Running:
            config = write_config(tmp_path, *entries)
            return masters.enter_context(
                running(config, state_dir=tmp_path / "state", log=tmp_path / "log", env=environment())
            )

        yield begin


@pytest.fixture
def unread(tmp_path: Path) -> Iterator[Callable[..., Running]]:
    """Starts a master whose stdout and stderr are one small pipe, which is full and which nobody reads."""
    read_end, write_end = os.pipe()
    fcntl.fcntl(write_end, fcntl.F_SETPIPE_SZ, 4096)
    os.write(write_end, b"x" * 4096)
    started: list[Running] = []

    def begin(*entries: dict[str, Any]) -> Running:
        state_dir, log = tmp_path / "state", tmp_path / "log"
        log.touch()
        command = [sys.executable, "-m", "consumerd", "run", write_config(tmp_path, *entries)]
        command += ["--state-dir", str(state_dir), "--parking", "embedded"]
        process = subprocess.Popen(
            command, env=environment(), stdout=write_end, stderr=write_end, start_new_session=True
        )
        started.append(Running(process, state_dir=state_dir, log=log, env=environment()))
        return started[-1]

    yield begin
    for master in started:
        master.kill_all()
    os.close(read_end)
    os.close(write_end)


def test_output_that_nobody_reads_holds_nothing_up(unread: Start) -> None:
    master = unread(entry("Counting"), entry("Shouting"))
    found = wait_running(master, 2)
    for _ in range(3):
        worker = found["pools"][0]["workers"][0]
        os.kill(worker["pid"], signal.SIGKILL)
        wait_replaced(master, "counting", 0, worker["pid"])
        found = wait_for(master, lambda found: found["pools"][0]["workers"][0].get("handled"), "tasks")
    assert stop(master) == 0


def test_a_frozen_master_catches_up_with_what_its_workers_did(start: Start) -> None:
    master = start(entry("Counting", 2))
    first, second = wait_running(master, 2)["pools"][0]["workers"]
    os.kill(master.process.pid, signal.SIGSTOP)
    os.kill(first["pid"], signal.SIGKILL)
    wait_until(lambda: not is_alive(first["pid"]), deadline_s=SOON_S, message="the end of the worker")
    assert is_alive(second["pid"])
    os.kill(master.process.pid, signal.SIGCONT)
    assert wait_replaced(master, "counting", 0, first["pid"])["generation"] == 2
    assert stop(master) == 0


def test_a_zygote_that_dies_while_the_master_is_frozen_loses_no_end_of_a_worker(start: Start) -> None:
    master = start(entry("Counting", 2))
    first, second = wait_running(master, 2)["pools"][0]["workers"]
    zygote = parent_of(first["pid"])
    os.kill(master.process.pid, signal.SIGSTOP)
    os.kill(first["pid"], signal.SIGKILL)
    wait_until(lambda: not is_alive(first["pid"]), deadline_s=SOON_S, message="the end of the worker")
    os.kill(zygote, signal.SIGKILL)
    os.kill(second["pid"], signal.SIGKILL)
    os.kill(master.process.pid, signal.SIGCONT)
    wait_replaced(master, "counting", 0, first["pid"])
    wait_replaced(master, "counting", 1, second["pid"])
    assert stop(master) == 0


def test_a_stopped_zygote_does_not_keep_the_master_from_stopping(start: Start) -> None:
    master = start(entry("Counting", 2), entry("Hanging"))
    wait_for(master, lambda found: found["pools"][1]["workers"][0].get("busy_s"), "a hanging handler")
    found = wait_running(master, 3)
    for pool in found["pools"]:
        os.kill(pool["zygote"]["pid"], signal.SIGSTOP)
    os.kill(found["pools"][0]["workers"][0]["pid"], signal.SIGKILL)
    found = wait_running(master, 2)
    assert [worker["state"] for worker in found["pools"][0]["workers"]] == ["ended", "running"]
    assert found["problems"] == ["small/counting: 1 of 2 workers are up"]
    master.process.send_signal(signal.SIGTERM)
    assert master.process.wait(STOP_TIMEOUT_S + 5.0) == 0
    assert_nothing_left(master)


def test_where_nothing_loads_the_log_says_what_to_do_and_the_master_stays(start: Start) -> None:
    master = start(entry("NoSuchClass"), entry("NorThis"))
    wait_for(master, lambda found: all(pool["state"] == "failed" for pool in found["pools"]), "the failures")
    wait_until(lambda: "nothing_loaded" in master.log.read_text(), deadline_s=SOON_S, message="the line")
    assert "consumerd check CONFIG" in master.log.read_text()
    assert stop(master) == 0
    assert master.log.read_text().count("nothing_loaded") == 1


def test_where_one_pool_loads_nobody_is_told_to_run_again(start: Start) -> None:
    master = start(entry("NoSuchClass"), entry("Counting"))
    wait_for(master, lambda found: found["pools"][0]["state"] == "failed", "the failure")
    wait_running(master, 1)
    assert stop(master) == 0
    log = master.log.read_text()
    assert "nothing_loaded" not in log
    assert str(master.state_dir) in next(line for line in log.splitlines() if "master_started" in line)


HOLD = "import fcntl, sys, time; f = open(sys.argv[1], 'w'); fcntl.lockf(f, 2); print(flush=True); time.sleep(3600)"


@pytest.fixture
def holder(tmp_path: Path) -> Iterator[subprocess.Popen[bytes]]:
    """A process that holds the lock of the first slot of `counting`."""
    lock = tmp_path / "state" / "slots" / "small+counting.0.lock"
    lock.parent.mkdir(parents=True)
    with subprocess.Popen([sys.executable, "-c", HOLD, str(lock)], stdout=subprocess.PIPE) as holder:
        assert holder.stdout is not None
        holder.stdout.readline()
        yield holder
        holder.kill()


def test_a_lock_holder_of_another_time_is_killed_after_the_stop_timeout(
    start: Start, holder: subprocess.Popen[bytes]
) -> None:
    master = start(entry("Counting", 2))
    found = wait_running(master, 1)
    assert found["pools"][0]["workers"][0]["state"] == "starting"
    assert holder.poll() is None
    wait_running(master, 2)
    assert holder.wait(SOON_S) == -signal.SIGKILL
    assert "lock_holder_killed" in master.log.read_text()
    assert stop(master) == 0


def test_a_terminal_that_sends_int_to_everybody_stops_gracefully(start: Start) -> None:
    master = start(entry("Counting", 2))
    wait_running(master, 2)
    for pid in master.descendants():
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGINT)
    assert master.process.wait(SOON_S) == 0
    assert_nothing_left(master)
    assert "worker_killed" not in master.log.read_text()
    assert "Traceback" not in master.log.read_text()


def test_a_hangup_without_a_change_restarts_nobody(start: Start) -> None:
    master = start(entry("Counting"))
    [before] = wait_running(master, 1)["pools"][0]["workers"]
    os.kill(master.process.pid, signal.SIGHUP)
    wait_until(lambda: "configuration_reloaded" in master.log.read_text(), deadline_s=SOON_S, message="the line")
    [after] = wait_running(master, 1)["pools"][0]["workers"]
    assert after["pid"] == before["pid"]
    assert stop(master) == 0


def test_parked_tasks_are_listed_and_discarded_through_the_master(start: Start) -> None:
    master = start(entry("Failing"))
    wait_for(master, lambda found: found["pools"][0]["parked"] >= 3, "parked tasks")
    parked = master.parked()
    assert len(parked) >= 3
    shown = master.verb("parked", "show", parked[0]["handle"])
    assert shown.returncode == 0, shown.stderr
    discarded = master.verb("parked", "discard", parked[0]["handle"])
    assert discarded.returncode == 0, discarded.stderr
    assert parked[0]["handle"] not in [task["handle"] for task in master.parked()]
    wrong = master.verb("parked", "show", "ffffffffff")
    assert wrong.returncode == 1, wrong.stderr
    assert b"nothing is parked under" in wrong.stderr
    assert stop(master) == 0


def test_run_refuses_a_store_that_would_not_last(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "consumerd", "run", write_config(tmp_path, entry("Counting"))]
    command += ["--state-dir", str(tmp_path / "state")]
    env = environment(KUBERNETES_SERVICE_HOST="10.0.0.1")
    done = subprocess.run(command, env=env, capture_output=True, timeout=SOON_S, check=False)
    assert done.returncode == 2, done.stderr
    assert b"--parking embedded" in done.stderr.splitlines()[-1]


def test_a_configuration_that_does_not_hold_up_starts_nothing(tmp_path: Path) -> None:
    config = tmp_path / "config.json"
    config.write_text(json.dumps({"small": [{"class": "no target"}]}))
    command = [sys.executable, "-m", "consumerd", "run", str(config), "--state-dir", str(tmp_path / "state")]
    done = subprocess.run(command, env=environment(), capture_output=True, timeout=SOON_S, check=False)
    assert done.returncode == 2
    assert not (tmp_path / "state").exists()
