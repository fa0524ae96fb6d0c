"""The demo from its first step to its balance: produce, run, kill a worker half-way, stop, strike the balance.

Everything lies in one temporary directory; the master is a process of its own, as a person would start it.
"""

from __future__ import annotations

import contextlib
import ctypes
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

from consumerd import clock
from consumerd.demo.balance import Balance, read_books, select, strike
from consumerd.demo.login_consumer import SCHEMA
from consumerd.demo.logins import Login, payloads
from consumerd.errors import ConsumerdError, NotRunningError, StateDirectoryError, UsageError
from consumerd.sources.table.schema import create_table, enqueue
from consumerd.state.state_dir import StateDirectory
from consumerd.wire import control

LOOK_EVERY_S = 0.05
PATIENCE_S = 120.0
"""How long the demo watches before it stops, and its balance says what is missing."""
STOP_TIMEOUT_S = 10
_PR_SET_PDEATHSIG = 1

_CONFIGURATION = """\
# Written by `consumerd demo`: one consumer, four worker processes, everything in SQLite files.

[consumerd]
parking = "embedded"  # what keeps failing is kept in the state directory
stop_timeout = {stop_timeout_s}

[[demo]]
name = "logins"
class = "consumerd.demo.login_consumer:LoginConsumer"

[demo.configs]
workers = 4
task_retry_times = 1  # a failed task is tried once more at once, then parked
database = {database}
table = "login_task"
batch_size = 25  # small, so that one can watch; the default is 100

# The demo consumer's own keys
grants = {grants}
pause_s = 0.008
"""


@dataclass(frozen=True, slots=True)
class Workspace:
    """One demo's directory, and what lies in it."""

    path: Path

    @classmethod
    def make(cls) -> Workspace:
        """Make a new directory, under TMPDIR where that path is short enough for a Unix socket, else under /tmp.

        Raises UsageError where there is no place for it.
        """
        for parent in (tempfile.gettempdir(), "/tmp"):  # noqa: S108 - only a place for a fresh private directory
            try:
                workspace = cls(Path(tempfile.mkdtemp(prefix="consumerd-demo-", dir=parent)))
            except OSError as error:
                raise UsageError(f"no directory can be made in {parent} ({error.strerror}): set TMPDIR") from error
            with contextlib.suppress(StateDirectoryError):
                StateDirectory.locate(workspace.state.path, {}, 0)
                return workspace
            workspace.path.rmdir()
        raise UsageError("the path of a temporary directory is too long for a Unix socket: set TMPDIR to a shorter one")

    @property
    def configuration(self) -> Path:
        return self.path / "demo.toml"

    @property
    def tasks(self) -> Path:
        return self.path / "tasks.sqlite"

    @property
    def grants(self) -> Path:
        return self.path / "grants.sqlite"

    @property
    def log(self) -> Path:
        return self.path / "consumerd.log"

    @property
    def state(self) -> StateDirectory:
        return StateDirectory(self.path / "state")

    @property
    def command(self) -> list[str]:
        """What runs the master."""
        return [sys.executable, "-m", "consumerd", "run", str(self.configuration), "--state-dir", str(self.state.path)]

    def fill(self, logins: tuple[Login, ...]) -> str:
        """Write the configuration, make the tables, produce the tasks; the text of the configuration."""
        text = _CONFIGURATION.format(
            stop_timeout_s=STOP_TIMEOUT_S,
            database=json.dumps(str(self.tasks)),  # a JSON string is a TOML string
            grants=json.dumps(str(self.grants)),
        )
        self.configuration.write_text(text)
        with contextlib.closing(sqlite3.connect(self.grants)) as grants:
            grants.executescript(SCHEMA)
        create_table(str(self.tasks), "login_task")
        enqueue(str(self.tasks), payloads(logins), "login_task")
        return text


