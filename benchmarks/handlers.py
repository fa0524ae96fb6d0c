"""The handlers that both loops call, and a consumer of ours around one."""

from __future__ import annotations

import os
import signal
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from benchmarks.runs import Watch

Handler = Callable[..., None]


def handle_nothing(offset: int, record: object) -> None:
    """The trivial handler."""


def handle_20us(offset: int, record: object) -> None:
    """Busy for 20 µs."""
    until = time.perf_counter() + 20e-6
    while time.perf_counter() < until:
        pass


def before_task() -> None:
    """A hook that does nothing."""


def handle_after_hook(offset: int, record: object) -> None:
    """The trivial handler, with a hook before each task: a consumer of ours has it as `pre_handle_task`."""
    before_task()
    handle_nothing(offset=offset, record=record)


HANDLERS: dict[str, Handler] = {"nothing": handle_nothing, "hook": handle_after_hook, "20us": handle_20us}

LOOKS = 100
"""The stopwatch is looked at after so many tasks, where the loop tells of each."""


def stopping(base: type, watch: Watch) -> Any:  # a consumer class
    """A consumer class that stops itself when the stopwatch has all tasks.

    The loop tells it by `number_of_consumed`: of each batch, or of each task where a hook runs before it.
    """

    class Stopping(base):  # type: ignore[misc,valid-type]  # one of our base classes
        _number = 0
        _has_ended = False

        @property
        def number_of_consumed(self) -> int:
            return self._number

        @number_of_consumed.setter
        def number_of_consumed(self, number: int) -> None:
            is_time = number // LOOKS > self._number // LOOKS
            self._number = number
            if is_time and not self._has_ended and watch.passed(number):
                self._has_ended = True
                os.kill(os.getpid(), signal.SIGTERM)

    return Stopping


def watched(base: type, handler: Handler, watch: Watch) -> type:
    """The same whose tasks `handler` handles."""

    class Watched(stopping(base, watch)):  # type: ignore[misc]  # a class of this moment
        handle_task = staticmethod(handler)

    if handler is handle_after_hook:
        Watched.handle_task = staticmethod(handle_nothing)
        Watched.pre_handle_task = staticmethod(before_task)
    return Watched


@contextmanager
def own_state() -> Iterator[None]:
    """A state directory for one run in the foreground."""
    with tempfile.TemporaryDirectory() as state:
        os.environ["CONSUMERD_STATE_DIR"] = state
        yield


def consume(base: type, handler: Handler, watch: Watch, configs: dict[str, Any]) -> None:
    """Consume in the foreground until all is handled."""
    with own_state():
        watched(base, handler, watch)(0, **configs).consume()
