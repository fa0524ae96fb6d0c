"""Asking a child process: it runs user code, so that the process that asks never does. Imports nothing heavy.

`python -m MODULE FD SECONDS` gets its question as JSON on stdin (`receive`) and answers on a descriptor of its own,
once or several times, each time with all that it has found. What user code prints goes elsewhere and cannot be taken
for an answer. Each child has a deadline and a process group, and is gone, with what it forked, when `ask` or `ask_all`
returns, however it returns.
"""

from __future__ import annotations

import json
import math
import os
import select
import signal
import subprocess
import sys
from collections.abc import Sequence
from contextlib import ExitStack, suppress
from dataclasses import dataclass
from io import FileIO
from typing import Any

from consumerd import clock

TIMEOUT_S = 30.0
SIDE_BY_SIDE = 8
OUTPUT_KEPT_BYTES = 8192

GRACE_S = 5

_LARGEST_READ = 65_536

Plain = dict[str, Any]  # plain data, which both ends know


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked.

    module: the module that answers.
    asked: what it is told.
    timeout_s: how long its first answer may take.
    more_s: how long the others may take from then on, where it answers several times.
    """

    module: str
    asked: Plain
    timeout_s: float = TIMEOUT_S
    more_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    found: what the child has answered last, None where that is nothing yet.
    ending: where that was not its last word, how the child ended, as the end of a sentence; or empty.
    output: the last 8 KiB that the child printed.
    """

    found: Plain | None
    ending: str
    output: str


@dataclass(frozen=True, slots=True)
class Reply:
    """Where a child answers."""

    fd: int

    def send(self, found: Plain, *, is_last: bool = True) -> None:
        """All that is found by now; the asker reads on until the last."""
        line = memoryview(json.dumps([found, is_last]).encode() + b"\n")
        while line:
            line = line[os.write(self.fd, line) :]


def receive(arguments: Sequence[str]) -> tuple[Reply, Plain]:
    """In the child: what is asked, and where to answer. To be called before any user code runs.

    The descriptor is not left to programs that user code starts. Should the asker be killed, so that nobody ends this
    process at its deadline, the alarm does.
    """
    fd, timeout_s = int(arguments[0]), float(arguments[1])
    os.set_inheritable(fd, False)
    signal.alarm(math.ceil(timeout_s) + GRACE_S)
    asked: Plain = json.load(sys.stdin)
    return Reply(fd), asked


def ask(question: Question, *, stopped: int | None = None) -> Answer:
    """Ask one child: start it, listen to it, end it.

    stopped: a descriptor at whose end nobody wants the answer any more.
    """
    with ExitStack() as files:
        answers, its_answers, output, its_output = map(files.enter_context, (*_pipe(), *_pipe()))
        process = _start(question, its_answers, its_output)
        heard = _Heard(question, answers.fileno(), output.fileno())
        try:
            is_late = heard.listen(stopped)
        finally:
            _kill(process)
            status = process.wait()
        os.set_blocking(output.fileno(), False)
        with suppress(BlockingIOError):  # a program that it started elsewhere may hold the pipe, and is not waited for
            heard.take_output()
    ending = "" if heard.is_over else _ending(status, heard.allowed_s if is_late else None)
    return Answer(heard.found, ending, heard.output.decode("utf-8", "replace"))


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


class _Heard:
    """What a child has said so far."""

    def __init__(self, question: Question, answers: int, output: int) -> None:
        self.found: Plain | None = None
        self.is_over = False
        self.output = b""
        self.allowed_s = question.timeout_s
        self._more_s = question.more_s
        self._deadline = clock.monotonic() + question.timeout_s
        self._fds = answers, output
        self._answered = b""

    def listen(self, stopped: int | None) -> bool:
        """Until the child has said all, or has ended, or its time is over, or nobody waits; whether it was late."""
        answers, output = self._fds
        poll = select.poll()
        for fd in self._fds if stopped is None else (*self._fds, stopped):
            poll.register(fd, select.POLLIN)
        while not self.is_over and (left_s := self._deadline - clock.monotonic()) > 0:
            ready = {fd for fd, _ in poll.poll(left_s * 1000)}
            if stopped in ready:
                break
            if output in ready and not self.take_output():
                poll.unregister(output)
            if answers in ready and not self._take_answers():
                return False
        return True

    def take_output(self) -> bytes:
        """What it has printed; nothing at the end."""
        read = os.read(self._fds[1], _LARGEST_READ)
        self.output = (self.output + read)[-OUTPUT_KEPT_BYTES:]
        return read

    def _take_answers(self) -> bytes:
        read = os.read(self._fds[0], _LARGEST_READ)
        *lines, self._answered = (self._answered + read).split(b"\n")
        for line in lines:
            self.found, self.is_over = json.loads(line)
            self.allowed_s = self._more_s
            self._deadline = clock.monotonic() + self._more_s
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
