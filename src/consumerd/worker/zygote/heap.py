"""A heap without holes, for a process that is about to fork many. Runs in zygotes.

Importing leaves freed pieces all over the heap of the C library. What a worker allocates (a Kafka client, above all)
would land in them, a little on each of hundreds of pages, and each page touched is copied from those it shares with its
zygote. So the zygote takes all the pieces for good, and its workers begin on pages of their own, densely (ADR 12).
"""

from __future__ import annotations

import ctypes
import gc
import sys

PIECES_BYTES = (*(2**power for power in range(16, 10, -1)), *range(1024 - 8, 16, -16))
"""What to ask for, from the largest down: each small size has a bin of its own. What is larger is worth its pages."""


class _Mallinfo2(ctypes.Structure):
    """The C library's `struct mallinfo2`."""

    _names = "arena ordblks smblks hblks hblkhd usmblks fsmblks uordblks fordblks keepcost"
    _fields_ = [(name, ctypes.c_size_t) for name in _names.split()]


def settle_heap() -> None:
    """Have what is allocated from now on lie densely, and what is looked up be remembered for it alone."""
    gc.collect()
    fill_holes()
    _forget_lookups()


def fill_holes() -> None:
    """Take every free piece of this process's heap for good. Other C libraries than glibc are left as they are.

    From the largest pieces to the smallest; one that comes from beyond the heap's used part says: none is left.
    """
    libc = ctypes.CDLL(None)
    if not hasattr(libc, "mallinfo2"):  # no glibc, or one older than 2.33
        return
    libc.mallinfo2.restype = _Mallinfo2
    libc.sbrk.argtypes, libc.sbrk.restype = [ctypes.c_ssize_t], ctypes.c_void_p
    libc.malloc.argtypes, libc.malloc.restype = [ctypes.c_size_t], ctypes.c_void_p
    beyond = libc.sbrk(0) - libc.mallinfo2().keepcost
    for size in PIECES_BYTES:
        while 0 < (libc.malloc(size) or 0) < beyond:
            pass


def _forget_lookups() -> None:
    """Empty the cache of attributes looked up: a worker's own would push out the zygote's, and touch their names."""
    clear = getattr(sys, "_clear_internal_caches", None) or getattr(sys, "_clear_type_cache", None)
    if clear is not None:  # the former since 3.13, which deprecates the latter
        clear()
