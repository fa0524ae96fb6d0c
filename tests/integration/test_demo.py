"""`consumerd demo` as a person would have it, and as it goes when it is disturbed."""

from __future__ import annotations

import contextlib
import json
import os
import pty
import signal
import sqlite3
import subprocess
import sys
import termios
from collections.abc import Iterator
from pathlib import Path

import pytest

from servers.waiting import wait_until

LOGINS = 600
END_S = 90.0
GONE_S = 30.0


class StartedDemo:
    """A demo that runs in a session of its own, so that all that it starts can be found."""

    def __init__(self, process: subprocess.Popen[bytes], folder: Path) -> None:
        self.process = process
        self.folder = folder

    @property
    def directory(self) -> Path:
        (directory,) = self.folder.glob("consumerd-demo-*")
        return directory

    def processes(self) -> set[int]:
        """All that live, of the demo and of what it started."""
        return {pid for pid in _pids() if _is_in(self.process.pid, pid)}

    def output(self) -> str:
        return (self.folder / "output").read_text(errors="replace")

    def wait_for(self, text: str) -> None:
        wait_until(lambda: text in self.output(), END_S, lambda: f"{text!r} is not in: {self.output()}")

    def wait_until_gone(self) -> None:
        wait_until(lambda: not self.processes(), GONE_S, lambda: f"these are left: {self.processes()}")

    def verb(self, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        command = [sys.executable, "-m", "consumerd", *arguments, "--state-dir", str(self.directory / "state")]
        return subprocess.run(command, capture_output=True, timeout=60, check=False)


@contextlib.contextmanager
def started(folder: Path, *options: str, terminal: int | None = None, **environ: str | None) -> Iterator[StartedDemo]:
    """A demo of a few logins; whatever it has started is gone afterwards."""
    env = {**os.environ, "TMPDIR": str(folder), "PYTHONUNBUFFERED": "1", **environ}
    command = [sys.executable, "-m", "consumerd", "demo", "--logins", str(LOGINS), *options]
    with (folder / "output").open("wb") as output:
        process = subprocess.Popen(
            command,
            env={name: value for name, value in env.items() if value is not None},
            stdin=subprocess.DEVNULL,
            stdout=output if terminal is None else terminal,
            stderr=output if terminal is None else terminal,
            start_new_session=True,
        )
    demo = StartedDemo(process, folder)
    try:
        yield demo
    finally:
        for pid in demo.processes():
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        process.wait(10)


def test_the_demo_balances_though_a_worker_was_killed(state_dir: Path) -> None:
    with started(state_dir, "--json", HOME=None) as demo:
        assert demo.process.wait(END_S) == 0, demo.output()
        demo.wait_until_gone()
        balance = json.loads(next(line for line in demo.output().splitlines() if line.startswith("{")))
        assert balance["is_even"] is True
        assert (balance["produced"], balance["done"], balance["parked"]) == (LOGINS + 5, LOGINS, 5)
        assert (balance["lost"], balance["pending"], balance["problems"]) == (0, 0, [])
        assert "SIGKILL to worker" in demo.output()
        assert "runs again" in demo.output()


def test_the_commands_that_the_demo_names_work_when_it_is_over(state_dir: Path) -> None:
    with started(state_dir) as demo:
        assert demo.process.wait(END_S) == 0, demo.output()
        commands = [line.strip() for line in demo.output().splitlines() if line.startswith("  ") and "parked " in line]
        commands = [line for line in commands if not line.startswith("#")]
        assert len(commands) == 2, demo.output()
        shown = [subprocess.run(command, shell=True, capture_output=True, timeout=60) for command in commands]
        assert [done.returncode for done in shown] == [0, 0], shown
        parked = json.loads(demo.verb("parked", "list", "--json").stdout)["tasks"]
        assert len(parked) == 5
        assert b"ZeroDivisionError" in shown[1].stdout
        assert b'"ticks_per_s": 0}' in shown[1].stdout


def test_a_task_that_vanishes_is_missed(state_dir: Path) -> None:
    with started(state_dir, "--rm") as demo:
        demo.wait_for("the master runs")
        with contextlib.closing(sqlite3.connect(demo.directory / "tasks.sqlite", timeout=10)) as tasks, tasks:
            tasks.execute(f"DELETE FROM login_task WHERE id = {LOGINS} AND state = 'pending'")
            assert tasks.execute("SELECT changes()").fetchone() == (1,)
        assert demo.process.wait(END_S) == 1, demo.output()
        assert "1 task(s) are neither done nor parked" in demo.output()
        assert "it does not balance" in demo.output()
        assert demo.directory.is_dir(), "what does not balance is kept, also with --rm"


def test_with_rm_nothing_is_left(state_dir: Path) -> None:
    with started(state_dir, "--rm") as demo:
        assert demo.process.wait(END_S) == 0, demo.output()
        assert list(state_dir.glob("consumerd-demo-*")) == []


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_an_interrupted_demo_leaves_nothing_behind(state_dir: Path, number: signal.Signals) -> None:
    with started(state_dir) as demo:
        demo.wait_for("4 workers running")
        demo.process.send_signal(number)
        assert demo.process.wait(END_S) == 128 + number, demo.output()
        demo.wait_until_gone()
        assert "Traceback" not in demo.output()
        assert list(state_dir.glob("consumerd-demo-*")) == []


def test_a_killed_demo_leaves_no_process_behind(state_dir: Path) -> None:
    with started(state_dir) as demo:
        demo.wait_for("4 workers running")
        demo.process.kill()
        demo.process.wait(10)
        demo.wait_until_gone()


def test_the_demo_runs_on_a_terminal(state_dir: Path) -> None:
    ours, theirs = pty.openpty()
    termios.tcsetwinsize(theirs, (30, 40))
    with started(state_dir, "--rm", terminal=theirs, COLUMNS=None, LINES=None) as demo:
        os.close(theirs)
        shown = _read_to_end(ours)
        assert demo.process.wait(END_S) == 0, shown
        assert "it balances" in shown
        assert "Traceback" not in shown


def _read_to_end(terminal: int) -> str:
    """All that is written to a terminal until nobody has it open any more."""
    shown = b""
    with contextlib.suppress(OSError), open(terminal, "rb", buffering=0) as reader:
        while data := reader.read(65_536):
            shown += data
    return shown.decode(errors="replace").replace("\r\n", "\n")


def _pids() -> list[int]:
    return [int(entry.name) for entry in Path("/proc").iterdir() if entry.name.isdigit()]


def _is_in(session: int, pid: int) -> bool:
    """Whether a process lives in this session; a zombie does not live."""
    try:
        state, _, _, found, *_ = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return int(found) == session and state not in "ZX"
