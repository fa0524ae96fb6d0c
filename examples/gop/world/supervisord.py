"""The scripts of before/ under supervisord, with the faults that consumerd has."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
from pathlib import Path

from world.processes import HERE, Service, Stage

PROGRAMS = ("login_grants", "accounts", "notifications", "checks", "archive")
SOONER = {
    "NOTIFICATION_TIMEOUT": "2",
    "NOTIFICATION_BACK_OFF": "0.2",
    "NOTIFICATION_MAX_BACK_OFF": "2",
    "NOTIFICATION_EXPIRE": "20",
    "CHECK_TIMEOUT": "2",
    "CHECK_RETRY": "0.5",
    "CHECK_PENDING": "[[5, 1], [20, 2]]",
    "CHECK_UNKNOWN": "[[5, 0.5], [15, 1]]",
    "ARCHIVE_PAGE": "100",
}
"""A day has some minutes in this world, as `make gop` has it for consumerd."""


class Supervisord(Service):
    """It, and what it has started. program: its path.

    Killed, it leaves its scripts behind. systemd would end them with it, as they are of one service, and so it is here.
    """

    def __init__(self, stage: Stage, program: Path) -> None:
        self._stage, self._program = stage, program

    def start(self) -> None:
        path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
        environment = {**self._stage.environment, **SOONER, "PATH": path, "GOP_LOGS": str(self._stage.folder)}
        command = [str(self._program), "-c", str(HERE / "before" / "supervisord.conf")]
        with self._stage.log.open("ab") as log:
            self.master = subprocess.Popen(
                command, env=environment, stdout=log, stderr=log, start_new_session=True, text=True
            )

    def kill_master(self) -> None:
        """With SIGKILL; another one is started."""
        self._stage.note("SIGKILL to supervisord and, as of one service, to its scripts; another one is started")
        scripts = [pid for pids in self.workers().values() for pid in pids]
        self.master.kill()
        self.master.wait()
        for pid in scripts:
            _kill(pid)
        self.start()

    def kill_workers(self) -> None:
        """One of each program."""
        for program, pids in self.workers().items():
            if pids:
                self._stage.note(f"SIGKILL to a process of {program}")
                _kill(pids[0])

    def kill_zygote(self, name: str) -> None:
        """There is none."""

    def run_archive(self) -> None:
        """It runs when it starts."""

    def workers(self) -> dict[str, list[int]]:
        """The pids of those that run, by program."""
        found: dict[str, list[int]] = {program: [] for program in PROGRAMS}
        for pid in _children(self.master.pid):
            with contextlib.suppress(OSError):
                command = Path(f"/proc/{pid}/cmdline").read_bytes().decode().split("\0")
                for program in PROGRAMS:
                    if f"{program}.py" in command:
                        found[program].append(pid)
        return found


def _children(pid: int) -> list[int]:
    with contextlib.suppress(OSError):
        return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]
    return []


def _kill(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
