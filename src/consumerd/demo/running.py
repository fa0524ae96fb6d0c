"""The demo from its first step to its balance: produce, run, kill a worker half-way, stop, strike the balance.

Everything lies in one temporary directory; the master is a process of its own, as a person would start it.
"""

from __future__ import annotations

import contextlib
import json
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path

from consumerd import clock
from consumerd.demo.balance import Balance, Books, Login, payloads, select, strike
from consumerd.demo.login_consumer import SCHEMA
from consumerd.errors import ConsumerdError, NotRunningError, StateDirectoryError, UsageError
from consumerd.sources.table.schema import create_table, enqueue
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.inherited import die_with_parent
from consumerd.wire.status import WorkerStatus, ask_status

LOOK_EVERY_S = 0.05
SHOW_EVERY = 20
"""Of so many looks one is shown, and besides each that sees another number of workers than the last one."""
PATIENCE_S = 120.0
"""How long the demo watches before it stops, and its balance says what is missing."""
STOP_TIMEOUT_S = 10

Look = tuple[int, Sequence[WorkerStatus]]
"""How many logins are done, and the workers that run."""

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


class Demo:
    """One demo: its directory, and what lies in it. UsageError where there is no place for it.

    say: shows a line.
    """

    def __init__(self, logins: Sequence[Login], say: Callable[[str], None]) -> None:
        try:
            self.path = Path(tempfile.mkdtemp(prefix="consumerd-demo-"))
            self.state = StateDirectory.locate(self.path / "state", {}, 0)
        except (OSError, StateDirectoryError) as error:
            raise UsageError(f"the demo has no place for its files: {error}: set TMPDIR to a short path") from error
        self.tasks = self.path / "tasks.sqlite"
        self.log = self.path / "consumerd.log"
        self.arguments = ["run", str(self.path / "demo.toml"), "--state-dir", str(self.state.path)]
        self._grants = self.path / "grants.sqlite"
        self._logins, self._say = logins, say

    def fill(self) -> str:
        """Write the configuration, make the tables, produce the tasks; the text of the configuration."""
        text = _CONFIGURATION.format(
            stop_timeout_s=STOP_TIMEOUT_S,
            database=json.dumps(str(self.tasks)),  # a JSON string is a TOML string
            grants=json.dumps(str(self._grants)),
        )
        (self.path / "demo.toml").write_text(text)
        with contextlib.closing(sqlite3.connect(self._grants)) as grants:
            grants.executescript(SCHEMA)
        create_table(str(self.tasks), "login_task")
        enqueue(str(self.tasks), payloads(self._logins), "login_task")
        return text

    def run(self) -> Balance:
        """Run it to its balance. Nothing that it started is left running, also where an exception ends it."""
        with self._master() as master:
            self._say(f"the master runs, pid {master.pid}")
            killed_pid = self._watch(self._looks(master))
            self._say("SIGTERM to the master")
        self._say(f"the master and its workers have left, exit code {master.returncode}")
        balance = strike(self._books(killed_pid))
        left_wrong = (f"the master left with exit code {master.returncode}",) if master.returncode != 0 else ()
        return replace(balance, problems=(*balance.problems, *left_wrong))

    def _watch(self, looks: Iterator[Look]) -> int | None:
        """Kill one worker half-way, see its slot run again, and look until nothing is pending; the pid."""
        half_way = (workers for done, workers in looks if done * 2 >= len(self._logins))
        victim = next((each for workers in half_way for each in workers if isinstance(each.offset, int)), None)
        if victim is None or victim.pid is None:
            return None
        os.kill(victim.pid, signal.SIGKILL)
        self._say(f"half-way: SIGKILL to worker {victim.slot}, pid {victim.pid}, with a task in its hands")
        after = (each for _, workers in looks for each in workers if each.slot == victim.slot)
        again = next((each for each in after if each.generation > victim.generation), None)
        if again is not None:
            self._say(f"worker {again.slot} runs again, pid {again.pid}")
        any(self._pending() == 0 for _ in looks)
        return victim.pid

    def _looks(self, master: subprocess.Popen[bytes]) -> Iterator[Look]:
        """How it stands, again and again, for as long as the demo is patient."""
        started, number, before = clock.monotonic(), 0, 0
        while (elapsed_s := clock.monotonic() - started) < PATIENCE_S:
            workers = self._running_workers(master)
            ((done,),) = select(self._grants, "SELECT count(DISTINCT login_id) FROM handled")
            if number % SHOW_EVERY == 0 or len(workers) != before:
                progress = f"{done:,} of {len(self._logins):,} logins done, {len(workers)} workers running"
                self._say(f"{elapsed_s:4.1f} s: {progress}")
            yield done, workers
            number, before = number + 1, len(workers)
            clock.SYSTEM_CLOCK.sleep(LOOK_EVERY_S)

    def _running_workers(self, master: subprocess.Popen[bytes]) -> list[WorkerStatus]:
        if master.poll() is not None:
            raise ConsumerdError(f"the master has left with exit code {master.returncode}: see {self.log}")
        try:
            status = ask_status(self.state.control_socket)
        except NotRunningError:
            return []  # it is not up yet
        if status.pools[0].state == "failed":
            raise ConsumerdError(f"{'; '.join(status.problems)}: see {self.log}")
        return [worker for worker in status.pools[0].workers if worker.state == "running"]

    def _books(self, killed_pid: int | None) -> Books:
        """What the SQLite files say. That of the parked tasks is missing where none was ever parked."""
        store = self.state.parked_database
        grants = select(self._grants, "SELECT platform, uid, app_id, last_use_time FROM login_grant")
        return Books(
            logins=self._logins,
            handled=select(self._grants, "SELECT login_id, worker_pid FROM handled ORDER BY rowid"),
            parked=select(store, "SELECT payload, error FROM parked ORDER BY position") if store.exists() else (),
            grants={(platform, uid, app_id): last for platform, uid, app_id, last in grants},
            pending=self._pending(),
            killed_pid=killed_pid,
        )

    def _pending(self) -> int:
        """How many tasks the table still has to settle."""
        ((pending,),) = select(self.tasks, "SELECT count(*) FROM login_task WHERE state NOT IN ('done', 'dead')")
        return int(pending)

    @contextlib.contextmanager
    def _master(self) -> Iterator[subprocess.Popen[bytes]]:
        """The master in a process group of its own, so that a Ctrl-C is the demo's alone.

        It ends with the demo: by SIGTERM, then, past the deadline that it has itself, by SIGKILL.
        """
        with self.log.open("wb") as log:
            master = subprocess.Popen(
                [sys.executable, "-m", "consumerd", *self.arguments],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
                preexec_fn=partial(die_with_parent, True),
            )
        try:
            yield master
        finally:
            master.terminate()
            try:
                master.wait(STOP_TIMEOUT_S + 5.0)
            except subprocess.TimeoutExpired:
                master.kill()
                master.wait()
