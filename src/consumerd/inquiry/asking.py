"""Asking a child process: it runs user code, so that the process that asks never does. Imports nothing heavy.

`python -m MODULE FD SECONDS` gets its question as JSON on stdin and answers on a descriptor of its own (`answering`),
one JSON object a line; the last has `"last": true`. What user code prints goes elsewhere and cannot be taken for an
answer. Each child has a deadline and a process group, and is gone, with what it forked, when `ask` or `ask_all`
returns, however it returns.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from io import FileIO
from typing import Any

from consumerd import clock

TIMEOUT_S = 30.0
SIDE_BY_SIDE = 8
OUTPUT_KEPT_BYTES = 8192

_LARGEST_READ = 65_536


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    module: the module that answers.
    asked: what it is told.
    timeout_s: how long its answer's first part may take.
    more_s: how long the others may take from then on, where it answers in several parts.
    """

    module: str
    asked: dict[str, Any]  # plain data, which the module knows
    timeout_s: float = TIMEOUT_S
    more_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    parts: the objects that were answered.
    is_complete: whether the last of them came.
    ending: how the child of an incomplete one ended, as the end of a sentence.
    output: the last 8 KiB that the child printed.
    """

    parts: tuple[dict[str, Any], ...]  # plain data, which the asker knows
    is_complete: bool
    ending: str
    output: str


def ask(question: Question, *, stopped: int | None = None) -> Answer:
    """Ask one child: start it, listen to it, end it.

    stopped: a descriptor at whose end nobody wants the answer any more.
    """
    with ExitStack() as files:
        answers, its_answers, output, its_output = map(files.enter_context, (*_pipe(), *_pipe()))
        process = _start(question, its_answers, its_output)
        received = _Received()
        try:
            late_after_s = received.listen(question, answers.fileno(), output.fileno(), stopped)
        finally:
            _kill(process)
            status = process.wait()
        received.take_rest(output.fileno())
    is_complete = received.is_complete
    ending = "" if is_complete else _ending(status, late_after_s)
    return Answer(tuple(received.parts()), is_complete, ending, received.output.decode("utf-8", "replace"))


def ask_all(questions: Sequence[Question]) -> list[Answer]:
    """Ask a child for each question, some at a time, each by a thread; the answers in the order of the questions."""
    from concurrent.futures import ThreadPoolExecutor  # takes logging along, and a child that answers needs neither

    stopped, stop = os.pipe()
    pool = ThreadPoolExecutor(SIDE_BY_SIDE, "asking")
    try:
        return list(pool.map(lambda question: ask(question, stopped=stopped), questions))
    finally:
        os.close(stop)  # a thread that waits for its child sees that: nobody wants the answer any more
        pool.shutdown(cancel_futures=True)
        os.close(stopped)


def _pipe() -> tuple[FileIO, FileIO]:
    reader, writer = os.pipe()
    return FileIO(reader, "rb"), FileIO(writer, "wb")


def _start(question: Question, its_answers: FileIO, its_output: FileIO) -> subprocess.Popen[bytes]:
    """The child, which has its own copies of the files: ours are closed."""
    fd, longest_s = its_answers.fileno(), question.timeout_s + question.more_s
    with os.fdopen(os.memfd_create("consumerd-question"), "w+", encoding="utf-8") as asked, its_answers, its_output:
        json.dump(question.asked, asked)
        asked.seek(0)
        return subprocess.Popen(
            [sys.executable, "-P", "-m", question.module, str(fd), str(longest_s)],
            stdin=asked,
            stdout=its_output,
            stderr=its_output,
            pass_fds=(fd,),
            start_new_session=True,
        )


class _Received:
    """What a child has said so far."""

    def __init__(self) -> None:
        self.output = b""
        self._answered = b""

    def parts(self) -> Iterator[dict[str, Any]]:  # plain data
        return (json.loads(line) for line in self._answered.split(b"\n")[:-1])

    @property
    def is_complete(self) -> bool:
        return any(part.get("last") for part in self.parts())

    def listen(self, question: Question, answers: int, output: int, stopped: int | None) -> float | None:
        """Until the child has said all, or has ended, or its time is over; then the seconds after which it was late."""
        allowed_s = question.timeout_s
        deadline = clock.monotonic() + allowed_s
        with selectors.DefaultSelector() as selector:
            for fd in (answers, output) if stopped is None else (answers, output, stopped):
                selector.register(fd, selectors.EVENT_READ)
            while not self.is_complete and (left_s := deadline - clock.monotonic()) > 0:
                ready = {key.fd for key, _ in selector.select(left_s)}
                if stopped in ready:
                    break
                if output in ready and not self._take_output(output):
                    selector.unregister(output)
                if answers in ready:
                    read = os.read(answers, _LARGEST_READ)
                    if not read:
                        return None
                    if b"\n" in read and b"\n" not in self._answered:
                        allowed_s = question.more_s
                        deadline = clock.monotonic() + allowed_s
                    self._answered += read
        return allowed_s

    def take_rest(self, output: int) -> None:
        """What it printed last; a program that it started elsewhere may still hold the pipe, and is not waited for."""
        os.set_blocking(output, False)
        with suppress(BlockingIOError):
            self._take_output(output)

    def _take_output(self, fd: int) -> bytes:
        read = os.read(fd, _LARGEST_READ)
        self.output = (self.output + read)[-OUTPUT_KEPT_BYTES:]
        return read


def _kill(process: subprocess.Popen[bytes]) -> None:
    """Its whole group. It is not reaped yet, so the id is still its own; where it is exiting, its status stands."""
    try:
        os.killpg(process.pid, signal.SIGKILL)
    except ProcessLookupError:
        process.kill()


def _ending(status: int, late_after_s: float | None) -> str:
    if late_after_s is not None:
        return f"did not answer within {late_after_s:g} s"
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with exit code {status} before it had answered"
