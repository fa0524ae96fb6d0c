"""The lock that writers of one SQLite file take before `BEGIN IMMEDIATE`, so that none of them starves.

It is a POSIX record lock: a fork does not inherit it, it names its holder, and it ends with its process. It serves
fairness only; what keeps a transaction whole is SQLite's own lock. Record locks have two traps: they belong to the
process, not to the thread, and closing *any* descriptor of the file drops them. A process must therefore have no more
than one `FileLock` for a file.
"""

from __future__ import annotations

import errno
import fcntl
import os
import threading
from enum import Enum, auto
from pathlib import Path

from consumerd.clock import SYSTEM_CLOCK, monotonic
from consumerd.database.holders import Watch, kill_holder, look_at_holder, must_go, watched

_LOOK_EVERY_S = 1.0
_DEADLOCK_PAUSE_S = 0.02


class FileLock:
    """An exclusive lock on a file, for one thread of one process at a time."""

    def __init__(self, path: Path) -> None:
        """Nothing is opened before the first `acquire`."""
        self.path = path
        self._mutex = threading.Lock()
        self._waiter: _Waiter | None = None

    def acquire(self, timeout_s: float) -> bool:
        """Take the lock within `timeout_s`; whether it was taken. OSError when the file cannot be opened."""
        deadline = monotonic() + timeout_s
        if not self._mutex.acquire(timeout=timeout_s):
            return False
        is_taken = False
        try:
            if self._waiter is None:
                self._waiter = _Waiter(os.open(self.path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600))
            is_taken = self._waiter.take(deadline)
        finally:
            if not is_taken:
                self._mutex.release()
        return is_taken

    def release(self) -> None:
        """Give the lock back; the thread that acquired it calls this."""
        assert self._waiter is not None
        try:
            fcntl.lockf(self._waiter.fd, fcntl.LOCK_UN)
        finally:
            self._mutex.release()

    def close(self) -> None:
        """Forget the file; the next `acquire` opens it anew. A lock that some thread holds or waits for stays."""
        if not self._mutex.acquire(blocking=False):
            return
        try:
            if self._waiter is not None and self._waiter.retire():
                self._waiter = None
        finally:
            self._mutex.release()


class _Wait(Enum):
    """What the waiting thread is doing."""

    IDLE = auto()
    BLOCKED = auto()
    TAKEN = auto()
    RETIRED = auto()


class _Waiter:
    """Blocks in `lockf` in a thread of its own, so that its caller can give up; the place in the queue is kept.

    While the thread is blocked, nobody else of this process may try the lock: the thread would get it too.
    """

    def __init__(self, fd: int) -> None:
        self.fd = fd
        self._changed = threading.Condition()
        self._state = _Wait.IDLE
        self._is_wanted = False
        self._thread: threading.Thread | None = None
        self._trouble: OSError | None = None
        self._watch: Watch | None = None

    def take(self, deadline: float) -> bool:
        """Take the lock by `deadline`: at once where it is free, else through the thread."""
        with self._changed:
            if self._state is _Wait.IDLE and _try_lock(self.fd):
                return True
            self._is_wanted = True
            self._start()
            self._changed.notify_all()
            try:
                return self._wait(deadline)
            finally:
                self._is_wanted = False

    def retire(self) -> bool:
        """End the thread and close the file, unless the thread is blocked: then it stays as it is."""
        with self._changed:
            if self._state is not _Wait.IDLE:
                return False
            self._state = _Wait.RETIRED
            self._changed.notify_all()
        os.close(self.fd)
        return True

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="consumerd-lock", daemon=True)
            try:
                self._thread.start()
            except RuntimeError as error:
                self._thread = None
                raise OSError(errno.EAGAIN, str(error)) from error

    def _wait(self, deadline: float) -> bool:
        while self._state is not _Wait.TAKEN:
            if self._trouble is not None:
                trouble, self._trouble = self._trouble, None
                raise trouble
            remaining = deadline - monotonic()
            if remaining <= 0:
                return False
            if not self._changed.wait(min(remaining, _LOOK_EVERY_S)):
                self._watch_holder()
        self._state = _Wait.IDLE
        self._watch = None
        return True

    def _watch_holder(self) -> None:
        now = monotonic()
        self._watch = watched(self._watch, look_at_holder(self.fd), now)
        if self._watch is not None and must_go(self._watch, now, os.geteuid()):
            kill_holder(self.fd, self._watch.sighting)

    def _run(self) -> None:
        while True:
            with self._changed:
                self._changed.wait_for(lambda: self._is_wanted or self._state is _Wait.RETIRED)
                if self._state is _Wait.RETIRED:
                    return
                self._state = _Wait.BLOCKED
            trouble = _block(self.fd)
            with self._changed:
                self._arrive(trouble)

    def _arrive(self, trouble: OSError | None) -> None:
        self._state = _Wait.IDLE
        self._trouble = trouble if self._is_wanted else None
        if trouble is None and self._is_wanted:
            self._state = _Wait.TAKEN
            self._is_wanted = False
        elif trouble is None:
            fcntl.lockf(self.fd, fcntl.LOCK_UN)
        self._changed.notify_all()


def _try_lock(fd: int) -> bool:
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except (BlockingIOError, PermissionError):
        return False
    return True


def _block(fd: int) -> OSError | None:
    """Wait for the lock.

    The kernel looks for deadlocks between processes, not threads, and so sees one where two processes wait for each
    other's locks in different threads; it passes by itself.
    """
    while True:
        try:
            fcntl.lockf(fd, fcntl.LOCK_EX)
        except OSError as error:
            if error.errno != errno.EDEADLK:
                return error
            SYSTEM_CLOCK.sleep(_DEADLOCK_PAUSE_S)
        else:
            return None
