"""A handler that forks: its child must not go on as a second worker. Runs in workers and the foreground."""

from __future__ import annotations

import os
import signal
import traceback

from consumerd.model.interrupts import Interrupt
from consumerd.worker.interrupts import Interrupts

_IN_CHILD: list[bool] = []  # filled after a fork, in the child: the one state that a fork must mark


def watch_forks(interrupts: Interrupts) -> None:
    """From now on a forked child has the default signals, and leaves when its handler returns or raises."""

    def mark_child() -> None:
        _IN_CHILD.append(True)
        signal.signal(signal.SIGTERM, signal.SIG_DFL)
        signal.signal(signal.SIGINT, signal.default_int_handler)
        interrupts.set_in_child(Interrupt.FORKED)

    os.register_at_fork(after_in_child=mark_child)


def leave_if_child(error: BaseException | None = None) -> None:
    """In a handler's forked child: end it as Python would end a program, by what it raised."""
    if not _IN_CHILD:
        return
    code = error.code if isinstance(error, SystemExit) else error
    if code is None or isinstance(code, int):
        os._exit(code or 0)
    if not isinstance(error, SystemExit):
        traceback.print_exception(error)
    os._exit(1)
