"""The master with real processes: what dies is replaced, what hangs is killed, nothing is left behind."""

from __future__ import annotations

import contextlib
import itertools
import os
import signal
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from integration.scenarios.numbered_book import read_runs
from integration.scenarios.running import Running, environment, running
from integration.scenarios.small_masters import (
    SOON_S,
    STOP_TIMEOUT_S,
    assert_nothing_left,
    children,
    entry,
    is_alive,
    open_fds,
    parent_of,
    pool,
    status,
    stop,
    title,
    wait_for,
    wait_replaced,
    wait_running,
    write_config,
)
from integration.scenarios.small_pools import DIVIDED_ROWS
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


def test_pools_run_side_by_side_and_a_broken_import_takes_only_its_own_out(start: Start) -> None:
    master = start(
        entry("Counting", 3, process_name="gop"),
        entry("Hanging"),
        entry("Counting", module="integration.scenarios.small_broken") | {"name": "broken"},
    )
    found = wait_running(master, 4)
    found = wait_for(master, lambda found: found["pools"][2]["state"] == "failed", "the failure")
    broken = found["pools"][2]
    assert "this module cannot be imported" in broken["reason"]
    assert "RuntimeError" in broken["traceback"]
    assert not found["is_healthy"]
    assert [pool["state"] for pool in found["pools"][:2]] == ["up", "up"]
    worker = found["pools"][0]["workers"][2]
    assert title(worker["pid"]) == "gop: worker 2 small/counting"
    assert title(parent_of(worker["pid"])) == "gop: zygote small/counting"
    assert title(master.process.pid).startswith("consumerd: master ")
    assert master.verb("status", "--check").returncode == 1
    assert stop(master) == 0


def test_a_killed_worker_is_replaced_and_its_peers_are_left_alone(start: Start) -> None:
    master = start(entry("Counting", 2))
    found = wait_running(master, 2)
    first, second = found["pools"][0]["workers"]
    os.kill(first["pid"], signal.SIGKILL)
    replaced = wait_replaced(master, "counting", 0, first["pid"])
    assert replaced["generation"] == 2
    after = pool(master, "counting")
    assert after["workers"][1]["pid"] == second["pid"]
    assert after["restarts"] == 1
    assert after["last_error"]["fields"]["end"] == "SIGKILL"
    assert stop(master) == 0


def test_fifty_restarts_leak_no_descriptor_and_leave_no_zombie(start: Start) -> None:
    master = start(entry("Counting", 2))
    found = wait_running(master, 2)
    worker = found["pools"][0]["workers"][0]
    wait_for(master, lambda found: found["pools"][0]["handled"] > 10, "tasks")
    zygote = parent_of(worker["pid"])
    before = open_fds(master.process.pid), open_fds(zygote), open_fds(worker["pid"])
    pid = worker["pid"]
    for _ in range(50):
        handled = 0
        while not handled:  # proven, so that the next one starts at once
            handled = pool(master, "counting")["workers"][0].get("handled", 0)
        os.kill(pid, signal.SIGKILL)
        pid = wait_replaced(master, "counting", 0, pid)["pid"]
    wait_for(master, lambda found: found["pools"][0]["workers"][0].get("handled", 0) > 10, "tasks")
    after = open_fds(master.process.pid), open_fds(zygote), open_fds(pid)
    assert all(now <= then + 1 for now, then in zip(after, before, strict=True)), (before, after)
    assert children(zygote) == {pid, found["pools"][0]["workers"][1]["pid"]}
    assert stop(master) == 0


def test_a_killed_zygote_leaves_its_workers_running_and_they_are_reaped_and_replaced(start: Start) -> None:
    master = start(entry("Counting", 2))
    first, second = wait_running(master, 2)["pools"][0]["workers"]
    zygote = parent_of(first["pid"])
    os.kill(zygote, signal.SIGKILL)
    wait_until(lambda: parent_of(first["pid"]) == master.process.pid, deadline_s=SOON_S, message="the adoption")
    os.kill(first["pid"], signal.SIGKILL)
    replaced = wait_replaced(master, "counting", 0, first["pid"])
    assert not is_alive(first["pid"])
    assert is_alive(second["pid"])
    assert parent_of(replaced["pid"]) not in (zygote, master.process.pid)
    assert pool(master, "counting")["workers"][1]["pid"] == second["pid"]
    assert stop(master) == 0


