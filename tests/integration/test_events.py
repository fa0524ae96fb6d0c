"""`consumerd events` and `logs` as people and programs use them, on a real master."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import pytest

from consumerd.wire.control import Connection
from integration.scenarios.running import Answer, Running, environment, running
from integration.scenarios.small_masters import SOON_S, entry, wait_for, wait_running, write_config
from servers.waiting import wait_until

MODULE = """
import os, sys, time
from consumerd import BaseConsumer

class Talking(BaseConsumer):
    def iterate_task(self):
        number = 0
        while not self.can_stop_consume():
            yield number, {"id": str(number)}
            number += 1
            time.sleep(self.config.get("pause", 0.05))

    def handle_task(self, offset, record):
        for _ in range(self.config.get("lines", 1)):
            print(f"line {offset}", "x" * self.config.get("width", 0), file=sys.stderr)
        if offset == 3:
            raise ValueError("the third does not work")
"""


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "talking.py").write_text(MODULE)
    return tmp_path


@contextlib.contextmanager
def on(directory: Path, *entries: Answer) -> Iterator[Running]:
    config = write_config(directory, *entries)
    with running(config, state_dir=directory / "state", log=directory / "log", env=environment()) as master:
        yield master


class Following:
    """A verb that follows, and what it has printed."""

    def __init__(self, master: Running, *arguments: str) -> None:
        command = [sys.executable, "-m", "consumerd", *arguments, "--state-dir", str(master.state_dir)]
        self.out = master.log.with_name(f"followed{len(arguments)}")
        with self.out.open("wb") as out:
            self.process = subprocess.Popen(command, env=environment(), stdout=out, stderr=out)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.process.kill()
        self.process.wait(SOON_S)

    def wait_line(self, *parts: str) -> str:
        def look() -> str | None:
            lines = self.out.read_text().splitlines()
            return next((line for line in lines if all(part in line for part in parts)), None)

        return wait_until(look, deadline_s=SOON_S, message=lambda: f"{parts} in {self.out.read_text()}")


def test_events_are_followed_from_the_masters_own_to_what_workers_report_until_it_ends(directory: Path) -> None:
    with on(directory, entry("Talking", module="talking")) as master:
        wait_running(master, 1)
        with Following(master, "events", "--recent", "1000", "--json", "small/talking") as events:
            failed = json.loads(events.wait_line('"task_failed"'))
            assert (failed["consumer"], failed["worker_id"], failed["level"]) == ("small/talking", 0, "warning")
            assert "the third does not work" in failed["error"]
            master.answer("scale", "small", "2")
            assert json.loads(events.wait_line('"pool_scaled"'))["workers"] == 2
            assert master.stop() == 0
            assert events.process.wait(SOON_S) == 0
            assert all(json.loads(line)["consumer"] == "small/talking" for line in events.out.read_text().splitlines())


def test_a_follower_sees_the_last_words_of_the_master_and_no_stderr(directory: Path) -> None:
    with on(directory, entry("Talking", module="talking")) as master, contextlib.ExitStack() as stack:
        wait_running(master, 1)
        events = stack.enter_context(Following(master, "events", "--recent", "1000"))
        events.wait_line("consumer_loaded", "small/talking")
        assert master.stop() == 0
        assert events.process.wait(SOON_S) == 0
        events.wait_line("master_stopped")
        assert "line 0" not in events.out.read_text()


def test_logs_show_the_last_lines_of_stderr_and_end_or_follow(directory: Path) -> None:
    with on(directory, entry("Talking", module="talking"), entry("Other", module="missing")) as master:
        wait_until(lambda: "line 1" in master.log.read_text(), deadline_s=SOON_S, message="a line")
        shown = master.verb("logs", "small/talking", "-n", "1000").stdout.decode().splitlines()
        assert any("small/talking | line 0" in line for line in shown)
        assert not any("small/other" in line for line in shown)
        wait_until(lambda: "pool_failed" in master.log.read_text(), deadline_s=SOON_S, message="the other's failure")
        assert "pool_failed" in master.verb("logs", "-n", "1000").stdout.decode()
        assert len(master.verb("logs", "-n", "2").stdout.decode().splitlines()) == 2
        with Following(master, "logs", "-f", "-n", "0") as logs:
            logs.wait_line("small/talking | line")
            logs.process.send_signal(signal.SIGINT)
            assert logs.process.wait(SOON_S) == 130


def test_a_wrong_target_or_no_master_is_one_sentence(directory: Path) -> None:
    with on(directory, entry("Talking", module="talking")) as master:
        wait_running(master, 1)
        for verb in ("events", "logs"):
            done = master.verb(verb, "small/talkin")
            assert (done.returncode, done.stdout) == (2, b"")
            assert "did you mean 'small/talking'" in done.stderr.decode()
        os.kill(master.process.pid, signal.SIGTERM)
        master.process.wait(SOON_S)
        done = master.verb("events")
        assert done.returncode == 1
        assert done.stderr.decode().count("\n") == 1


def test_who_does_not_read_is_cut_off_and_the_master_and_others_go_on(directory: Path) -> None:
    flood = {"lines": 50, "width": 1000, "pause": 0.0}
    with on(directory, entry("Talking", module="talking", **flood), entry("Counting")) as master:
        wait_running(master, 2)
        with Connection(master.state_dir / "control.sock") as connection:
            items = connection.follow("events", {"stderr": True, "recent": 1})
            next(items)
            with master.log.open() as log:  # read on, and not anew: a flood is in it
                wait_until(lambda: any("follower_cut_off" in line for line in log), deadline_s=60, message="the end")
        before = master.status()["pools"][1]["handled"]
        wait_for(master, lambda found: found["pools"][1]["handled"] > before, "more tasks")


def test_a_follower_that_leaves_is_forgotten(directory: Path) -> None:
    with on(directory, entry("Counting")) as master:
        wait_running(master, 1)
        for _ in range(40):  # more than may follow at once
            with Connection(master.state_dir / "control.sock") as connection:
                next(connection.follow("events", {"recent": 1}))
