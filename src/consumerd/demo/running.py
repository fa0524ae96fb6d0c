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
from dataclasses import replace
from pathlib import Path

from consumerd import clock
from consumerd.demo.balance import Balance, read_books, select, strike
from consumerd.demo.login_consumer import SCHEMA
from consumerd.demo.logins import Login, payloads
from consumerd.errors import ConsumerdError, NotRunningError, StateDirectoryError, UsageError
from consumerd.sources.table.schema import create_table, enqueue
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.status import WorkerStatus, ask_status

LOOK_EVERY_S = 0.05
PATIENCE_S = 120.0
"""How long the demo watches before it stops, and its balance says what is missing."""
STOP_TIMEOUT_S = 10
INTERRUPTS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
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


class Interrupted(BaseException):
    """A signal asks the demo to end. Its number is the first argument."""


class Workspace:
    """One demo's directory, and what lies in it. UsageError where there is no place for it."""

    def __init__(self) -> None:
        try:
            self.path = Path(tempfile.mkdtemp(prefix="consumerd-demo-"))
            self.state = StateDirectory.locate(self.path / "state", {}, 0)
        except (OSError, StateDirectoryError) as error:
            raise UsageError(f"the demo has no place for its files: {error}: set TMPDIR to a short path") from error
        self.configuration = self.path / "demo.toml"
        self.tasks = self.path / "tasks.sqlite"
        self.grants = self.path / "grants.sqlite"
        self.log = self.path / "consumerd.log"
        run = ["run", str(self.configuration), "--state-dir", str(self.state.path)]
        self.command = [sys.executable, "-m", "consumerd", *run]

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


class Demo:
    """One demo. say: shows a line for good; show: shows how it stands."""

    def __init__(
        self, workspace: Workspace, logins: tuple[Login, ...], say: Callable[[str], None], show: Callable[[str], None]
    ) -> None:
        self._place, self._logins, self._say, self._show = workspace, logins, say, show

    def run(self) -> Balance:
        """Run it to its balance. Nothing that it started is left running, also where `Interrupted` ends it."""
        with _master(self._place) as master:
            self._say(f"the master runs, pid {master.pid}")
            killed = self._watch(master)
            self._say("SIGTERM to the master")
            exit_code = _stop(master)
        self._say(f"the master and its workers have left, exit code {exit_code}")
        place = self._place
        books = read_books(
            place.tasks, place.state.parked_database, place.grants, logins=self._logins, killed_pids=killed
        )
        balance = strike(books)
        left_wrong = (f"the master left with exit code {exit_code}",) if exit_code != 0 else ()
        return replace(balance, problems=(*balance.problems, *left_wrong))

    def _watch(self, master: subprocess.Popen[bytes]) -> set[int]:
        """Look until nothing is pending, and kill one worker half-way; its pid, once its slot has another process."""
        started, victim, is_replaced = clock.monotonic(), None, False
        while (elapsed_s := clock.monotonic() - started) < PATIENCE_S:
            workers = self._running_workers(master)
            done, pending = self._counts()
            progress = f"{done:,} of {len(self._logins):,} logins done, {len(workers)} workers running"
            self._show(f"{elapsed_s:4.1f} s: {progress}")
            if victim is None and done * 2 >= len(self._logins):
                victim = self._kill([worker for worker in workers if isinstance(worker.offset, int)])
            if victim is not None and not is_replaced:
                is_replaced = self._sees_replacement(victim, workers)
            if is_replaced and pending == 0:
                break
            clock.SYSTEM_CLOCK.sleep(LOOK_EVERY_S)
        return set() if victim is None or victim.pid is None else {victim.pid}

    def _sees_replacement(self, victim: WorkerStatus, workers: list[WorkerStatus]) -> bool:
        for worker in workers:
            if worker.slot == victim.slot and worker.generation > victim.generation:
                self._say(f"worker {worker.slot} runs again, pid {worker.pid}")
                return True
        return False

    def _running_workers(self, master: subprocess.Popen[bytes]) -> list[WorkerStatus]:
        if master.poll() is not None:
            raise ConsumerdError(f"the master has left with exit code {master.returncode}: see {self._place.log}")
        try:
            status = ask_status(self._place.state.control_socket)
        except NotRunningError:
            return []  # it is not up yet
        if status.pools[0].state == "failed":
            raise ConsumerdError(f"{'; '.join(status.problems)}: see {self._place.log}")
        return [worker for worker in status.pools[0].workers if worker.state == "running"]

    def _counts(self) -> tuple[int, int]:
        """How many logins are done, by the consumer's own book, and how many tasks the table still has to settle."""
        ((done,),) = select(self._place.grants, "SELECT count(DISTINCT login_id) FROM handled")
        unsettled = "SELECT count(*) FROM login_task WHERE state NOT IN ('done', 'dead')"
        ((pending,),) = select(self._place.tasks, unsettled)
        return done, pending

    def _kill(self, busy: list[WorkerStatus]) -> WorkerStatus | None:
        """Kill a worker that has a task; None where none has, or it was faster."""
        for victim in busy:
            if victim.pid is not None:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(victim.pid, signal.SIGKILL)
                    told = f"SIGKILL to worker {victim.slot}, pid {victim.pid}, with a task in its hands"
                    self._say(f"half-way: {told}")
                    return victim
        return None


def raise_at_signals() -> None:
    """From now on raise `Interrupted` at the first signal that asks this process to end; its end is not disturbed."""

    def interrupt(number: int, frame: object) -> None:
        for each in INTERRUPTS:
            signal.signal(each, signal.SIG_IGN)
        raise Interrupted(number)

    for each in INTERRUPTS:
        if signal.getsignal(each) is not signal.SIG_IGN:  # as nohup has it
            signal.signal(each, interrupt)


@contextlib.contextmanager
def _master(place: Workspace) -> Iterator[subprocess.Popen[bytes]]:
    """The master in a process group of its own, so that a Ctrl-C is the demo's alone; it ends with the demo."""
    demo_pid = os.getpid()

    def stop_with_demo() -> None:  # in the child: takes no lock, and no thread runs yet
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != demo_pid:
            os.kill(os.getpid(), signal.SIGTERM)

    with place.log.open("wb") as log:
        master = subprocess.Popen(
            place.command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            process_group=0,
            preexec_fn=stop_with_demo,
        )
    try:
        yield master
    finally:
        _stop(master)


def _stop(master: subprocess.Popen[bytes]) -> int:
    """SIGTERM, then, past the deadline that the master has itself, SIGKILL; the exit code."""
    if master.poll() is None:
        master.send_signal(signal.SIGTERM)
    try:
        return master.wait(STOP_TIMEOUT_S + 5.0)
    except subprocess.TimeoutExpired:
        master.kill()
        return master.wait()
