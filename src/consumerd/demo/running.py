"""`consumerd run` as the demo has it: a process of its own, asked by its control socket, stopped whatever happens."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
from functools import partial
from types import TracebackType
from typing import Self

from consumerd.demo.workspace import STOP_TIMEOUT_S, Workspace
from consumerd.errors import ConsumerdError, NotRunningError
from consumerd.wire import control

ANSWER_S = 5.0
EXIT_S = STOP_TIMEOUT_S + 5.0
_PR_SET_PDEATHSIG = 1
_LOG_LINES = 15


class RunningMaster:
    """One master, from `with` to its end. It leads a process group of its own, so that a Ctrl-C is the demo's alone."""

    def __init__(self, workspace: Workspace) -> None:
        self._workspace = workspace
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def command(self) -> list[str]:
        """What is executed, as a person could type it."""
        config, state_dir = str(self._workspace.configuration), str(self._workspace.state_dir)
        return [sys.executable, "-m", "consumerd", "run", config, "--state-dir", state_dir]

    @property
    def pid(self) -> int:
        assert self._process is not None
        return self._process.pid

    def __enter__(self) -> Self:
        with self._workspace.log.open("wb") as log:
            self._process = subprocess.Popen(
                self.command,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                process_group=0,
                preexec_fn=partial(_stop_with_parent, os.getpid()),  # takes no lock, and no thread runs yet
            )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def status(self) -> object | None:
        """The answer of the control socket; None while the master is not up yet. ConsumerdError when it has left."""
        assert self._process is not None
        if self._process.poll() is not None:
            raise ConsumerdError(f"the master has left with exit code {self._process.returncode}: {self._last_words()}")
        try:
            return control.call(self._workspace.state.control_socket, "status", timeout_s=ANSWER_S)
        except NotRunningError:
            return None

    def stop(self) -> int:
        """SIGTERM, then, past the deadline that the master has itself, SIGKILL; the exit code. May be called again.

        After a SIGKILL the workers see that the master is gone, and leave by themselves.
        """
        assert self._process is not None
        if self._process.poll() is None:
            self._process.send_signal(signal.SIGTERM)
        try:
            return self._process.wait(EXIT_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            return self._process.wait()

    def _last_words(self) -> str:
        lines = self._workspace.log.read_text(errors="replace").strip().splitlines()
        return " / ".join(lines[-_LOG_LINES:]) or "it said nothing"


def _stop_with_parent(parent_pid: int) -> None:
    """In the child: SIGTERM when the demo's main thread ends in whatever way, so that nothing is left behind."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM, 0, 0, 0)
        if os.getppid() != parent_pid:
            os.kill(os.getpid(), signal.SIGTERM)
