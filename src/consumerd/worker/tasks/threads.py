"""Threads that a worker cannot be without. Runs in workers and the foreground."""

from __future__ import annotations

import errno
import threading
from collections.abc import Callable, Sequence

from consumerd.errors import SystemRefusedError
from consumerd.events.facts import Event
from consumerd.model.failure import describe
from consumerd.model.refusal import refusal
from consumerd.worker.tasks.context import WorkerContext

BEAT_S = 1.0


def start(thread: threading.Thread) -> None:
    """Start a thread; SystemRefusedError where the system refuses it."""
    try:
        thread.start()
    except RuntimeError as error:
        raise SystemRefusedError(f"a worker needs a thread: {refusal(OSError(errno.EAGAIN, str(error)))}") from error


class BeatingThread:
    """Calls the same functions once a second, in a thread of its own, until it is closed.

    What one of them raises is reported, and the others are called all the same.
    """

    def __init__(
        self,
        name: str,
        beats: Sequence[Callable[[], None]],
        context: WorkerContext,
        *,
        failed: Event[...],
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        """failed: the event that reports what was raised. at_end: called in the thread, last."""
        self._beats = beats
        self._context = context
        self._failed = failed
        self._at_end = at_end
        self.closing = threading.Event()
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        start(self._thread)

    def close(self, timeout_s: float) -> None:
        """End the thread, after what it is doing, and wait for it so long."""
        self.closing.set()
        self._thread.join(max(0.0, timeout_s))

    def _run(self) -> None:
        while not self.closing.wait(BEAT_S):
            for beat in self._beats:
                try:
                    beat()
                except Exception as error:  # noqa: BLE001 - the top of a thread, around user code; it must go on
                    failure = describe(error, self._context.redact)
                    self._context.emit(self._failed(error=failure.error, traceback=failure.traceback))
        self._at_end()
