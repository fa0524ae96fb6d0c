"""Asking a child process: it runs user code, so that the process that asks never does. Imports nothing heavy.

`python -m MODULE FD SECONDS` gets its question as JSON on stdin and answers on a descriptor of its own (`reply`), one
JSON object a line; the last has `"last": true`. What user code prints goes elsewhere and cannot be taken for an answer. Each child has a
deadline and a process group, and is gone, with what it forked, when `ask_all` returns, however it returns.
"""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from consumerd import clock

TIMEOUT_S = 30.0
SIDE_BY_SIDE = 8
OUTPUT_KEPT_BYTES = 8192

_LARGEST_READ = 65_536


@dataclass(frozen=True, slots=True)
class Question:
    """What is asked: the module that answers, what it is told, and how long it may take.

    timeout_s: until its answer's first part; more_s: from then on, where it answers in several.
    """

    module: str
    asked: dict[str, Any]  # plain data, which the module knows
    timeout_s: float = TIMEOUT_S
    more_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back.

    parts: the objects that were answered; is_complete: whether the last of them came.
    ending: how an incomplete one ended, as the end of a sentence; output: the last 8 KiB that the child printed.
    """

    parts: tuple[dict[str, Any], ...]  # plain data, which the asker knows
    is_complete: bool
    ending: str
    output: str


def ask(question: Question) -> Answer:
    """Ask one child."""
    return ask_all([question])[0]


def ask_all(questions: Sequence[Question]) -> list[Answer]:
    """Ask a child for each question, some at a time; the answers in the order of the questions."""
    waiting = list(enumerate(questions))[::-1]
    children: dict[int, _Child] = {}
    answers: dict[int, Answer] = {}
    with selectors.DefaultSelector() as selector:
        try:
            while waiting or children:
                while waiting and len(children) < SIDE_BY_SIDE:
                    index, question = waiting.pop()
                    children[index] = _Child(question, selector)
                _serve(selector, min(child.deadline for child in children.values()))
                for index in [index for index, child in children.items() if child.is_over()]:
                    answers[index] = children.pop(index).end()
        finally:
            for child in children.values():
                child.end()
    return [answers[index] for index in range(len(questions))]


def _serve(selector: selectors.BaseSelector, deadline: float) -> None:
    """Wait for the next thing that a child does, until the earliest deadline, and take it in."""
    for key, _ in selector.select(max(0.0, deadline - clock.monotonic())):
        key.data()


@dataclass
class _Child:
    """One child, from its start to its end."""

    question: Question
    selector: selectors.BaseSelector
    deadline: float = 0.0
    allowed_s: float = 0.0
    answered: bytearray = field(default_factory=bytearray)
    output: bytearray = field(default_factory=bytearray)
    has_closed: bool = False

    def __post_init__(self) -> None:
        self.allowed_s = self.question.timeout_s
        self.deadline = clock.monotonic() + self.allowed_s
        self.to_send = memoryview(json.dumps(self.question.asked).encode())
        self.answer_fd, its_end = os.pipe()
        try:
            self.process = subprocess.Popen(
                [
                    sys.executable,
                    "-P",
                    "-m",
                    self.question.module,
                    str(its_end),
                    str(self.question.timeout_s + self.question.more_s),
                ],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
                pass_fds=(its_end,),
                start_new_session=True,
            )
        finally:
            os.close(its_end)
        assert self.process.stdin and self.process.stdout
        os.set_blocking(self.process.stdin.fileno(), False)
        self.selector.register(self.answer_fd, selectors.EVENT_READ, self._take_answer)
        self.selector.register(self.process.stdout.fileno(), selectors.EVENT_READ, self._take_output)
        self.selector.register(self.process.stdin.fileno(), selectors.EVENT_WRITE, self._send)

    def is_over(self) -> bool:
        return self.has_closed or self._is_complete() or clock.monotonic() >= self.deadline

    def end(self) -> Answer:
        """Kill what is left of it, reap it, and say what came back."""
        is_complete, was_late = self._is_complete(), not self.has_closed
        self._kill()
        status = self.process.wait()
        self._take_output(is_last=True)
        self._close()
        ending = "" if is_complete else _ending(status, self.allowed_s if was_late else None)
        return Answer(tuple(self._parts()), is_complete, ending, self.output.decode("utf-8", "replace"))

    def _send(self) -> None:
        assert self.process.stdin
        try:
            self.to_send = self.to_send[os.write(self.process.stdin.fileno(), self.to_send) :]
        except BrokenPipeError:
            self.to_send = self.to_send[:0]
        if not self.to_send:
            self.selector.unregister(self.process.stdin.fileno())
            self.process.stdin.close()

    def _take_answer(self) -> None:
        read = os.read(self.answer_fd, _LARGEST_READ)
        if not self.answered and read:
            self.allowed_s = self.question.more_s
            self.deadline = clock.monotonic() + self.allowed_s
        self.answered += read
        self.has_closed = not read
        if self.has_closed:
            self.selector.unregister(self.answer_fd)

    def _take_output(self, *, is_last: bool = False) -> None:
        assert self.process.stdout
        fd = self.process.stdout.fileno()
        if fd not in self.selector.get_map():
            return
        if is_last:
            os.set_blocking(fd, False)
        try:
            read = os.read(fd, _LARGEST_READ)
        except BlockingIOError:
            return
        self.output = (self.output + read)[-OUTPUT_KEPT_BYTES:]
        if not read:
            self.selector.unregister(fd)

    def _is_complete(self) -> bool:
        return any(part.get("last") for part in self._parts())

    def _parts(self) -> Iterable[dict[str, Any]]:  # plain data
        for line in bytes(self.answered).split(b"\n")[:-1]:
            yield json.loads(line)

    def _kill(self) -> None:
        """Its whole group. It is not reaped yet, so the id is still its own; where it is exiting, its status stands."""
        try:
            os.killpg(self.process.pid, signal.SIGKILL)
        except ProcessLookupError:
            self.process.kill()

    def _close(self) -> None:
        assert self.process.stdin and self.process.stdout
        for stream in (self.process.stdin, self.process.stdout):
            if not stream.closed and stream.fileno() in self.selector.get_map():
                self.selector.unregister(stream.fileno())
            stream.close()
        if not self.has_closed:
            self.selector.unregister(self.answer_fd)
        os.close(self.answer_fd)


def _ending(status: int, late_after_s: float | None) -> str:
    if late_after_s is not None:
        return f"did not answer within {late_after_s:g} s"
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with exit code {status} before it had answered"
