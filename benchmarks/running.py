"""Supervisors, for benchmarks of the whole tree: `consumerd run`, and others."""

from __future__ import annotations

import contextlib
import json
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from benchmarks.hello import DIRECTORY, Hellos, listening
from consumerd.wire.control import call

ROOT = Path(__file__).parents[1]
STOPS_WITHIN_S = 60.0

Command = Callable[[Path], list[str]]
"""Writes what a supervisor needs into a directory, and gives its command line."""


class Running:
    """A supervisor, in a directory of its own; gone, with all its workers, at the end of the `with`.

    hellos: what its workers tell. begun_ns: when it was executed. Its stdout and stderr are files of the directory.
    """

    def __init__(self, command: Command) -> None:
        self._command = command
        self._open = contextlib.ExitStack()
        self.directory = Path(tempfile.mkdtemp(prefix="consumerd-benchmark-"))

    def __enter__(self) -> Self:
        self.hellos: Hellos = self._open.enter_context(listening(self.directory))
        command = self._command(self.directory)
        stdout = self._open.enter_context((self.directory / "stdout").open("wb"))
        stderr = self._open.enter_context((self.directory / "stderr").open("wb"))
        self.begun_ns = time.monotonic_ns()
        self.process = subprocess.Popen(
            command,
            env=_environment() | {DIRECTORY: str(self.directory), "PYTHONPATH": str(ROOT), "HOME": str(self.directory)},
            cwd=self.directory,
            stdin=subprocess.DEVNULL,
            stdout=stdout,
            stderr=stderr,
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self.process.poll() is None:
            self.stop(())
        for pid in self.hellos.pids:  # what a supervisor leaves behind
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self._open.close()
        shutil.rmtree(self.directory)

    def stop(self, workers: Iterable[int]) -> float:
        """Send SIGTERM; the seconds until the supervisor and these workers have ended. What is late is killed."""
        waiting = set(_pidfds((self.process.pid, *workers)))
        ends = select.poll()
        for pidfd in waiting:
            ends.register(pidfd, select.POLLIN)
        begun = time.monotonic()
        self.process.send_signal(signal.SIGTERM)
        while waiting:
            ended = ends.poll(max(0.0, begun + STOPS_WITHIN_S - time.monotonic()) * 1000)
            for pidfd in [pidfd for pidfd, _ in ended] or list(waiting):
                if not ended:
                    signal.pidfd_send_signal(pidfd, signal.SIGKILL)
                ends.unregister(pidfd)
                os.close(pidfd)
                waiting.remove(pidfd)
        seconds = time.monotonic() - begun
        self.process.wait()
        return seconds


def _environment() -> dict[str, str]:
    """Ours, but bytecode is kept, as what is installed has it: else each process would compile all it imports."""
    return {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}


def _pidfds(pids: Iterable[int]) -> Iterator[int]:
    for pid in pids:
        with contextlib.suppress(ProcessLookupError):  # it has ended
            yield os.pidfd_open(pid)


class RunningMaster(Running):
    """A master, in whose directory the state directory is `state`. groups: of its configuration."""

    def __init__(self, groups: Mapping[str, object]) -> None:
        self._groups = groups
        super().__init__(self._write)

    @classmethod
    def of_pool(cls, consumer: str, workers: int, configs: Mapping[str, object] | None = None) -> Self:
        """One with a single pool."""
        return cls({"benchmark": [pool_entry("pool", consumer, workers, configs)]})

    def _write(self, directory: Path) -> list[str]:
        configuration = directory / "benchmark.json"
        configuration.write_text(json.dumps(self._groups))
        command = [sys.executable, "-m", "consumerd", "run", str(configuration), "--parking", "embedded"]
        return [*command, "--state-dir", str(directory / "state"), "--log-format", "json"]

    def handled(self, pool: str) -> int:
        """How many tasks the workers of a pool have done, as the master knows it now."""
        status: Any = call(self.directory / "state" / "control.sock", "status")
        return sum(each["handled"] for each in status["pools"] if each["name"] == pool)

    def logged(self, event: str) -> list[dict[str, Any]]:
        """The lines of the log that tell of this event."""
        lines = (self.directory / "stdout").read_text().splitlines(keepends=True)
        parsed: list[dict[str, Any]] = [json.loads(line) for line in lines if line.endswith("\n")]
        return [line for line in parsed if line["event"] == event]


def pool_entry(
    name: str, consumer: str, workers: int, configs: Mapping[str, object] | None = None
) -> dict[str, object]:
    """The entry of one pool in a group."""
    return {"class": consumer, "name": name, "configs": {"workers": workers, **(configs or {})}}
