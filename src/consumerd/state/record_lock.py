"""Who holds a POSIX record lock, and ending the holder. Imports nothing heavy.

Every lock in the state directory is one: the kernel names its holder, and a forked child does not inherit it.
"""

from __future__ import annotations

import fcntl
import os
import signal
import struct
from collections.abc import Callable

_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, length, pid


def holder_of(fd: int) -> int | None:
    """The pid of the other process that holds the lock of an open file.

    None: nobody, this process itself, or one in another pid namespace.
    """
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    return None if kind == fcntl.F_UNLCK or pid <= 0 else int(pid)


def kill_if(pid: int, is_still_meant: Callable[[], bool]) -> bool:
    """Kill a process, unless it has ended or, with a handle on it, is not the one that is meant; whether it was killed.

    Its pid may have become another's before the handle was there; afterwards it cannot.
    """
    try:
        pidfd = os.pidfd_open(pid)
    except ProcessLookupError:
        return False
    try:
        if not is_still_meant():
            return False
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True
