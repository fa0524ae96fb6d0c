"""A worker's own threads, and those that its tasks begin. Runs in workers and the foreground."""

from __future__ import annotations

import contextlib
import errno
import threading
from collections.abc import Callable, Sequence

from consumerd.clock import monotonic
from consumerd.errors import SystemRefusedError
from consumerd.model.failure import refusal

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
        *,
        report: Callable[[BaseException], None],
        at_end: Callable[[], None] = lambda: None,
    ) -> None:
        """at_end: called in the thread, last."""
        self._beats = beats
        self._report = report
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
                    self._report(error)
        self._at_end()


class TaskThreads:
    """The threads that tasks begin. Those of the import and of `pre_consume`, which may run for ever, are others.

    A task may be done and have left a thread or an executor's job behind. Python waits for those when a program ends. A
    worker does so itself: the interpreter would also wait for what belongs to the zygote.
    """

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