def test_a_killed_master_leaves_nobody_behind_and_a_new_one_takes_over(start: Start) -> None:
    master = start(entry("Counting", 2), entry("Hanging"))
    wait_running(master, 3)
    os.kill(master.process.pid, signal.SIGKILL)
    master.process.wait(SOON_S)
    successor = start(entry("Counting", 2), entry("Hanging"))
    wait_running(successor, 3)
    assert_nothing_left(master)
    assert stop(successor) == 0


def test_another_number_after_a_killed_master_divides_no_key_twice(start: Start, tmp_path: Path) -> None:
    """The old workers are in a row each when the new ones, more of them, begin to go through all rows."""
    book = tmp_path / "book"
    master = start(entry("Dividing", 2, book=str(book), task_s=3.0, stop_timeout=10))
    wait_until(lambda: book.exists() and book.read_text().count("begin") == 2, SOON_S, "a row of each worker")
    os.kill(master.process.pid, signal.SIGKILL)
    master.process.wait(SOON_S)
    successor = start(entry("Dividing", 5, book=str(book), task_s=0.01, stop_timeout=10))
    wait_until(lambda: book.read_text().count("end") > 2 * DIVIDED_ROWS, SOON_S, successor.tail)
    assert stop(successor) == 0
    runs = read_runs(book.read_text().splitlines())
    for number in range(DIVIDED_ROWS):
        for earlier, later in itertools.pairwise(run for run in runs if run.number == number):
            assert earlier.ended_ns is not None
            assert later.began_ns >= earlier.ended_ns, f"row {number} is handled by {earlier.pid} and {later.pid}"


def test_a_killed_master_leaves_no_endless_import_behind(start: Start) -> None:
    master = start(entry("Counting", module="integration.scenarios.small_endless"))
    wait_for(master, lambda found: found["pools"][0]["state"] == "loading", "loading")
    wait_until(lambda: len(master.descendants()) == 2, deadline_s=SOON_S, message="the zygote")
    os.kill(master.process.pid, signal.SIGKILL)
    master.process.wait(SOON_S)
    assert_nothing_left(master)


def test_an_import_that_ends_its_process_fails_its_pool(start: Start) -> None:
    master = start(
        entry("Counting", module="integration.scenarios.small_exiting") | {"name": "exiting"}, entry("Hanging")
    )
    found = wait_for(master, lambda found: found["pools"][0]["state"] == "failed", "the failure")
    assert "ended 3 times" in found["pools"][0]["reason"]
    wait_running(master, 1)
    assert stop(master) == 0


@pytest.mark.parametrize("times", [1, 2])
def test_a_term_stops_everything_within_its_deadline_also_where_a_handler_hangs(start: Start, times: int) -> None:
    master = start(entry("Counting", 2), entry("Hanging", 2))
    wait_running(master, 4)
    wait_for(master, lambda found: all(w.get("busy_s") for w in found["pools"][1]["workers"]), "hanging handlers")
    began = time.monotonic()
    for _ in range(times):
        os.kill(master.process.pid, signal.SIGTERM)
    assert master.process.wait(SOON_S) == 0
    assert time.monotonic() - began < STOP_TIMEOUT_S + 5  # a bound on hanging, no measurement
    assert_nothing_left(master)
    assert "worker_killed" in master.log.read_text()
    assert not (master.state_dir / "control.sock").exists()


def test_a_stop_answers_while_pools_load_and_needs_no_wait(start: Start) -> None:
    master = start(entry("Counting", module="integration.scenarios.small_endless"))
    found = wait_for(master, lambda found: found["pools"][0]["zygote"]["pid"], "the zygote")
    assert found["pools"][0]["state"] == found["pools"][0]["zygote"]["state"] == "loading"
    assert "is loading, for" in found["problems"][0]
    assert master.verb("status", "--check").returncode == 1
    done = master.verb("stop")
    assert done.returncode == 0, done.stderr
    assert b"stopped after" in done.stdout
    assert master.process.wait(SOON_S) == 0
    assert_nothing_left(master)
    assert master.verb("stop").returncode == 1
    assert master.verb("status").returncode == 1


def test_a_worker_that_was_sent_term_itself_is_replaced(start: Start) -> None:
    master = start(entry("Counting"))
    worker = wait_running(master, 1)["pools"][0]["workers"][0]
    os.kill(worker["pid"], signal.SIGTERM)
    assert wait_replaced(master, "counting", 0, worker["pid"])["generation"] == 2
    assert stop(master) == 0


