"""The end of a process that has handled tasks: work that they began gets the rest of its time. Runs in workers.

A task may be done and have left a thread, an executor's job or an exit handler behind. Python waits for those when a
program ends. A worker does so itself: the interpreter would also wait for, and end, what belongs to the zygote.
"""

from __future__ import annotations

import atexit
import contextlib
import logging
import os
import sys
import threading
import weakref
from typing import NoReturn

from consumerd.clock import monotonic
from consumerd.standard_streams import flush_streams


class TaskThreads:
    """The threads that tasks begin. Those of the import and of `pre_consume`, which may run for ever, are others."""

    def __init__(self) -> None:
        self._before: frozenset[threading.Thread] | None = None

    def begin(self) -> None:
        """Whatever is begun from now on, a task has begun."""
        self._before = frozenset(threading.enumerate())

    def join(self, until_s: float) -> list[str]:
        """Wait for those that are no daemons, until then on the monotonic clock; the names of those that still run."""
        if self._before is None:
            return []
        with contextlib.suppress(RuntimeError):  # no thread can be started: executors that idle are waited for in vain
            threading.Thread(target=_close_executors, name="executors", daemon=True).start()
        while running := self._running():
            left_s = until_s - monotonic()
            if left_s <= 0:
                return [thread.name for thread in running]
            running[0].join(left_s)
        return []

    def _running(self) -> list[threading.Thread]:
        known = (self._before or frozenset()) | {threading.current_thread()}
        return [thread for thread in threading.enumerate() if not thread.daemon and thread not in known]


def _close_executors() -> None:
    """Let the threads of executors end once they have nothing left to do, as the interpreter does at its end."""
    for close in reversed(getattr(threading, "_threading_atexits", ())):
        close()


def forget_exit_handlers() -> None:
    """In a fork: leave the exit handlers of the import to the process that has imported."""
    atexit._clear()  # noqa: SLF001 - as multiprocessing does in its own forks
    atexit.register(logging.shutdown)
    for finalizer in tuple(getattr(weakref.finalize, "_registry", ())):
        finalizer.atexit = False
    setattr(weakref.finalize, "_registered_with_atexit", False)  # noqa: B010 - unknown to types
    if (processes := sys.modules.get("multiprocessing.process")) is not None:
        processes._children.clear()  # noqa: SLF001 - they are not ours to join
    if (util := sys.modules.get("multiprocessing.util")) is not None:
        atexit.register(util._exit_function)  # noqa: SLF001 - joins the children that tasks begin


def run_exit_handlers() -> None:
    """Run them; then wait for the process, if there is one, that removes the shared memory that nobody has removed."""
    atexit._run_exitfuncs()  # noqa: SLF001 - sys.exit would run them only behind its own wait for threads
    if (tracking := sys.modules.get("multiprocessing.resource_tracker")) is not None:
        with contextlib.suppress(ChildProcessError, AttributeError):  # the zygote's, or a Python without it
            tracking._resource_tracker._stop()  # noqa: SLF001 - whoever reaps this process ends its whole group


def leave(exit_code: int, *, within_s: float) -> NoReturn:
    """End this process with its exit handlers, which may take so long, and without a wait for threads."""
    with contextlib.suppress(RuntimeError):  # no thread can be started: the handlers may take as long as they like
        limit = threading.Timer(within_s, os._exit, [exit_code])
        limit.daemon = True
        limit.start()
    run_exit_handlers()
    flush_streams()
    os._exit(exit_code)
