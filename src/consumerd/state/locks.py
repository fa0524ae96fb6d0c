"""The locks in the state directory: the one that a master holds as long as it lives, who holds any, ending a holder.

Each is a POSIX record lock: the kernel names its holder, and a forked child does not inherit it. Imports nothing heavy.
"""

from __future__ import annotations

import fcntl
import os
import signal
import struct
from collections.abc import Callable
from dataclasses import dataclass

from consumerd.errors import StateDirectoryError
from consumerd.model.identity import ConsumerName
from consumerd.state.state_dir import ADVICE, StateDirectory

_FLOCK = struct.Struct("hhqqi4x")  # struct flock of 64-bit Linux: type, whence, start, length, pid


class HeldError(StateDirectoryError):
    """Another master holds the lock of a state directory."""


@dataclass
class MasterLock:
    """The lock of a state directory, held by this process until it ends or calls `release`.

    Closing *any* descriptor of the file in this process gives it up, so nothing else may open the file here.
    """

    directory: StateDirectory
    fd: int

    @property
    def is_in_place(self) -> bool:
        """Whether the locked file is still the one in the directory; if not, another master could lock that one."""
        try:
            return os.path.samestat(self.directory.master_lock.stat(), os.fstat(self.fd))
        except FileNotFoundError:
            return False

    def take_again(self) -> None:
        """Lock the file that lies there now. Raises what `hold` raises."""
        fd = _locked(self.directory)
        os.close(self.fd)
        self.fd = fd

    def release(self) -> None:
        """Give the lock up; at most once."""
        os.close(self.fd)


def hold(directory: StateDirectory) -> MasterLock:
    """Take the lock of a prepared directory.

    Raises HeldError, which names the other master that holds it, or StateDirectoryError where it cannot be taken.
    """
    return MasterLock(directory, _locked(directory))


def holder(directory: StateDirectory) -> int | None:
    """The pid of the master that holds the lock; None where nobody does. That master itself must not ask."""
    try:
        with directory.master_lock.open("r+b") as file:
            return holder_of(file.fileno())
    except OSError:
        return None


def _locked(directory: StateDirectory) -> int:
    try:
        fd = os.open(directory.master_lock, os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
    except OSError as error:
        raise StateDirectoryError(f"{directory.master_lock} cannot be opened ({error.strerror}): {ADVICE}") from error
    try:
        fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        os.ftruncate(fd, 0)
        os.pwrite(fd, f"{os.getpid()}\n".encode(), 0)  # in another pid namespace the kernel names the holder as 0
    except (BlockingIOError, PermissionError) as error:
        pid = os.pread(fd, 32, 0).decode("ascii", "replace").strip() or "unknown"
        os.close(fd)
        raise HeldError(
            f"the master with pid {pid} uses the state directory {directory.path}: stop it, or {ADVICE}"
        ) from error
    except OSError as error:
        os.close(fd)
        raise StateDirectoryError(f"{directory.master_lock} cannot be locked ({error.strerror}): {ADVICE}") from error
    return fd


def holder_of(fd: int) -> int | None:
    """The pid of the other process that holds the lock of an open file.

    None: nobody, this process itself, or one in another pid namespace.
    """
    kind, pid = _look(fd)
    return None if kind == fcntl.F_UNLCK or pid <= 0 else pid


def _look(fd: int) -> tuple[int, int]:
    """The kind of the lock that another process holds, and its pid."""
    asked = _FLOCK.pack(fcntl.F_WRLCK, os.SEEK_SET, 0, 0, 0)
    kind, _, _, _, pid = _FLOCK.unpack(fcntl.fcntl(fd, fcntl.F_GETLK, asked))
    return int(kind), int(pid)


def is_slot_held(directory: StateDirectory, consumer: str, slot: int) -> bool:
    """Whether a worker lives in a slot of `group/name`, which must not be the caller's own.

    One that cannot be asked about does.
    """
    try:
        fd = os.open(directory.slot_lock(ConsumerName.parse(consumer), slot), os.O_RDONLY | os.O_CLOEXEC)
    except FileNotFoundError:
        return False
    except OSError:
        return True
    try:
        return _look(fd)[0] != fcntl.F_UNLCK
    finally:
        os.close(fd)


def kill_if(pid: int, is_still_meant: Callable[[], bool]) -> bool:
    """Kill a process if it is still the one that is meant; whether it was killed.

    Its pid may have become another process's before there is a handle (pidfd) on it, but not afterwards: so the
    question is asked in between.
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
