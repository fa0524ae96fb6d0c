"""The board: what a worker is doing, in shared memory that outlives it.

One memfd a worker, made by the master, written by the worker alone, read by the master without asking. It holds
aligned 64-bit words; each has one writer and is read and written whole, so no lock is needed.

word  0 magic and version · 1 generation · 2 state · 3 busy since (monotonic ns; 0: not busy) · 4 shard
      5 cursor: the offset being handled, NONE between batches · 6 handled · 7 failed · 8 parked · 9 unsettled
      10 flags: see `BoardFlag`
      11 attempt since (monotonic ns; 0: in the fast loop, which does not say) · 12 the loop's last turn (monotonic ns)
      13 crashes that are known of the task being handled, 0 for all but suspects
      14 given up: tasks parked, not run, because they kill workers; among those in word 8
      15 whether the source has answered since it was opened: 1, or 0
      1002 to 1023 when its last tasks failed, and when one was last done (`wire.recent`)

From byte 8192: what makes the tasks of the batch themselves, its length before it (`model.suspects` reads it). It is
written while the cursor is NONE. In the last 32 KiB: the stacks of all threads, as text, written there when the master
asks for them.
"""

from __future__ import annotations

import fcntl
import mmap
import os
import signal
from collections.abc import Sequence
from dataclasses import dataclass
from enum import IntEnum, IntFlag

from consumerd.errors import WireError
from consumerd.model.suspects import id_at
from consumerd.model.task import TaskId

BOARD_BYTES = 524_288
"""Pages that nobody writes take no memory: room for the ids of ten thousand rows."""

STACKS_AT_BYTE = BOARD_BYTES - 32_768
STACKS_SIGNAL = signal.SIGUSR2
"""By which the master asks a worker for its stacks. A handler that takes this signal for itself has none."""

IDENTITIES_WORD = 1024
IDENTITIES_BYTES = STACKS_AT_BYTE - 8 * (IDENTITIES_WORD + 1)
MAGIC = 0xC0_5D_00_01
NONE = 2**64 - 1

MAGIC_WORD, GENERATION, STATE, BUSY_SINCE_NS, SHARD, CURSOR, HANDLED, FAILED, PARKED, UNSETTLED, FLAGS = range(11)
ATTEMPT_SINCE_NS, TURNED_NS, CRASHES, GIVEN_UP, ANSWERED = 11, 12, 13, 14, 15
WORDS = 16


def one_word(words: memoryview, index: int) -> memoryview:
    """One word of a board by itself, written as `word[()] = value`: cheaper than by its index."""
    return words[index : index + 1].cast("B").cast("Q", shape=[])


class WorkerState(IntEnum):
    """How far a worker has come."""

    ABSENT = 0
    STARTING = 1
    RUNNING = 2
    DRAINING = 3


class BoardFlag(IntFlag):
    """What keeps a worker from working, though it is alive; UNSTORABLE: from finishing one task;
    DESTINATION_AWAY: from finishing any, for want of what they need.
    """

    STORE_AWAY = 1
    SOURCE_AWAY = 2
    UNSTORABLE = 4
    DESTINATION_AWAY = 8


_STATES = {int(state): state for state in WorkerState}
_FLAGS = {word: BoardFlag(word) for word in range(16)}  # found: to make one takes as long as to read ten words


@dataclass(frozen=True, slots=True)
class Reading:
    """A board as read once. `cursor` and `shard` are None between batches; `busy_since_ns` is 0 when idle.

    attempt_since_ns: the last `progress()`, or begin of an attempt outside the fast loop, in this batch; 0: none yet.
    turned_ns: when the loop last took a turn outside the handler.
    """

    generation: int
    state: WorkerState
    busy_since_ns: int
    shard: int | None
    cursor: int | None
    handled: int
    failed: int
    parked: int
    unsettled: int
    flags: BoardFlag
    attempt_since_ns: int = 0
    turned_ns: int = 0
    crashes: int = 0
    given_up: int = 0
    has_answered: bool = False


