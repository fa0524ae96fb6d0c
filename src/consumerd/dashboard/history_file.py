"""A day of figures in a file of a fixed size, so that they outlive the process that answers.

After a head, a slot for each of `POOLS` pools: its name, the number of its last step, and its values as floats. What is
in memory counts; each step is written behind it, and a file that cannot be written any more is told of once.
"""

from __future__ import annotations

import fcntl
import os
import stat
import struct
import sys
from array import array
from pathlib import Path
from typing import NamedTuple

from consumerd.dashboard.history import UNKNOWN, Figure, History, Ring, Values
from consumerd.errors import UsageError

STEP_S = 60.0
STEPS = 1_440
POOLS = 64
MAGIC = b"consumerd history\n"
LAYOUT = struct.Struct(f"<{len(MAGIC)}sIII")
HEAD_BYTES = 64
NAME_BYTES = 256
LONGEST_NAME_BYTES = NAME_BYTES - 1
SLOT = struct.Struct(f"<{NAME_BYTES}sQ")
VALUE_BYTES = 4
STEP_BYTES = VALUE_BYTES * len(Figure)
SLOT_BYTES = SLOT.size + STEPS * STEP_BYTES
FILE_BYTES = HEAD_BYTES + POOLS * SLOT_BYTES
MOST = 1e15
"""No figure is larger; what is, was no figure."""


def kept_history(path: Path, now: float) -> History:
    """The day that the file has, which is made where there is none. UsageError where it is something else's file."""
    return History(STEP_S, STEPS, HistoryFile(path, now).ring)


class HistoryFile:
    """Holds the file, which nobody else may meanwhile. UsageError as `kept_history`."""

    def __init__(self, path: Path, now: float) -> None:
        self._path = path
        self._fd = _opened(path)
        self._is_broken = False
        self._heads = [self._head(slot, int(now // STEP_S)) for slot in range(POOLS)]
        self._taken: set[int] = set()

    def close(self) -> None:
        """Let others have the file; nothing is written to it any more."""
        os.close(self._fd)
        self._fd = -1

    def ring(self, name: str) -> Ring | None:
        """The ring of a pool, with what the file has of it; None where all slots are taken, or its name is too long.

        A pool that has none gets the slot of whichever has not been seen for the longest time.
        """
        written = name.encode()
        if len(written) > LONGEST_NAME_BYTES:
            return None
        free = [slot for slot in range(POOLS) if slot not in self._taken]
        slot = next((slot for slot in free if self._heads[slot].name == written), None)
        if slot is None:
            if not free:
                return None
            slot = min(free, key=lambda slot: self._heads[slot].last)
            self._heads[slot] = _Head(written, 0)
            self.write(slot, 0, SLOT.pack(written, 0) + _unknown().tobytes())
        self._taken.add(slot)
        return KeptRing(self, slot, self._floats(slot), self._heads[slot].last)

    def write(self, slot: int, at: int, content: bytes) -> None:
        """At this place of a slot. What cannot be written is told once."""
        try:
            os.pwrite(self._fd, content, HEAD_BYTES + slot * SLOT_BYTES + at)
        except OSError as error:
            if not self._is_broken:
                sys.stderr.write(f"consumerd: the history in {self._path} is not kept any more ({error.strerror})\n")
            self._is_broken = True
        else:
            self._is_broken = False

    def _head(self, slot: int, now: int) -> _Head:
        """Of a slot; of one that holds nonsense, that nobody has it."""
        name, last = SLOT.unpack(os.pread(self._fd, SLOT.size, HEAD_BYTES + slot * SLOT_BYTES))
        name = name.rstrip(b"\0")
        return _Head(name, last) if name and last <= now + 1 else _Head(b"", 0)

    def _floats(self, slot: int) -> array[float]:
        """The values of a slot; what can be no figure is unknown."""
        found = array("f", os.pread(self._fd, STEPS * STEP_BYTES, HEAD_BYTES + slot * SLOT_BYTES + SLOT.size))
        for place, value in enumerate(found):
            if not 0 <= value <= MOST:
                found[place] = UNKNOWN
        return found


class KeptRing(Ring):
    """A ring that is written to a slot of the file as it grows."""

    def __init__(self, file: HistoryFile, slot: int, floats: array[float], last: int) -> None:
        super().__init__(STEPS, floats, last)
        self._file = file
        self._slot = slot
        self._kept = floats

    def note(self, step: int, values: Values) -> None:
        before = self.last
        super().note(step, values)
        if self.last == before:
            return
        place = step % STEPS * len(Figure)
        if step == before + 1:
            content = self._kept[place : place + len(Figure)].tobytes()
            self._file.write(self._slot, SLOT.size + VALUE_BYTES * place, content)
        else:  # what lies between is unknown
            self._file.write(self._slot, SLOT.size, self._kept.tobytes())
        self._file.write(self._slot, NAME_BYTES, struct.pack("<Q", step))


class _Head(NamedTuple):
    """Of a slot. name: empty where nobody has it."""

    name: bytes
    last: int


def _unknown() -> array[float]:
    return array("f", [UNKNOWN]) * (STEPS * len(Figure))


def _opened(path: Path) -> int:
    """The file's descriptor, locked. One that is ours, and not whole or of another layout, is begun anew."""
    head = LAYOUT.pack(MAGIC, STEPS, len(Figure), POOLS)
    try:
        fd = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK, 0o600)
        try:
            _make_ours(path, fd, head)
        except BaseException:
            os.close(fd)
            raise
    except BlockingIOError as error:
        raise UsageError(f"{path} is in use by another process: each master wants a history_file of its own") from error
    except OSError as error:
        raise UsageError(f"the history_file {path} cannot be used ({error.strerror}): name another") from error
    return fd


def _make_ours(path: Path, fd: int, head: bytes) -> None:
    """Lock the file, and begin it anew unless it is whole. OSError; UsageError where it is another's."""
    found = os.fstat(fd)
    begins = os.pread(fd, len(head), 0) if stat.S_ISREG(found.st_mode) else b"no file"
    if begins and begins[: len(MAGIC)] != MAGIC:
        raise UsageError(f"{path} is no history of consumerd's: name another file in history_file, or remove it")
    fcntl.lockf(fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
    if begins != head or found.st_size != FILE_BYTES:
        os.ftruncate(fd, 0)
        os.posix_fallocate(fd, 0, FILE_BYTES)  # whatever else fills the disk later
        os.pwrite(fd, head, 0)
