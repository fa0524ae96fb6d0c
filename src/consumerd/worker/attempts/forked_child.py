"""A handler that forks: its child must not go on as a second worker. Runs in workers and the foreground."""

from __future__ import annotations

import os
import signal
import traceback

from consumerd.standard_streams import say
from consumerd.worker.tasks.interrupts import Interrupt, Interrupts

STOPPING = (signal.SIGTERM, signal.SIGINT)

_IN_CHILD: list[bool] = []  # filled after a fork, in the child: the one state that a fork must mark


def watch_forks(interrupts: Interrupts) -> None:
    """From now on a forked child has the default signals, and leaves when its handler returns or raises.

    The signals wait while it forks: Python forgets those that reach the child before its own handlers stand.
    """
    masks: list[set[int]] = []

    def hold_signals() -> None:
        masks.append({*signal.pthread_sigmask(signal.SIG_BLOCK, STOPPING)})

    def release_signals() -> None:
        signal.pthread_sigmask(signal.SIG_SETMASK, masks.pop())

    def mark_child() -> None:
        _IN_CHILD.append(True)
        for number in STOPPING:
            signal.signal(number, signal.SIG_DFL)
        interrupts.set_in_child(Interrupt.FORKED)
        release_signals()

    os.register_at_fork(before=hold_signals, after_in_parent=release_signals, after_in_child=mark_child)


def leave_if_child(error: BaseException | None = None) -> None:
    """In a handler's forked child: end it as Python would end a program, by what it raised."""
    if not _IN_CHILD:
        return
    code = error.code if isinstance(error, SystemExit) else error
    if code is None or isinstance(code, int):
        os._exit(code or 0)
    if not isinstance(error, SystemExit):
        say("".join(traceback.format_exception(error)))
    os._exit(1)
