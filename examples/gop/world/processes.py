"""The processes of a run: the parts of the world, and consumerd. They share an environment and a log."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from consumerd.errors import ConsumerdError
from consumerd.wire.control import call

HERE = Path(__file__).parents[1]
EXIT_S = 45.0
LOOK_EVERY_S = 0.1
SAY_EVERY_S = 5.0


class Stage:
    """Where they run. environment: of all that is started from then on.

    What the daemons' own variables are in the environment of whoever starts it counts for nothing: that is another
    broker, and another database.
    """

    def __init__(self, folder: Path, **environment: str) -> None:
        self.folder, self.log = folder, folder / "log"
        path = os.pathsep.join([str(HERE), os.environ.get("PYTHONPATH", "")])
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("GOP_")}
        self.environment = {**inherited, "PYTHONPATH": path, **environment}
        self.notes: list[tuple[float, str]] = []

    def start(self, module: str, *arguments: str, is_read: bool = False) -> subprocess.Popen[str]:
        """is_read: what it writes to standard output, instead of to the log."""
        command = [sys.executable, "-m", module, *arguments]
        with self.log.open("ab") as log:
            output = subprocess.PIPE if is_read else log
            return subprocess.Popen(command, env=self.environment, stdout=output, stderr=log, text=True)

    @contextlib.contextmanager
    def process(self, module: str, *arguments: str, is_read: bool = False) -> Iterator[subprocess.Popen[str]]:
        """It is killed at the end of the block, unless it has ended."""
        process = self.start(module, *arguments, is_read=is_read)
        try:
            yield process
        finally:
            process.kill()
            process.wait()

    @contextlib.contextmanager
    def server(self, module: str, *arguments: str) -> Iterator[str]:
        """Its address."""
        with self.process(module, *arguments, is_read=True) as process:
            assert process.stdout is not None
            yield process.stdout.readline().strip()

    def note(self, what: str) -> None:
        self.notes.append((time.time(), what))
        _say(what)

    def wait_for(
        self, is_so: Callable[[], bool], patience_s: float, what: str, left: Callable[[], int] | None = None
    ) -> None:
        """left: how many tasks are waited for; said now and then."""
        deadline, say_at = time.monotonic() + patience_s, time.monotonic() + SAY_EVERY_S
        while not is_so():
            if time.monotonic() > deadline:
                self.note(f"in vain: {what}; see {self.log}")
                return
            if left is not None and time.monotonic() >= say_at:
                _say(f"{left():,} tasks are left")
                say_at = time.monotonic() + SAY_EVERY_S
            time.sleep(LOOK_EVERY_S)
        self.note(what)


def _say(what: str) -> None:
    print(f"{time.strftime('%H:%M:%S')} {what}", flush=True)


class Service:
    """What has the tasks done. master: the process that has started all others of it."""

    master: subprocess.Popen[str]

    def start(self) -> None:
        raise NotImplementedError

    def stop(self) -> None:
        """By SIGTERM, and what it has started with it."""
        self.master.terminate()
        self.master.wait(EXIT_S)

    @contextlib.contextmanager
    def running(self) -> Iterator[None]:
        """It is stopped at the end of the block."""
        self.start()
        try:
            yield
        finally:
            self.stop()


class Consumerd(Service):
    """A master on a configuration, and what it has started."""

    def __init__(self, stage: Stage, config: Path) -> None:
        self._stage, self._config = stage, config
        self._state = stage.folder / "state"
        self._socket = self._state / "control.sock"

    def start(self) -> None:
        command = Path(sys.executable).with_name("consumerd")
        print(f"to look at it: {command} status --state-dir {self._state}", flush=True)
        self.master = self._stage.start("consumerd", "run", str(self._config), "--state-dir", str(self._state))

    def kill_master(self) -> None:
        """With SIGKILL; another one is started."""
        self._stage.note("SIGKILL to the master, and another one is started")
        self.master.kill()
        self.master.wait()
        self.start()

    def kill_workers(self) -> None:
        """One of each consumer, the one that runs longest."""
        for name, pids in self.workers().items():
            if pids:
                self._kill(pids[0], f"a worker of {name}")

    def kill_zygote(self, name: str) -> None:
        """Of this consumer."""
        for pool in self._pools():
            if pool["name"] == name and pool["zygote"]["pid"]:
                self._kill(pool["zygote"]["pid"], f"the zygote of {name}")

    def run_archive(self) -> None:
        """Now, and not at its time."""
        call(self._socket, "run-now", {"target": "gop_archive/archive"}, timeout_s=EXIT_S)

    def workers(self) -> dict[str, list[int]]:
        """The pids of those that run, by consumer; none while no master answers."""
        return {
            pool["name"]: [worker["pid"] for worker in pool["workers"] if worker["state"] == "running"]
            for pool in self._pools()
        }

    def number_of_workers(self) -> int:
        return sum(map(len, self.workers().values()))

    def _pools(self) -> list[dict[str, Any]]:
        try:
            status: Any = call(self._socket, "status", timeout_s=EXIT_S)  # of any JSON
        except (ConsumerdError, OSError):
            return []
        return list(status["pools"])

    def _kill(self, pid: int, what: str) -> None:
        self._stage.note(f"SIGKILL to {what}")
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
