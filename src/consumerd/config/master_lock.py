"""The lock that a master holds on its state directory as long as it lives. Imports nothing heavy."""

from __future__ import annotations

import fcntl
import os
from dataclasses import dataclass

from consumerd.config.state_dir import ADVICE, StateDirectory
from consumerd.errors import StateDirectoryError


@dataclass(frozen=True)
class MasterLock:
    """The lock, held. It ends with the process, or with `release`.

    It is a POSIX record lock: closing *any* descriptor of the file in this process gives it up, so nothing else may
    open the file here; and a forked child does not inherit it.
    """

    fd: int

    def release(self) -> None:
        """Give the lock up; at most once."""
        os.close(self.fd)


def hold(directory: StateDirectory) -> MasterLock:
    """Take the lock of a prepared directory, or raise StateDirectoryError that names who holds it."""
    try:
        fd = os.open(directory.master_lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateDirectoryError(f"{directory.master_lock} cannot be opened ({error.strerror}): {ADVICE}") from error
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        _write_pid(fd)
    except (BlockingIOError, PermissionError) as error:
        holder = _read_pid(fd)
        os.close(fd)
        raise StateDirectoryError(
            f"the master with pid {holder} uses the state directory {directory.path}: stop it, or {ADVICE}"
        ) from error
    except OSError as error:
        os.close(fd)
        raise StateDirectoryError(f"{directory.master_lock} cannot be locked ({error.strerror}): {ADVICE}") from error
    return MasterLock(fd)


def _write_pid(fd: int) -> None:
    """The holder's pid, in the file: `F_GETLK` would say 0 to a process of another pid namespace."""
    os.ftruncate(fd, 0)
    os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)


def _read_pid(fd: int) -> str:
    return os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
