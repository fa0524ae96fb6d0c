"""A handler forks while another thread of its worker writes a line: the child has its locks for itself."""

from __future__ import annotations

import logging
import os
import signal
import threading
import warnings
from collections.abc import Callable

import pytest

from consumerd import events
from consumerd.events.facts import Fact
from consumerd.events.folding import Folding
from consumerd.events.forking import ForkableLock
from consumerd.events.line_handler import LineHandler
from consumerd.worker.tasks.context import emitter

DEADLINE_S = 20


class Elsewhere:
    """A listener that keeps a thread of this process, and none of a child's, until `leave` is set."""

    def __init__(self) -> None:
        self.process = os.getpid()
        self.is_in, self.leave = threading.Event(), threading.Event()

    def __call__(self, fact: Fact) -> None:
        if os.getpid() == self.process:
            self.is_in.set()
            assert self.leave.wait(DEADLINE_S)


def ends_in_child(does: Callable[[], object]) -> bool:
    """Whether a forked child comes to the end of it."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # of the fork beside threads, which is what this is about
        child = os.fork()
    if child == 0:
        signal.signal(signal.SIGALRM, signal.SIG_DFL)
        signal.alarm(5)
        does()
        os._exit(0)
    return os.waitpid(child, 0)[1] == 0


def by_lines(listener: Elsewhere) -> Callable[[], object]:
    record = logging.LogRecord("shop", logging.WARNING, "", 0, "late", (), None)
    handler = LineHandler(listener)
    return lambda: handler.handle(record)


def by_folding(listener: Elsewhere) -> Callable[[], object]:
    folding = Folding(listener)
    return lambda: folding(events.spans_dropped(spans=1, error="", advice=""))


def by_emitter(listener: Elsewhere) -> Callable[[], object]:
    emit = emitter(str, listener)
    return lambda: emit(events.spans_dropped(spans=1, error="", advice=""))


@pytest.mark.parametrize("made_by", [by_lines, by_folding, by_emitter])
def test_a_child_does_not_wait_for_a_thread_that_it_does_not_have(
    made_by: Callable[[Elsewhere], Callable[[], object]],
) -> None:
    listener = Elsewhere()
    tells = made_by(listener)
    thread = threading.Thread(target=tells)
    thread.start()
    try:
        assert listener.is_in.wait(DEADLINE_S)
        assert ends_in_child(tells)
    finally:
        listener.leave.set()
        thread.join(DEADLINE_S)


def test_a_thread_that_forks_in_a_lock_leaves_it_in_the_child_too() -> None:
    lock = ForkableLock()
    with lock:
        assert ends_in_child(lambda: lock.__exit__(None, None, None))
