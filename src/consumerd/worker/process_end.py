"""The exit handlers of a process that has handled tasks. Runs in workers.

A worker runs those that its tasks have registered, and not by the interpreter's own end: that would also wait for, and
end, what belongs to the zygote.
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

from consumerd.standard_streams import flush_streams


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
