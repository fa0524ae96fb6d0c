"""The flight recorder: the last tasks that a worker has ended, on its board, which outlives it.

A ring of entries, each of tasks that ended alike, one after the other: of one task, or of quick ones that are done, as
a fast loop or a batch hands them over, within a second. The loop's thread writes them, the newest over the oldest. An
entry ends with a checksum of all that is in it: what was read in the middle of its writing, or left so by a kill, is
told from the others, as torn.
"""

from __future__ import annotations

import struct
from typing import NamedTuple
from zlib import crc32

from consumerd.model.limits import SECOND_NS
from consumerd.wire.board import RECORDER_AT_BYTE, RECORDER_BYTES
from consumerd.wire.figures.counters import Counter

ID_BYTES = 68
_CONTENT = struct.Struct(f"=6QIBBH{ID_BYTES}s")
_CHECKSUM = struct.Struct("=I")
ENTRY_BYTES = _CONTENT.size + _CHECKSUM.size
ENTRIES = RECORDER_BYTES // ENTRY_BYTES
QUICK_S = 0.001
LONGEST_S = 1.0
"""Tasks that take less, and are done one after the other within so long, have one entry together."""

WRITE_EVERY_S = 0.001
_MOST = 2**64 - 1
_TAIL_BYTES = 40


class Ran(NamedTuple):
    """How long a task ran, in all its attempts in a row.

    is_about: it is a share of what several tasks took together, since nobody reads a clock between quick ones.
    """

    seconds: float = 0.0
    is_about: bool = False


NOT_RUN = Ran()


class Ended(NamedTuple):
    """Tasks that ended alike, one after the other.

    at: when the last of them did, on the wall clock.
    outcome: None where they are done.
    tasks: how many; first, last: the offsets of the first and the last of them.
    ran: each of them.
    task_id: of the last; cut in the middle where it is long; None where it has none.
    """

    at: float
    outcome: Counter | None
    shard: int
    first: int
    last: int
    ran: Ran
    task_id: str | None
    tasks: int = 1


class Recording(NamedTuple):
    """What a recorder holds.

    ended: the newest last.
    torn: how many entries were being written when they were read, or when the worker died.
    """

    ended: tuple[Ended, ...] = ()
    torn: int = 0


class Recorder:
    """Writes the entries of one board. Of quick tasks it writes once a millisecond, and what is left in `rest`."""

    def __init__(self, words: memoryview) -> None:
        self._words = words
        self._number = 0
        self._newest: Ended | None = None
        self._is_quick = self._is_written = True
        self._since = self._written_at = 0.0
        self._first = self._tasks = 0
        self._seconds = 0.0

    def note(self, ended: Ended) -> None:
        """What is quick joins the entry before it, where that is of the same second; any other is over the oldest."""
        newest, ran_s, at = self._newest, ended.ran.seconds, ended.at
        is_quick = ended.outcome is None and ran_s < QUICK_S
        if newest is None or not (is_quick and self._is_quick and newest.shard == ended.shard):
            self._begin(ended, is_quick=is_quick)
        elif not 0 <= at - self._since < LONGEST_S:
            self._begin(ended, is_quick=True)
        else:
            self._newest, self._is_written = ended, False
            self._tasks += ended.tasks
            self._seconds += ran_s * ended.tasks
            if at - self._written_at >= WRITE_EVERY_S:
                self._write(ended)

    def rest(self) -> None:
        """Nothing is in hand: what is not written yet is."""
        if not self._is_written and self._newest is not None:
            self._write(self._newest)

    def _begin(self, ended: Ended, *, is_quick: bool) -> None:
        self.rest()
        self._newest, self._is_quick, self._since, self._first = ended, is_quick, ended.at, ended.first
        self._tasks, self._seconds = ended.tasks, ended.ran.seconds * ended.tasks
        self._number += 1
        self._write(ended)

    def _write(self, newest: Ended) -> None:
        if self._tasks != newest.tasks:
            ran = Ran(self._seconds / self._tasks, is_about=True)
            newest = newest._replace(first=self._first, tasks=self._tasks, ran=ran)
        start = RECORDER_AT_BYTE + self._number % ENTRIES * ENTRY_BYTES
        self._words.cast("B")[start : start + ENTRY_BYTES] = _packed(self._number, newest)
        self._written_at, self._is_written = newest.at, True


def recording_in(words: memoryview) -> Recording:
    """As a board has it now."""
    ring = bytes(words.cast("B")[RECORDER_AT_BYTE : RECORDER_AT_BYTE + RECORDER_BYTES])
    found, torn = list[tuple[int, Ended]](), 0
    for start in range(0, ENTRIES * ENTRY_BYTES, ENTRY_BYTES):
        entry = ring[start : start + ENTRY_BYTES]
        if (read := _unpacked(entry)) is not None:
            found.append(read)
        else:
            torn += any(entry)
    return Recording(tuple(ended for _, ended in sorted(found, key=lambda each: each[0])), torn)


def _packed(number: int, ended: Ended) -> bytes:
    content = _CONTENT.pack(
        number,
        int(ended.at * SECOND_NS),
        min(int(ended.ran.seconds * SECOND_NS), _MOST),
        ended.first & _MOST,
        ended.last & _MOST,
        ended.shard & _MOST,
        ended.tasks,
        0 if ended.outcome is None else 1 + ended.outcome,
        ended.ran.is_about,
        0,
        b"" if ended.task_id is None else _cut(ended.task_id),
    )
    return content + _CHECKSUM.pack(crc32(content))


def _unpacked(entry: bytes) -> tuple[int, Ended] | None:
    content = entry[: _CONTENT.size]
    if not any(entry) or crc32(content) != _CHECKSUM.unpack(entry[_CONTENT.size :])[0]:
        return None
    number, at_ns, ran_ns, first, last, shard, tasks, outcome, is_about, _, text = _CONTENT.unpack(content)
    if outcome > len(Counter):
        return None
    task_id = text.rstrip(b"\0").decode("utf-8", "replace") or None
    ran = Ran(ran_ns / SECOND_NS, bool(is_about))
    ended = None if not outcome else Counter(outcome - 1)
    return number, Ended(at_ns / SECOND_NS, ended, shard, first, last, ran, task_id, tasks)


def _cut(task_id: str) -> bytes:
    """Its bytes; of a long one the begin and the end, where ids of one source differ."""
    whole = task_id.encode("utf-8", "replace").replace(b"\0", b" ")
    if len(whole) <= ID_BYTES:
        return whole
    head = whole[: ID_BYTES - _TAIL_BYTES - 3].decode("utf-8", "ignore")
    return f"{head}…{whole[-_TAIL_BYTES:].decode('utf-8', 'ignore')}".encode()
