"""Locks that a forked child finds free. A handler may fork while another thread of its worker holds one."""

from __future__ import annotations

import os
import threading
from weakref import WeakSet


class ForkableLock:
    """As `threading.RLock`, in a `with`. In a forked child it is free, unless the thread that has forked holds it."""

    __slots__ = ("__weakref__", "_lock")

    def __init__(self) -> None:
        self._lock = threading.RLock()
        _ALL.add(self)

    def __enter__(self) -> None:
        self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()

    def free_in_child(self) -> None:
        """Whoever held it does not run in this process."""
        if self._lock.acquire(blocking=False):
            self._lock.release()
        else:
            self._lock = threading.RLock()


_ALL: WeakSet[ForkableLock] = WeakSet()


def _free_all() -> None:
    for lock in _ALL:
        lock.free_in_child()


os.register_at_fork(after_in_child=_free_all)
