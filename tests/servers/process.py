"""A server process under its guardian, as the test run sees it."""

import contextlib
import json
import select
import signal
import subprocess
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Self

from servers.waiting import wait_until

_GUARDIAN = Path(__file__).with_name("guardian.py")
_ANSWER_S = 120.0
_READY_S = 60.0
_TAIL_CHARACTERS = 4000


@dataclass(frozen=True)
class Plan:
    """How a server is run.

    `folder` is the server's own and goes with it. The commands of `prepare` run once, before the first start.
    `stop_signal` asks for an orderly stop, `end_signal` for a quick one when the data are no longer wanted.
    """

    name: str
    folder: Path
    prepare: tuple[tuple[str, ...], ...]
    command: tuple[str, ...]
    account: str | None = None
    stop_signal: signal.Signals = signal.SIGTERM
    end_signal: signal.Signals = signal.SIGKILL


class ServerProcess:
    """Starts, stops, kills and restarts one server; `close()`, or the end of this process, ends it for good.

    `is_ready` is asked until it is true after each start. A server that ends or is not ready in time is a RuntimeError
    that shows the end of its log.
    """

    def __init__(self, plan: Plan, is_ready: Callable[[], bool]) -> None:
        self._plan = plan
        self._is_ready = is_ready
        self._log = plan.folder / "server.log"
        self._pid: int | None = None
        with self._log.open("ab") as log:
            self._guardian = subprocess.Popen(
                [sys.executable, "-I", "-S", _GUARDIAN, json.dumps(asdict(plan), default=str)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=log,
                bufsize=0,
                start_new_session=True,
            )

    @classmethod
    def launch(cls, plan: Plan, is_ready: Callable[[], bool]) -> Self:
        """A started process; nothing is left of one that does not start."""
        process = cls(plan, is_ready)
        try:
            process.start()
        except BaseException:
            process.close()
            raise
        return process

    @property
    def folder(self) -> Path:
        """The server's folder, with its data and its log."""
        return self._plan.folder

    @property
    def pid(self) -> int:
        """The pid of the running server."""
        if self._pid is None:
            raise RuntimeError(f"{self._plan.name} is not running")
        return self._pid

    def start(self) -> None:
        """Start it, unless it runs, and wait until it is ready."""
        if self._ask("poll") == "running":
            return
        self._ask("stop")
        answer = self._ask("start")
        if not answer.startswith("started "):
            raise RuntimeError(f"{self._plan.name} did not start: {answer}\n{self.log_tail()}")
        self._pid = int(answer.removeprefix("started "))
        try:
            wait_until(self._is_up, _READY_S, f"{self._plan.name} is not ready")
        except TimeoutError as error:
            raise RuntimeError(f"{error}\n{self.log_tail()}") from error

    def stop(self) -> None:
        """Stop it in its own orderly way."""
        self._leave("stop")

    def kill(self) -> None:
        """Kill it and its descendants with SIGKILL, as a crash would."""
        self._leave("kill")

    def restart(self) -> None:
        """Stop it and start it with the same data on the same port."""
        self.stop()
        self.start()

    def close(self) -> None:
        """End it for good and remove its folder."""
        self._pid = None
        for pipe in (self._guardian.stdin, self._guardian.stdout):
            assert pipe is not None
            pipe.close()
        self._guardian.wait(_ANSWER_S)

    def log_tail(self) -> str:
        """The end of what the server has logged."""
        return self._log.read_text(errors="replace")[-_TAIL_CHARACTERS:]

    def _leave(self, command: str) -> None:
        self._pid = None
        self._ask(command)

    def _is_up(self) -> bool:
        state = self._ask("poll")
        if state != "running":
            raise RuntimeError(f"{self._plan.name} {state} while it started\n{self.log_tail()}")
        return self._is_ready()

    def _ask(self, command: str) -> str:
        stdin, stdout = self._guardian.stdin, self._guardian.stdout
        assert stdin is not None
        assert stdout is not None
        with contextlib.suppress(BrokenPipeError):
            stdin.write(f"{command}\n".encode())
        ready, _, _ = select.select([stdout], [], [], _ANSWER_S)
        answer = stdout.readline().decode().strip() if ready else ""
        if not answer:
            raise RuntimeError(f"the guardian of {self._plan.name} gave no answer to {command!r}\n{self.log_tail()}")
        return answer
