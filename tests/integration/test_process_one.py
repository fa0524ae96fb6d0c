"""The master as process 1 of a container: a process namespace of its own, where the system lets us make one.

Where it does not (no unshare, no capability, no namespaces for users), these tests are skipped with the reason, also in
CI: that is the runner's to give, and nothing here could tell a runner that should from one that cannot.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.scenarios.running import Running, environment
from integration.scenarios.small_masters import SOON_S, children, entry, wait_for, wait_running, write_config
from servers.waiting import wait_until

ALONE = ["unshare", "--pid", "--fork", "--kill-child", "--mount-proc"]
AS_NOBODY = [*ALONE, "--user", "--map-root-user"]

MODULE = '''
import os, subprocess, sys, time
from consumerd import BaseConsumer

class Leaving(BaseConsumer):
    """Each of its tasks leaves a process behind that belongs to nobody, and ends soon."""

    def iterate_task(self):
        number = 0
        while not self.can_stop_consume():
            yield number, {"id": str(number)}
            number += 1
            time.sleep(0.02)

    def handle_task(self, offset, record):
        if offset < 20:
            leave = "setsid sh -c 'sleep 0.1; echo >> $0' $0 &"
            subprocess.run(["sh", "-c", leave, self.config["file"]])
'''

SLOW_SETTING = """
import time
from pathlib import Path

Path("reading").touch()
while not Path("read_on").exists():
    time.sleep(0.01)
SETTING = {"small": [{"class": "integration.scenarios.small_pools:Counting"}]}
"""


@pytest.fixture(scope="module")
def unshare() -> list[str]:
    """A command that makes what it executes process 1."""
    if shutil.which(ALONE[0]) is None:
        pytest.skip("there is no unshare(1) here to make a process namespace with")
    tried = [subprocess.run([*command, "true"], capture_output=True, check=False) for command in (ALONE, AS_NOBODY)]
    for command, done in zip((ALONE, AS_NOBODY), tried, strict=True):
        if done.returncode == 0:
            return command
    pytest.skip(f"the system makes no process namespace for us: {tried[-1].stderr.decode().strip()}")


@contextlib.contextmanager
def process_one(unshare: list[str], directory: Path, config: str) -> Iterator[Running]:
    """A master that is process 1. Signals go to `one`, the pid that it has here."""
    options = ["--state-dir", str(directory / "state"), "--parking", "embedded"]
    command = [*unshare, sys.executable, "-m", "consumerd", "run", config, *options]
    log = directory / "log"
    with log.open("ab") as output:
        process = subprocess.Popen(
            command, cwd=directory, env=environment(), stdout=output, stderr=output, start_new_session=True
        )
    master = Running(process, state_dir=directory / "state", log=log, env=environment())
    try:
        yield master
    finally:
        master.kill_all()


def one(master: Running) -> int:
    """The master's pid outside."""
    (pid,) = wait_until(
        lambda: children(master.process.pid), deadline_s=SOON_S, message=lambda: f"process 1{master.tail()}"
    )
    return pid


def zombies_of(pid: int) -> list[int]:
    stats = {child: Path(f"/proc/{child}/stat") for child in children(pid)}
    return [child for child, stat in stats.items() if stat.read_text().rpartition(")")[2].split()[0] == "Z"]


def test_process_one_reaps_strangers_reloads_and_stops(unshare: list[str], tmp_path: Path) -> None:
    (tmp_path / "leaving.py").write_text(MODULE)
    left = tmp_path / "left"
    config = write_config(tmp_path, entry("Leaving", module="leaving", file=str(left)), entry("Counting"))
    with process_one(unshare, tmp_path, config) as master:
        found = wait_running(master, 2)
        assert found["pid"] == 1
        pid = one(master)
        wait_until(
            lambda: left.exists() and left.read_text().count("\n") == 20,
            deadline_s=SOON_S,
            message=lambda: f"the last of the processes that were left behind{master.tail()}",
        )
        wait_until(lambda: not zombies_of(pid), deadline_s=SOON_S, message=lambda: f"zombies {zombies_of(pid)}")
        write_config(tmp_path, entry("Counting", workers=2))
        os.kill(pid, signal.SIGHUP)
        wait_for(master, lambda found: [each["name"] for each in found["pools"]] == ["small/counting"], "the reload")
        wait_running(master, 2)
        os.kill(pid, signal.SIGTERM)
        assert master.process.wait(SOON_S) == 0
        assert "master_stopped" in master.log.read_text()


def test_a_stop_that_comes_before_the_master_listens_is_not_lost(unshare: list[str], tmp_path: Path) -> None:
    """The kernel drops a signal for process 1 without a handler; a container would be killed ten seconds later."""
    (tmp_path / "slow_setting.py").write_text(SLOW_SETTING)
    with process_one(unshare, tmp_path, "slow_setting:SETTING") as master:
        pid = one(master)
        wait_until((tmp_path / "reading").exists, deadline_s=SOON_S, message=lambda: f"the reading{master.tail()}")
        os.kill(pid, signal.SIGTERM)
        (tmp_path / "read_on").touch()
        assert master.process.wait(SOON_S) == 0
        assert "master_stopping" in master.log.read_text()
