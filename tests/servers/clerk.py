"""A process of its own that answers questions: what may crash there does not take the tests along."""

import contextlib
import json
import os
import select
import subprocess
import sys
import threading
from pathlib import Path
from typing import Any

_TESTS = Path(__file__).parents[1]
_END_S = 10.0


class ClerkError(Exception):
    """There is no answer: it was refused, did not come in time, or the clerk died over the question."""


class Clerk:
    """Runs `python -m MODULE ARGUMENTS`, which answers each line of JSON on its standard input with one.

    A question is `[name, {argument: value}]`, an answer `{"answer": …}` or `{"error": "…"}`. The process is started
    with the first question, and anew with the next one after it died or was late. `close()`, or the end of this
    process, ends it.
    """

    def __init__(self, module: str, *arguments: str) -> None:
        self._command = [sys.executable, "-m", module, *arguments]
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()

    @property
    def pid(self) -> int | None:
        """The process that answered last; None before the first question and after one that got no answer."""
        return None if self._process is None else self._process.pid

    def ask(self, question: str, *, within_s: float, **arguments: object) -> Any:  # Any: JSON
        """The answer. Raises ClerkError."""
        with self._lock:
            answer = self._answer(json.dumps([question, arguments]).encode(), within_s)
        if "error" in answer:
            raise ClerkError(f"{question}: {answer['error']}")
        return answer["answer"]

    def close(self) -> None:
        """End the process: by the end of its input, or else with SIGKILL."""
        with self._lock:
            if self._process is not None:
                self._end(self._process, _END_S)

    def _answer(self, question: bytes, within_s: float) -> dict[str, Any]:  # Any: JSON
        process = self._process = self._process or self._start()
        stdin, stdout = process.stdin, process.stdout
        assert stdin is not None
        assert stdout is not None
        with contextlib.suppress(BrokenPipeError):
            stdin.write(question + b"\n")
        is_in_time = bool(select.select([stdout], [], [], within_s)[0])
        line = stdout.readline() if is_in_time else b""
        if not line.endswith(b"\n"):
            code = self._end(process, _END_S if is_in_time else 0.0)
            why = f"the clerk ended with {code}" if is_in_time else f"no answer in {within_s:g} s"
            raise ClerkError(f"{question.decode()}: {why}")
        answer: dict[str, Any] = json.loads(line)
        return answer

    def _start(self) -> "subprocess.Popen[bytes]":
        return subprocess.Popen(
            self._command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
            env={**os.environ, "PYTHONPATH": str(_TESTS)},
            start_new_session=True,
        )

    def _end(self, process: "subprocess.Popen[bytes]", patience_s: float) -> int:
        """Its exit code, once it has ended of itself or by force."""
        self._process = None
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(patience_s)
        process.kill()
        process.stdout.close()
        return process.wait()
