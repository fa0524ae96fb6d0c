"""Keeps one server, and ends it with the test run, however that ends.

Runs as a process of its own, by path, on the standard library alone: `python guardian.py PLAN`, where PLAN is the JSON
of `process.Plan`. It reads one command a line from its standard input and answers each with one line:

    start -> started PID | failed WHAT      stop, kill -> stopped      poll -> running | exited CODE

At the end of its input, or when its parent is gone, it ends the server with all of the server's descendants, removes
the folder and exits. It watches the parent itself, too: a child that a test forked may hold the input open.
"""

import contextlib
import ctypes
import json
import os
import pwd
import select
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

_SET_CHILD_SUBREAPER = 36  # linux/prctl.h
_STOP_S = 20.0
_END_S = 3.0


class _Guardian:
    def __init__(self, plan: dict[str, Any]) -> None:  # Any: JSON
        self._plan = plan
        self._server: subprocess.Popen[bytes] | None = None
        self._unprepared: list[list[str]] = list(plan["prepare"])

    def answer(self, command: str) -> str:
        match command:
            case "start":
                return self._start()
            case "stop":
                self._end(signal.Signals(self._plan["stop_signal"]), _STOP_S)
                return "stopped"
            case "kill":
                self._end(signal.SIGKILL, _STOP_S)
                return "stopped"
            case "poll":
                return self._state()
            case _:
                return f"failed: unknown command {command!r}"

    def close(self) -> None:
        self._end(signal.Signals(self._plan["end_signal"]), _END_S)
        shutil.rmtree(self._plan["folder"], ignore_errors=True)

    def _start(self) -> str:
        if self._server is not None:
            return "failed: it runs already"
        try:
            while self._unprepared:
                subprocess.run(self._unprepared[0], check=True, **self._surroundings())
                del self._unprepared[0]
            self._server = subprocess.Popen(self._plan["command"], process_group=0, **self._surroundings())
        except (OSError, subprocess.CalledProcessError) as error:
            return f"failed: {error}"
        return f"started {self._server.pid}"

    def _surroundings(self) -> dict[str, Any]:  # Any: keyword arguments of Popen
        surroundings = {"stdin": subprocess.DEVNULL, "stdout": 2, "stderr": 2, "cwd": self._plan["folder"]}
        account = self._plan["account"]
        if account is not None:
            surroundings |= {"user": account, "group": pwd.getpwnam(account).pw_gid, "extra_groups": []}
        return surroundings

    def _state(self) -> str:
        if self._server is None:
            return "exited 0"
        exit_code = self._server.poll()
        return "running" if exit_code is None else f"exited {exit_code}"

    def _end(self, ask: signal.Signals, patience_s: float) -> None:
        """Ask the server to leave, then kill what is left of it and of its descendants."""
        if self._server is not None:
            self._server.send_signal(ask)
            with contextlib.suppress(subprocess.TimeoutExpired):
                self._server.wait(patience_s)
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.killpg(self._server.pid, signal.SIGKILL)
            self._server.wait()
            self._server = None
        _kill_orphans()


def _kill_orphans() -> None:
    """Kill and reap what the server left behind; as a subreaper we inherit each process whose parent is gone."""
    children = Path(f"/proc/self/task/{os.getpid()}/children")
    while children.exists() and (pids := children.read_text().split()):
        for pid in map(int, pids):
            os.kill(pid, signal.SIGKILL)
            os.waitpid(pid, 0)


def _become_subreaper() -> None:
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def _commands() -> Iterator[str]:
    """The parent's commands, until it closes the pipe or dies."""
    poll = select.poll()
    poll.register(0, select.POLLIN)
    if hasattr(os, "pidfd_open"):
        poll.register(os.pidfd_open(os.getppid()), select.POLLIN)
    while True:
        ready = {fd for fd, _ in poll.poll()}
        command = os.read(0, 64) if 0 in ready else b""
        if not command:
            return
        yield command.decode().strip()


def main() -> None:
    """Keep the server of the plan in `argv[1]`."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))
    _become_subreaper()
    guardian = _Guardian(json.loads(sys.argv[1]))
    try:
        for command in _commands():
            os.write(1, guardian.answer(command).encode() + b"\n")
    except BrokenPipeError:
        pass  # the parent died while we worked for it
    finally:
        guardian.close()


if __name__ == "__main__":
    main()