def test_a_finished_worker_is_not_started_again_and_that_is_healthy(start: Start) -> None:
    master = start(entry("Ending", 2), entry("Counting"))
    found = wait_for(master, lambda found: found["pools"][0]["workers_finished"] == 2, "the end")
    found = wait_for(master, lambda found: found["is_healthy"], "health")
    assert found["pools"][0]["restarts"] == 0
    assert master.verb("status", "--check").returncode == 0
    assert stop(master) == 0


def test_a_crash_loop_backs_off_and_mends(start: Start, tmp_path: Path) -> None:
    mended = tmp_path / "mended"
    master = start(entry("Crashing", mended=str(mended)))
    found = wait_for(master, lambda found: found["pools"][0]["restarts"] >= 3, "restarts")
    assert "exit 3" in found["pools"][0]["last_error"]["fields"]["end"]
    mended.touch()
    wait_for(master, lambda found: found["pools"][0]["handled"] > 10, "tasks")
    assert stop(master) == 0


def test_a_handlers_own_children_die_with_the_worker(start: Start, tmp_path: Path) -> None:
    told = tmp_path / "children"
    told.mkdir()
    master = start(entry("Spawning", children=str(told)))
    worker = wait_running(master, 1)["pools"][0]["workers"][0]
    wait_until(lambda: list(told.iterdir()), deadline_s=SOON_S, message="the child")
    child = int(next(told.iterdir()).name)
    assert is_alive(child)
    os.kill(worker["pid"], signal.SIGKILL)
    wait_until(lambda: not is_alive(child), deadline_s=SOON_S, message="the end of the child")
    assert stop(master) == 0


def test_a_consumer_whose_import_leaves_a_thread_is_executed_for_each_worker(start: Start) -> None:
    master = start(entry("Counting", 2, module="integration.scenarios.small_threaded"))
    worker = wait_running(master, 2)["pools"][0]["workers"][0]
    assert title(worker["pid"]) == "consumerd: worker 0 small/counting"
    os.kill(worker["pid"], signal.SIGKILL)
    assert wait_replaced(master, "counting", 0, worker["pid"])["generation"] == 2
    wait_for(master, lambda found: found["pools"][0]["handled"] > 10, "tasks")
    assert stop(master) == 0


def test_a_worker_holds_no_end_but_its_own(start: Start) -> None:
    master = start(entry("Counting", 3))
    workers = wait_running(master, 3)["pools"][0]["workers"]
    sockets = [
        {target for fd in Path(f"/proc/{worker['pid']}/fd").iterdir() if "socket:" in (target := str(fd.readlink()))}
        for worker in workers
    ]
    assert all(len(own) == 1 for own in sockets), sockets
    assert len(set.union(*sockets)) == 3
    assert stop(master) == 0


def test_a_second_master_on_the_same_directory_is_refused(start: Start) -> None:
    master = start(entry("Counting"))
    wait_running(master, 1)
    second = start(entry("Counting"))
    assert second.process.wait(SOON_S) == 2
    assert "uses the state directory" in second.log.read_text()
    os.kill(master.process.pid, signal.SIGTERM)
    assert master.process.wait(SOON_S) == 0


def test_stderr_of_a_worker_is_relayed(start: Start) -> None:
    master = start(entry("Shouting"))
    wait_running(master, 1)
    wait_until(
        lambda: "a word from the worker" in master.log.read_text(), deadline_s=SOON_S, message="the relayed stderr"
    )
    assert stop(master) == 0


def test_clients_that_send_garbage_or_nothing_do_not_hold_the_master_up(start: Start) -> None:
    master = start(entry("Counting"))
    wait_running(master, 1)
    path = master.state_dir / "control.sock"
    assert path.stat().st_mode & 0o777 == 0o600
    with contextlib.ExitStack() as clients:
        for said in (b"", b"GET / HTTP/1.1\r\n\r\n", b"x" * 200_000, b"[" * 60_000 + b"\n", b"{}\n", b'{"id":1}\n'):
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.settimeout(SOON_S)
            client.connect(str(path))
            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                client.sendall(said)
        assert status(master)["pools"][0]["workers_running"] == 1
        for _ in range(100):
            client = clients.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(path))
    assert wait_for(master, lambda found: found["is_healthy"], "an answer after the crowd has left")
    assert stop(master) == 0
