"""Starting the threads that a worker cannot be without. Runs in workers."""

from __future__ import annotations

import errno
import threading

from consumerd.errors import SystemRefusedError
from consumerd.model.refusal import refusal


def start(thread: threading.Thread) -> None:
    """Start a thread; SystemRefusedError where the system refuses it."""
    try:
        thread.start()
    except RuntimeError as error:
        raise SystemRefusedError(f"a worker needs a thread: {refusal(OSError(errno.EAGAIN, str(error)))}") from error
