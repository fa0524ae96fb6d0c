"""The shared table: what the workers of one master know together, in memory that outlives each of them.

One memfd, made by the master and passed with each fork. A *row* has a name, and is there from when somebody first asks
for it. It holds words that all change, under a lock, and for each *holder*, which is a worker, words of its own. When a
worker has been reaped the master takes its words out of every row. So whatever is summed over the holders is right,
wherever a worker was killed, and nobody has to count anew.

The lock is a POSIX record lock: the kernel gives it back when its holder dies, and a handler's child has no part in it.
It excludes processes, not threads: in a worker the loop's thread alone uses the table.

Rows stand in sets of 16, by a hash of their name. One that is idle gives its place to another name. Those of limits and
those of destinations have sets of their own, so that neither can take all places.

word 0 magic and version · 1 how many holders there have been at once · 2 how often a name has found no place
from word 512: the hash of each row's name, 0 where there is none. From byte 69,632: the rows, 32 KiB each; pages that
nobody touches take no memory. Of a row:
word 0 idle from (monotonic ns), if nobody holds anything; NEVER · 2 to 15 the shared words · 16 to 63 its name, as text
from word 64: four words of each holder; the first is how much it holds.
"""

from __future__ import annotations

import fcntl
import mmap
import os
from collections.abc import Iterator
from contextlib import contextmanager
from hashlib import blake2b

from consumerd.clock import SYSTEM_CLOCK, Clock
from consumerd.errors import WireError

WAYS, SETS = 16, 256
APART = "destination"
"""Rows whose names begin with this word have as many sets for themselves as all others have together."""

HOLDERS = 1008
"""How many workers may have a place in the table at once."""

OWN_WORDS = 4
HELD = 0
"""Of a holder's own words: how much it holds. The others mean what the rows' users say."""

NEVER = 2**64 - 1

MAGIC = 0xC0_5D_7A_02
_MAGIC_WORD, _HOLDERS_WORD, _FULL_WORD, _TAGS_AT = 0, 1, 2, 512
_ROW_BYTES, _ROW_WORDS = 32_768, 4096
_IDLE_FROM, _WORDS_AT, _NAME_AT, _OWN_AT = 0, 2, 16, 64
_NAME_BYTES = 8 * (_OWN_AT - _NAME_AT)
_ROWS = 2 * WAYS * SETS
_ROWS_AT = _TAGS_AT + _ROWS
_TABLE_BYTES = 8 * _ROWS_AT + _ROWS * _ROW_BYTES

PATIENCE_S = 0.005
"""So long a change waits for another one; a process that is frozen within one must not stop the others."""

LOOK_S = 0.0002


class Row:
    """A row, as one holder has it.

    number: its place, which it keeps while anybody holds anything in it.
    words: 14 that all change; write them within `changing` alone.
    own: this holder's. Write them within `changing`, or while one of them is not 0.
    """

    def __init__(self, words: memoryview, number: int, holder: int, holders: int) -> None:
        self.number = number
        self._row = words[_ROWS_AT + _ROW_WORDS * number :][:_ROW_WORDS]
        self.words = self._row[_WORDS_AT:_NAME_AT]
        self.own = self._row[_OWN_AT + OWN_WORDS * holder :][:OWN_WORDS]
        self._holders_end = _OWN_AT + OWN_WORDS * holders

    @property
    def name(self) -> str:
        """Its first 384 bytes."""
        text = bytes(self._row[_NAME_AT:_OWN_AT].cast("B"))
        return text.partition(b"\0")[0].decode("utf-8", "replace")

    def of_all(self, word: int) -> list[int]:
        """This word of every holder, those that hold nothing too."""
        found: list[int] = self._row[_OWN_AT + word : self._holders_end : OWN_WORDS].tolist()
        return found

    def idle_from(self, at_ns: int) -> None:
        """The row says nothing any more from then on, on the monotonic clock, once nobody holds anything; or NEVER."""
        self._row[_IDLE_FROM] = at_ns

    def is_idle(self, now_ns: int) -> bool:
        """Whether another name may have its place."""
        return self._row[_IDLE_FROM] <= now_ns and not any(self._row[_OWN_AT : self._holders_end])

    def begin(self, name: str) -> None:
        """Be the row of this name, with nothing in it."""
        self.words[:] = memoryview(bytes(8 * len(self.words))).cast("Q")
        self._row[_IDLE_FROM] = 0
        text = name.encode("utf-8", "surrogatepass")[: _NAME_BYTES - 1]
        self._row[_NAME_AT:_OWN_AT] = memoryview(text.ljust(_NAME_BYTES, b"\0")).cast("Q")