class Identities:
    """The worker's hand on what its board says of its tasks."""

    def __init__(self, words: memoryview) -> None:
        self._words = words
        self._bytes = words.cast("B")[8 * (IDENTITIES_WORD + 1) : STACKS_AT_BYTE]
        self._written = b""

    def write(self, identities: bytes) -> bool:
        """Write them, unless they stand there; False, and none stand there, where they do not fit."""
        if identities == self._written:
            return True
        does_fit = len(identities) <= IDENTITIES_BYTES
        self._written = identities if does_fit else b""
        self._words[IDENTITIES_WORD] = len(self._written)
        self._bytes[: len(self._written)] = self._written
        return does_fit


class Board:
    """One worker's board, mapped. `words` is what the loop writes through: `words[CURSOR] = offset`."""

    def __init__(self, fd: int) -> None:
        """Map the board behind `fd`, which the caller keeps and closes."""
        self._map = mmap.mmap(fd, BOARD_BYTES)
        self.words = memoryview(self._map).cast("Q")

    @classmethod
    def create(cls) -> tuple[Board, int]:
        """A new board and its descriptor, which the caller owns. Nobody can make it shorter: who reads it would die."""
        fd = os.memfd_create("consumerd-board", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, BOARD_BYTES)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        board = cls(fd)
        board.words[MAGIC_WORD] = MAGIC
        board.words[CURSOR] = NONE
        board.words[SHARD] = NONE
        return board, fd

    def read(self) -> Reading:
        """See `read_words`."""
        return read_words(self.words)

    def look(self) -> list[int]:
        """Its first `WORDS` words, whatever they say."""
        found: list[int] = self.words[:WORDS].tolist()
        return found

    def stacks(self) -> str:
        """The stacks that the worker has written; empty where it was not asked, or could not."""
        written = bytes(self._map[STACKS_AT_BYTE:BOARD_BYTES])
        return written.partition(b"\0")[0].decode("utf-8", "replace")

    def task_in_hand(self) -> TaskId | None:
        """The task at the cursor; None between batches, and where it has no id. Only of a worker that has ended."""
        cursor, size = self.words[CURSOR], self.words[IDENTITIES_WORD]
        if cursor == NONE or size > IDENTITIES_BYTES:
            return None
        start = 8 * (IDENTITIES_WORD + 1)
        return id_at(self._map[start : start + size], cursor)

    def close(self) -> None:
        """Unmap; the memory lives on while any process maps it or holds a descriptor."""
        self.words.release()
        self._map.close()


def read_words(words: memoryview) -> Reading:
    """All words, each read whole; taken while the worker writes on, so not of one instant.

    WireError where they are no board's: a worker that crashes may write anywhere.
    """
    return reading_in(words[:WORDS].tolist())


def reading_in(found: Sequence[int]) -> Reading:
    """The reading in the first `WORDS` words of a board; WireError where they are no board's."""
    state, shard, cursor, flags = _STATES.get(found[STATE]), found[SHARD], found[CURSOR], found[FLAGS]
    if found[MAGIC_WORD] != MAGIC or state is None:
        raise WireError("the board of a worker holds nonsense: what the worker did last cannot be known")
    return Reading(
        generation=found[GENERATION],
        state=state,
        busy_since_ns=found[BUSY_SINCE_NS],
        shard=None if shard == NONE else shard,
        cursor=None if cursor == NONE else cursor,
        handled=found[HANDLED],
        failed=found[FAILED],
        parked=found[PARKED],
        unsettled=found[UNSETTLED],
        flags=_FLAGS[flags] if flags in _FLAGS else BoardFlag(flags),
        crashes=found[CRASHES],
        given_up=found[GIVEN_UP],
        has_answered=bool(found[ANSWERED]),
        attempt_since_ns=found[ATTEMPT_SINCE_NS],
        turned_ns=found[TURNED_NS],
    )
