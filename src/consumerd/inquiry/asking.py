"""Asking a child process: it runs user code, so that the process that asks never does. Imports nothing heavy.

`python -m MODULE FD SECONDS` gets its question as JSON on stdin and answers on a descriptor of its own (`reply`), one
JSON object a line; the last has `"last": true`. What user code prints goes elsewhere and cannot be taken for an
answer. Each child has a deadline and a process group, and is gone, with what it forked, when `ask_all` returns,
however it returns.
"""

from __future__ import annotations

import contextlib
import json
import os
import selectors
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
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


class _Child:
    """One child, from its start to its end."""

    def __init__(self, question: Question, selector: selectors.BaseSelector) -> None:
        self._question = question
        self._selector = selector
        self._allowed_s = question.timeout_s
        self.deadline = clock.monotonic() + self._allowed_s
        self._to_send = memoryview(json.dumps(question.asked).encode())
        self._answered = bytearray()
        self._output = bytearray()
        self._has_closed = False
        self._start()

    def is_over(self) -> bool:
        return self._has_closed or self._is_complete() or clock.monotonic() >= self.deadline

    def end(self) -> Answer:
        """Kill what is left of it, reap it, and say what came back."""
        is_complete = self._is_complete()
        self._kill()
        status = self._process.wait()
        self._take_rest_of_output()
        for fd in (self._question_fd, self._answer_fd, self._output_fd):
            self._close(fd)
        ending = "" if is_complete else _ending(status, None if self._has_closed else self._allowed_s)
        return Answer(tuple(self._parts()), is_complete, ending, self._output.decode("utf-8", "replace"))

    def _start(self) -> None:
        its_question, self._question_fd = os.pipe()
        self._answer_fd, its_answer = os.pipe()
        self._output_fd, its_output = os.pipe()
        longest_s = self._question.timeout_s + self._question.more_s
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-P", "-m", self._question.module, str(its_answer), str(longest_s)],
                stdin=its_question,
                stdout=its_output,
                stderr=its_output,
                pass_fds=(its_answer,),
                start_new_session=True,
            )
        finally:
            for fd in (its_question, its_answer, its_output):
                os.close(fd)
        os.set_blocking(self._question_fd, False)
        self._selector.register(self._question_fd, selectors.EVENT_WRITE, self._send)
        self._selector.register(self._answer_fd, selectors.EVENT_READ, self._take_answer)
        self._selector.register(self._output_fd, selectors.EVENT_READ, self._take_output)

    def _send(self) -> None:
        try:
            self._to_send = self._to_send[os.write(self._question_fd, self._to_send) :]
        except BrokenPipeError:
            self._to_send = self._to_send[:0]
        if not self._to_send:
            self._question_fd = self._close(self._question_fd)

    def _take_answer(self) -> None:
        read = os.read(self._answer_fd, _LARGEST_READ)
        if b"\n" in read and b"\n" not in self._answered:
            self._allowed_s = self._question.more_s
            self.deadline = clock.monotonic() + self._allowed_s
        self._answered += read
        if not read:
            self._has_closed = True
            self._answer_fd = self._close(self._answer_fd)

    def _take_output(self) -> None:
        if self._output_fd < 0:
            return
        read = os.read(self._output_fd, _LARGEST_READ)
        self._output = (self._output + read)[-OUTPUT_KEPT_BYTES:]
        if not read:
            self._output_fd = self._close(self._output_fd)

    def _take_rest_of_output(self) -> None:
        """What it printed last; a program that it started elsewhere may still hold the pipe, and is not waited for."""
        if self._output_fd >= 0:
            os.set_blocking(self._output_fd, False)
            with contextlib.suppress(BlockingIOError):
                self._take_output()

    def _is_complete(self) -> bool:
        return any(part.get("last") for part in self._parts())

    def _parts(self) -> Iterator[dict[str, Any]]:  # plain data
        return (json.loads(line) for line in bytes(self._answered).split(b"\n")[:-1])

    def _kill(self) -> None:
        """Its whole group. It is not reaped yet, so the id is still its own; where it is exiting, its status stands."""
        try:
            os.killpg(self._process.pid, signal.SIGKILL)
        except ProcessLookupError:
            self._process.kill()

    def _close(self, fd: int) -> int:
        """Close one of our ends, if it is open; what stands for it from now on is -1."""
        if fd >= 0:
            self._selector.unregister(fd)
            os.close(fd)
        return -1


def _ending(status: int, late_after_s: float | None) -> str:
    if late_after_s is not None:
        return f"did not answer within {late_after_s:g} s"
    if status < 0:
        return f"was killed by {signal.Signals(-status).name}"
    return f"ended with exit code {status} before it had answered"