@dataclass
class Demo:
    """One demo. say: shows a line for good; show: shows how it stands; interrupted_by: the signal that came, if any."""

    workspace: Workspace
    logins: tuple[Login, ...]
    say: Callable[[str], None]
    show: Callable[[str], None]
    interrupted_by: int | None = None

    def run(self) -> Balance | None:
        """Run it to its balance; None where a signal came first. Nothing that it started is left running."""
        with self._listening(), self._master() as master:
            self.say(f"the master runs, pid {master.pid}")
            killed = self._watch(master)
            if self.interrupted_by is not None:
                return None
            self.say("SIGTERM to the master")
            exit_code = _stop(master)
        self.say(f"the master and its workers have left, exit code {exit_code}")
        place = self.workspace
        balance = strike(
            read_books(place.tasks, place.state.parked_database, place.grants, logins=self.logins, killed_pids=killed)
        )
        left_wrong = (f"the master left with exit code {exit_code}",) if exit_code != 0 else ()
        return replace(balance, problems=(*balance.problems, *left_wrong))

    def _watch(self, master: subprocess.Popen[bytes]) -> set[int]:
        """Look until nothing is pending, and kill one worker half-way; its pid, once its slot has another process."""
        started = clock.monotonic()
        victim: dict[str, Any] = {}  # the worker that was killed, as the master's status had it
        is_replaced = False
        while self.interrupted_by is None and clock.monotonic() - started < PATIENCE_S:
            workers = self._running_workers(master)
            done, pending = self._counts()
            elapsed_s = clock.monotonic() - started
            self.show(
                f"{elapsed_s:4.1f} s: {done:,} of {len(self.logins):,} logins done, {len(workers)} workers running"
            )
            if victim and not is_replaced:
                is_replaced = self._sees_replacement(victim, workers)
            if is_replaced and pending == 0:
                break
            if not victim and done * 2 >= len(self.logins):
                victim = self._kill([worker for worker in workers if worker.get("offset") is not None])
            clock.SYSTEM_CLOCK.sleep(LOOK_EVERY_S)
        return {victim["pid"]} if victim else set()

    def _sees_replacement(self, victim: dict[str, Any], workers: list[dict[str, Any]]) -> bool:  # as in status
        for worker in workers:
            if worker["slot"] == victim["slot"] and worker["generation"] > victim["generation"]:
                self.say(f"worker {worker['slot']} runs again, pid {worker['pid']}")
                return True
        return False

    def _running_workers(
        self, master: subprocess.Popen[bytes]
    ) -> list[dict[str, Any]]:  # as the answer to `status` has them
        if master.poll() is not None:
            raise ConsumerdError(f"the master has left with exit code {master.returncode}: see {self.workspace.log}")
        try:
            status: Any = control.call(self.workspace.state.control_socket, "status", timeout_s=5.0)
        except NotRunningError:
            return []  # it is not up yet
        if status["pools"][0]["state"] == "failed":
            raise ConsumerdError(f"{'; '.join(status['problems'])}: see {self.workspace.log}")
        return [worker for worker in status["pools"][0]["workers"] if worker["state"] == "running"]

    def _counts(self) -> tuple[int, int]:
        """How many logins are done, by the consumer's own book, and how many tasks the table still has to settle."""
        ((done,),) = select(self.workspace.grants, "SELECT count(DISTINCT login_id) FROM handled")
        ((pending,),) = select(
            self.workspace.tasks, "SELECT count(*) FROM login_task WHERE state NOT IN ('done', 'dead')"
        )
        return done, pending

    def _kill(self, busy: list[dict[str, Any]]) -> dict[str, Any]:  # workers as above
        """Kill the worker that has handled most; empty where none is busy, or it was faster."""
        victim = max(busy, key=lambda worker: int(worker["handled"]), default={})
        if not victim:
            return {}
        try:
            os.kill(victim["pid"], signal.SIGKILL)
        except ProcessLookupError:
            return {}
        self.say(f"half-way: SIGKILL to worker {victim['slot']}, pid {victim['pid']}, with a task in its hands")
        return victim

    @contextlib.contextmanager
    def _master(self) -> Iterator[subprocess.Popen[bytes]]:
        """The master in a process group of its own, so that a Ctrl-C is the demo's alone; it ends with the demo."""
        with self.workspace.log.open("wb") as log:
            master = subprocess.Popen(
                self.workspace.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
                preexec_fn=partial(_stop_with_parent, os.getpid()),  # takes no lock, and no thread runs yet
            )
        try:
            yield master
        finally:
            _stop(master)

    @contextlib.contextmanager
    def _listening(self) -> Iterator[None]:
        """Note SIGINT, SIGTERM and, without nohup, SIGHUP until the end of the block; the demo looks at each turn."""

        def note(number: int, frame: object) -> None:
            del frame
            self.interrupted_by = number

        is_deaf_to_hangup = signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
        heard = [signal.SIGINT, signal.SIGTERM, *([] if is_deaf_to_hangup else [signal.SIGHUP])]
        before = {number: signal.signal(number, note) for number in heard}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)


def _stop(master: subprocess.Popen[bytes]) -> int:
    """SIGTERM, then, past the deadline that the master has itself, SIGKILL; the exit code."""
    if master.poll() is None:
        master.send_signal(signal.SIGTERM)
    try:
        return master.wait(STOP_TIMEOUT_S + 5.0)
    except subprocess.TimeoutExpired:
        master.kill()
        return master.wait()


def _stop_with_parent(parent_pid: int) -> None:
    """In the child: SIGTERM when the demo's main thread ends in whatever way, so that nothing is left behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent_pid:
            os.kill(os.getpid(), signal.SIGTERM)
