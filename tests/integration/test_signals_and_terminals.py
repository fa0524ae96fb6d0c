"""Signals and terminals as they are where a master is started: nohup, a script's `kill -USR1`, `stty tostop`."""

from __future__ import annotations

import contextlib
import os
import pty
import signal
import subprocess
import sys
import termios
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from integration.scenarios.running import Running, environment
from integration.scenarios.small_masters import SOON_S, assert_nothing_left, pool, wait_for, wait_running, write_config
from integration.scenarios.small_masters import entry as pool_entry
from servers.waiting import wait_until

MODULE = """
import signal, sys, time
from integration.scenarios.small_pools import Counting

class Printing(Counting):
    def handle_task(self, offset, record):
        print("handling", offset)

class Exiting(Counting):
    def handle_task(self, offset, record):
        signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))
        time.sleep(self.config["task_s"])
"""


def entry(name: str, **configs: object) -> dict[str, object]:
    return pool_entry(name, module="noisy", **configs)


@pytest.fixture
def directory(tmp_path: Path) -> Path:
    (tmp_path / "noisy.py").write_text(MODULE)
    return tmp_path


@contextlib.contextmanager
def started(
    directory: Path, *entries: dict[str, object], output: int | None = None, wrap: str = ""
) -> Iterator[Running]:
    """A master. output: the terminal that it writes to; wrap: what the shell does first."""
    config, log = write_config(directory, *entries), directory / "log"
    run = [sys.executable, "-m", "consumerd", "run", config, "--state-dir", str(directory / "state")]
    command = ["sh", "-c", f'{wrap} exec "$@"', "sh", *run, "--parking", "embedded"]
    with log.open("ab") as file:
        out = file if output is None else output
        process = subprocess.Popen(
            command, env=environment(), stdin=out, stdout=out, stderr=file, start_new_session=True, cwd=directory
        )
    master = Running(process, state_dir=directory / "state", log=log, env=environment())
    try:
        yield master
    finally:
        master.kill_all()


def test_signals_without_a_meaning_and_an_ignored_hangup_leave_the_master_as_it_is(directory: Path) -> None:
    with started(directory, entry("Counting"), wrap="trap '' HUP;") as master:
        wait_running(master, 1)
        for number in (signal.SIGUSR1, signal.SIGUSR2, signal.SIGALRM, signal.SIGHUP, signal.SIGTERM):
            os.kill(master.process.pid, number)
        assert master.process.wait(SOON_S) == 0
        assert "configuration_reloaded" not in master.log.read_text()
        assert_nothing_left(master)


def test_a_handler_that_exits_at_a_term_to_everybody_has_not_failed(directory: Path) -> None:
    with started(directory, entry("Exiting", workers=2, task_s=0.3)) as master:
        wait_running(master, 2)
        wait_for(master, lambda found: pool(master, "exiting")["handled"], "a task that is done")
        for pid in master.descendants():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)
        assert master.process.wait(SOON_S) == 0
        log = master.log.read_text()
        assert [name for name in ("task_failed", "consume_failed", "Traceback") if name in log] == []


def test_a_terminal_with_tostop_freezes_nobody(directory: Path) -> None:
    ours, theirs = pty.openpty()
    attributes = termios.tcgetattr(theirs)
    attributes[3] |= termios.TOSTOP
    termios.tcsetattr(theirs, termios.TCSANOW, attributes)
    seen: list[bytes] = []
    take = f": < {os.ttyname(theirs)};"  # who leads a session gets the terminal that it opens first
    with started(directory, entry("Printing"), output=theirs, wrap=take) as master:
        reader = threading.Thread(target=_read, args=(ours, seen), daemon=True)
        reader.start()
        wait_until(lambda: b"handling 9" in b"".join(seen), deadline_s=SOON_S, message=lambda: f"{seen}{master.tail()}")
        assert master.stop() == 0
    os.close(theirs)
    reader.join(SOON_S)
    os.close(ours)


def _read(fd: int, seen: list[bytes]) -> None:
    with contextlib.suppress(OSError):  # the terminal's end
        while data := os.read(fd, 65_536):
            seen.append(data)