class SharedTable:
    """The table, mapped by one holder."""

    def __init__(self, fd: int, holder: int = 0, clock: Clock = SYSTEM_CLOCK) -> None:
        """fd: kept open, and not closed, while the table is used: to close any copy of it gives locks back."""
        self._fd = fd
        self._holder = holder
        self._clock = clock
        self._words = memoryview(mmap.mmap(fd, _TABLE_BYTES)).cast("Q")
        if self._words[_MAGIC_WORD] != MAGIC:
            raise WireError("the shared table of the workers holds nonsense: restart the master")

    @classmethod
    def create(cls, clock: Clock = SYSTEM_CLOCK) -> SharedTable:
        """A new one, whose descriptor is `fileno()`. Nobody can make it shorter: who reads it would die."""
        fd = os.memfd_create("consumerd-table", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, _TABLE_BYTES)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        os.pwrite(fd, MAGIC.to_bytes(8, "little") + (1).to_bytes(8, "little"), 0)
        return cls(fd, clock=clock)

    def fileno(self) -> int:
        return self._fd

    @property
    def times_full(self) -> int:
        """How often a name has found no place."""
        times: int = self._words[_FULL_WORD]
        return times

    @contextmanager
    def changing(self, name: str) -> Iterator[Row | None]:
        """The row of this name, made where there is none; nobody else changes it meanwhile.

        None where it cannot be had now: a process was frozen within a change, or every place for this name is taken by
        rows that are not idle. Whoever asks waits a little and asks again.
        """
        tag, at = _place(name)
        if not self._lock(at):
            yield None
            return
        try:
            yield self._find(tag, at) or self._make(name, tag, at)
        finally:
            fcntl.lockf(self._fd, fcntl.LOCK_UN, 1, at)

    def row(self, number: int) -> Row:
        """The row at a place where this holder holds something."""
        return Row(self._words, number, self._holder, self._words[_HOLDERS_WORD])

    def find(self, name: str) -> Row | None:
        """The row of this name, which others may change meanwhile; None where there is none."""
        return self._find(*_place(name))

    def rows(self) -> Iterator[Row]:
        """Every row; each word of them is read whole, but they are not of one instant."""
        tags = self._words[_TAGS_AT:_ROWS_AT].tolist()
        return (self.row(number) for number, tag in enumerate(tags) if tag)

    # The master's

    def admit(self, holder: int) -> None:
        """A holder of this number comes."""
        self._words[_HOLDERS_WORD] = max(self._words[_HOLDERS_WORD], holder + 1)

    def forget(self, holder: int) -> None:
        """A holder is gone for good: it holds nothing any more."""
        nothing = memoryview(bytes(8 * OWN_WORDS)).cast("Q")
        for row in self.rows():
            Row(self._words, row.number, holder, holder).own[:] = nothing

    # Within

    def _lock(self, at: int) -> bool:
        give_up_at = None
        while True:
            try:
                fcntl.lockf(self._fd, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, at)
            except (BlockingIOError, PermissionError):
                now = self._clock.monotonic()
                give_up_at = now + PATIENCE_S if give_up_at is None else give_up_at
                if now >= give_up_at:
                    return False
                self._clock.sleep(LOOK_S)
            else:
                return True

    def _tags(self, at: int) -> list[int]:
        found: list[int] = self._words[_TAGS_AT + WAYS * at :][:WAYS].tolist()
        return found

    def _find(self, tag: int, at: int) -> Row | None:
        tags = self._tags(at)
        return self.row(WAYS * at + tags.index(tag)) if tag in tags else None

    def _make(self, name: str, tag: int, at: int) -> Row | None:
        now_ns = int(self._clock.monotonic() * 1e9)
        for way, taken in enumerate(self._tags(at)):
            row = self.row(WAYS * at + way)
            if not taken or row.is_idle(now_ns):
                self._words[_TAGS_AT + row.number] = 0  # whoever dies from here on leaves a free place
                row.begin(name)
                self._words[_TAGS_AT + row.number] = tag
                return row
        self._words[_FULL_WORD] += 1
        return None


def _place(name: str) -> tuple[int, int]:
    """What tells a row from others, never 0, and the number of its set; the same in every process."""
    digest = blake2b(name.encode("utf-8", "surrogatepass"), digest_size=8).digest()
    tag = int.from_bytes(digest, "little") or 1
    return tag, tag % SETS + (SETS if name.partition(" ")[0] == APART else 0)
