"""Standard descriptors that are closed, outputs that nobody reads or that are full, streams that user code replaced."""

from __future__ import annotations

import contextlib
import os
import pty
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.scenarios.running import Answer, Running, environment
from integration.scenarios.small_masters import SOON_S, entry, stop, wait_for, wait_running, write_config
from servers.waiting import wait_until

NOISY = r"""
import os, subprocess, sys
from integration.scenarios.small_pools import Counting

class Printing(Counting):
    def pre_consume(self):
        print("beginning")

    def handle_task(self, offset, record):
        print("h\u00e4ndling", offset, "\udcff")

class Writing(Counting):
    def handle_task(self, offset, record):
        os.write(1, b"written past Python\n")

class Shelling(Counting):
    def handle_task(self, offset, record):
        subprocess.run(["sh", "-c", "echo from a child"], check=True)
"""

REPLACED = """
import os, sys
from integration.scenarios.small_pools import Counting as {name}

class Grumpy:
    def __getattr__(self, name):
        raise RuntimeError("no " + name)

{replace}
"""

STREAMS = {
    "Missing": "sys.stdout = sys.stderr = None",
    "Closed": "sys.stdout.close(); sys.stderr.close()",
    "Foreign": "sys.stdout = sys.stderr = object()",
    "Raising": "sys.stdout = sys.stderr = Grumpy()",
    "Descriptors": "[os.close(fd) for fd in range(3)]",
}


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "noisy.py").write_text(NOISY, encoding="utf-8")
    for name, replace in STREAMS.items():
        (tmp_path / f"with_{name.lower()}.py").write_text(REPLACED.format(name=name, replace=replace))
    return tmp_path


def streams() -> list[dict[str, object]]:
    return [entry(name, module=f"with_{name.lower()}") for name in STREAMS]


@contextlib.contextmanager
def started(
    directory: Path, *entries: dict[str, object], stdout: int | None = None, redirection: str = ""
) -> Iterator[Running]:
    """A master. stdout: where it writes to; redirection: as the shell is told."""
    config, log = write_config(directory, *entries), directory / "log"
    run = [sys.executable, "-m", "consumerd", "run", config, "--state-dir", str(directory / "state")]
    command = ["sh", "-c", f'exec "$@" {redirection}', "sh", *run, "--parking", "embedded"]
    with log.open("ab") as file:
        process = subprocess.Popen(
            command, env=environment(), stdout=file if stdout is None else stdout, stderr=file, start_new_session=True
        )
    master = Running(process, state_dir=directory / "state", log=log, env=environment())
    try:
        yield master
    finally:
        master.kill_all()


def wait_handled(master: Running, tasks: int = 20) -> Answer:
    """The status once every pool has handled so many tasks; none may have failed."""
    found = wait_for(
        master, lambda found: all(pool["handled"] >= tasks for pool in found["pools"]), f"{tasks} tasks of each pool"
    )
    assert [pool["name"] for pool in found["pools"] if pool["failed"] or pool["restarts"]] == []
    return found


@pytest.mark.parametrize("redirection", ["<&-", ">&-", "2>&-", "<&- >&-", "<&- >&- 2>&-", "> /dev/full 2> /dev/full"])
def test_whichever_standard_descriptors_are_closed_tasks_are_handled(directory: Path, redirection: str) -> None:
    with started(directory, entry("Printing", module="noisy"), redirection=redirection) as master:
        assert wait_handled(master)["is_healthy"]
        assert stop(master) == 0
        log = master.log.read_text()
        assert ("master_stopped" in log) == (">" not in redirection or redirection == "2>&-")
        assert "Traceback" not in log


def test_whatever_an_import_puts_for_the_streams_its_workers_are_forked(directory: Path) -> None:
    with started(directory, *streams()) as master:
        wait_handled(master)
        assert stop(master) == 0
        assert "master_stopped" in master.log.read_text()


@pytest.mark.parametrize("kind", ["pipe", "terminal"])
def test_a_handler_has_not_failed_whose_output_nobody_reads_any_more(directory: Path, kind: str) -> None:
    ours, theirs = os.pipe() if kind == "pipe" else pty.openpty()
    noisy = [entry(name, module="noisy") for name in ("Printing", "Writing", "Shelling")]
    with started(directory, *noisy, stdout=theirs) as master:
        os.close(theirs)
        wait_until(lambda: os.read(ours, 65_536), deadline_s=SOON_S, message="the first line")
        before = wait_running(master, 3)
        os.close(ours)
        handled = max(pool["handled"] for pool in before["pools"])
        wait_handled(master, handled + 20)
        assert "is lost: " in master.log.read_text()
        assert stop(master) == 0


@pytest.mark.parametrize("redirection", [">&-", "> /dev/full", "| true"])
def test_a_verb_does_what_it_does_whatever_becomes_of_its_output(directory: Path, redirection: str) -> None:
    with started(directory, entry("Counting")) as master:
        wait_running(master, 1)

        def verb(words: str) -> tuple[int, str]:
            words = f"{sys.executable} -m consumerd {words} --state-dir {master.state_dir}"
            line = f"set -o pipefail; {words} {redirection}"
            done = subprocess.run(["bash", "-c", line], env=environment(), capture_output=True, text=True, check=False)
            return done.returncode, done.stderr

        assert verb("status --check")[0] == 0
        assert verb("scale small/counting 2 --json")[0] == 0
        wait_running(master, 2)
        assert verb("restart small/counting --wait")[0] == 0
        code, said = verb("parked list")
        is_full = redirection == "> /dev/full"
        assert (code, said.count("\n")) == ((1, 1) if is_full else (0, 0)), said
        assert "No space left" in said or not is_full
        if is_full:
            assert verb("events --recent 5")[0] == 1
        assert verb("stop")[0] == 0
        assert master.process.wait(SOON_S) == 0
