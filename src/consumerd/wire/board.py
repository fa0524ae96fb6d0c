"""The board: what a worker is doing, in shared memory that outlives it.

One memfd a worker, made by the master, written by the worker alone (`wire.board_writer`), read by the master without
asking. It holds aligned 64-bit words; each has one writer and is read and written whole, so no lock is needed.

word  0 magic and version · 1 generation · 2 state · 3 the loop's last turn (monotonic ns)
      4 handled · 5 failed · 6 parked · 7 given up: tasks parked, not run, because they kill workers; among those in 6
      8 unsettled · 9 flags: see `BoardFlag` · 13 coalesced: tasks that were finished with another; among those in 4
      10 what keeps the next task from starting: see `Hold` · 12 how many lanes the worker has
      11 whether the source has answered since it was opened: 1, or 0 · 14 how many lanes it uses by now, at most
      15 whether a handler's own transaction has settled a task: 1, or 0 · 16 retries that handlers asked for; not in 5
      24 the first *lane*. A lane is the place of a task that runs, and has eight words:
         +0 busy since (monotonic ns; 0: not busy) · +1 attempt since (monotonic ns; 0: in the fast loop, which does not
         say) · +2 shard · +3 cursor: the offset being handled, NONE between batches · +4 crashes that are known of the
         task being handled, 0 for all but suspects
      512 to 1001 histograms and counters (`wire.figures`)
      1002 to 1023 when its last tasks failed, and when one was last done (`wire.recent`)

From byte 8192: what makes the tasks of the first lane's batch themselves, its length before it (`model.suspects` reads
it). It is written while the cursor is NONE. From byte 491,520: the further lanes, and the ids of the tasks in all lanes
of a worker that runs several at once, 256 bytes each: text that ends with the first zero byte, a long id by its begin
and a digest. Then the last tasks that have ended, 512 KiB for what the consumer's own code counts (`wire.figures`), and
to the end the stacks of all threads, as text, when the master asks.
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
from consumerd.model.slots import MOST_LANES
from consumerd.model.suspects import id_at
from consumerd.model.task import TaskId

BOARD_BYTES = 1_572_864
"""Pages that nobody writes take no memory: room for the ids of ten thousand rows."""
FURTHER_LANES_AT_BYTE = 491_520
STACKS_SIGNAL = signal.SIGUSR2
"""By which the master asks a worker for its stacks. A handler that takes this signal for itself has none."""

IDENTITIES_WORD = 1024
IDENTITIES_BYTES = FURTHER_LANES_AT_BYTE - 8 * (IDENTITIES_WORD + 1)
MAGIC = 0xC0_5D_00_06
NONE = 2**64 - 1

MAGIC_WORD, GENERATION, STATE, TURNED_NS, HANDLED, FAILED, PARKED, GIVEN_UP, UNSETTLED, FLAGS = range(10)
HOLD, ANSWERED, LANES, COALESCED, WIDTH, COMMITTED, ASKED = 10, 11, 12, 13, 14, 15, 16

LANES_AT, LANE_WORDS = 24, 8
BUSY_SINCE_NS, ATTEMPT_SINCE_NS, SHARD, CURSOR, CRASHES = range(5)  # words of a lane
WORDS = LANES_AT + LANE_WORDS
"""What a reader takes of the board of a worker with one lane."""

FURTHER_LANES_AT = FURTHER_LANES_AT_BYTE // 8
LANE_IDS_AT_BYTE, LANE_ID_BYTES = FURTHER_LANES_AT_BYTE + 8 * LANE_WORDS * MOST_LANES, 256
RECORDER_AT_BYTE, RECORDER_BYTES = LANE_IDS_AT_BYTE + LANE_ID_BYTES * MOST_LANES, 4096
OWN_AT_BYTE = RECORDER_AT_BYTE + RECORDER_BYTES
STACKS_AT_BYTE = OWN_AT_BYTE + 524_288


class WorkerState(IntEnum):
    """How far a worker has come."""

    ABSENT = 0
    STARTING = 1
    RUNNING = 2
    DRAINING = 3


class BoardFlag(IntFlag):
    """What keeps a worker from working, though it is alive; UNSTORABLE: from finishing one task;
    DESTINATION_AWAY: from finishing any, for want of what they need; ALL_FAILED: for one error that all die of.
    """

    STORE_AWAY = 1
    SOURCE_AWAY = 2
    UNSTORABLE = 4
    DESTINATION_AWAY = 8
    ALL_FAILED = 16


class Hold(IntEnum):
    """What keeps a worker's next task from starting.

    STORE_AWAY: so many tasks wait for the parking store that no further one may be unsettled.
    UNSETTLED_FULL: as many are unsettled as may be, though the store answers.
    DESTINATION_AWAY: what tasks need does not answer; they are tried one at a time, after pauses.
    ALL_FAILED: all tasks die of one error; the same.
    """

    NOTHING = 0
    PAUSED = 1
    SOURCE_AWAY = 2
    STORE_AWAY = 3
    UNSETTLED_FULL = 4
    DESTINATION_AWAY = 5
    ALL_FAILED = 6


_HOLDS = {int(hold): hold for hold in Hold}
NOTHING_AWAY = BoardFlag(0)
_STATES = {int(state): state for state in WorkerState}
_FLAGS = {word: BoardFlag(word) for word in range(32)}  # found: to make one takes as long as to read ten words


@dataclass(frozen=True, slots=True)
class Lane:
    """A place of a board for one running task.

    busy_since_ns: when its batch began; 0 when idle.
    attempt_since_ns: the last `progress()`, or begin of an attempt outside the fast loop, in this batch; 0: none yet.
    shard: of the task, and of the last one when idle; None before the first.
    cursor: the offset of the task; None between batches.
    crashes: how many crashes of the task the worker knew of when it began it.
    number: of the place, from 0.
    """

    busy_since_ns: int = 0
    attempt_since_ns: int = 0
    shard: int | None = None
    cursor: int | None = None
    crashes: int = 0
    number: int = 0

    def is_on(self, other: Lane) -> bool:
        """Whether it is on the task on which this lane, of the same worker, was seen."""
        mine = (self.number, self.busy_since_ns, self.shard, self.cursor)
        return mine == (other.number, other.busy_since_ns, other.shard, other.cursor)


@dataclass(frozen=True, slots=True)
class Reading:
    """A board as read once.

    lanes: busy and idle ones.
    hold: what keeps the next task from starting, as of the last time that one was to be fetched.
    turned_ns: when the loop last took a turn outside the handler.
    width: how many tasks may run at once by now, of as many as there are lanes.
    given_up: of the parked tasks, those that were never run, because they kill workers. coalesced: of the handled ones,
    those that were finished with another. asked: retries that handlers asked for; `failed` has none of them.
    has_answered, has_committed: the source has answered since it was opened; a transaction has settled a task.
    """

    generation: int
    state: WorkerState
    lanes: tuple[Lane, ...] = (Lane(),)
    width: int = 1
    handled: int = 0
    failed: int = 0
    parked: int = 0
    unsettled: int = 0
    flags: BoardFlag = NOTHING_AWAY
    hold: Hold = Hold.NOTHING
    turned_ns: int = 0
    given_up: int = 0
    coalesced: int = 0
    asked: int = 0
    has_answered: bool = False
    has_committed: bool = False

    @property
    def busy(self) -> tuple[Lane, ...]:
        """The lanes in which a task runs."""
        return tuple(lane for lane in self.lanes if lane.busy_since_ns)


class Board:
    """One worker's board, mapped. `words` is what its worker writes through, by a `BoardWriter`."""

    def __init__(self, fd: int) -> None:
        """Map the board behind `fd`, which the caller keeps and closes."""
        self._map = mmap.mmap(fd, BOARD_BYTES)
        self.words = memoryview(self._map).cast("Q")
        self._stacks_at = STACKS_AT_BYTE

    @classmethod
    def create(cls) -> tuple[Board, int]:
        """A new board and its descriptor, which the caller owns. Nobody can make it shorter: who reads it would die."""
        fd = os.memfd_create("consumerd-board", os.MFD_CLOEXEC | os.MFD_ALLOW_SEALING)
        os.ftruncate(fd, BOARD_BYTES)
        fcntl.fcntl(fd, fcntl.F_ADD_SEALS, fcntl.F_SEAL_SHRINK | fcntl.F_SEAL_GROW | fcntl.F_SEAL_SEAL)
        board = cls(fd)
        board.words[MAGIC_WORD] = MAGIC
        board.words[LANES] = board.words[WIDTH] = 1
        board.words[LANES_AT + CURSOR] = board.words[LANES_AT + SHARD] = NONE
        return board, fd

    @classmethod
    def private(cls) -> Board:
        """A board that no other process reads."""
        board, fd = cls.create()
        os.close(fd)
        return board

    def read(self) -> Reading:
        """See `read_words`."""
        return read_words(self.words)

    def forget_stacks(self) -> int:
        """Before the worker is asked for its stacks, which it writes behind earlier ones: how many bytes are left."""
        end = self._map.find(b"\0", self._stacks_at)
        self._stacks_at = BOARD_BYTES if end < 0 else end
        return BOARD_BYTES - self._stacks_at

    def stacks(self) -> str:
        """The stacks that the worker has written since `forget_stacks`; empty where it could not, or has no room."""
        return bytes(self._map[self._stacks_at : BOARD_BYTES]).partition(b"\0")[0].decode("utf-8", "replace")

    def tasks_in_hand(self) -> list[tuple[Lane, TaskId | None]]:
        """The tasks that run, with their ids where they have any: `model.suspects.shown`. Only of a worker that has
        ended. WireError where the board holds nonsense.
        """
        return [(lane, self.id_in(lane)) for lane in self.read().busy if lane.cursor is not None]

    def id_in(self, lane: Lane) -> TaskId | None:
        """By the place in its batch, or as the lane itself has it: of the task on which the lane is meanwhile."""
        if lane.number == 0 and (task_id := self._id_at_cursor()) is not None:
            return task_id
        start = LANE_IDS_AT_BYTE + LANE_ID_BYTES * lane.number
        text = bytes(self._map[start : start + LANE_ID_BYTES]).partition(b"\0")[0]
        try:
            return TaskId(text.decode(errors="surrogatepass")) if text else None
        except UnicodeDecodeError:
            return None

    def _id_at_cursor(self) -> TaskId | None:
        cursor, size = self.words[LANES_AT + CURSOR], self.words[IDENTITIES_WORD]
        if cursor == NONE or size > IDENTITIES_BYTES:
            return None
        start = 8 * (IDENTITIES_WORD + 1)
        return id_at(self._map[start : start + size], cursor)

    def close(self) -> None:
        """Unmap; the memory lives on while any process maps it or holds a descriptor."""
        self.words.release()
        self._map.close()


def read_words(words: memoryview) -> Reading:
    """See `look_at` and `reading_in`."""
    return reading_in(look_at(words))


def look_at(words: memoryview) -> list[int]:
    """The words of a board, its lanes at the end; each read whole, while the worker writes on, so not of one instant.

    WireError where they are no board's: a worker that crashes may write anywhere.
    """
    found: list[int] = words[:WORDS].tolist()
    if found[MAGIC_WORD] != MAGIC or found[STATE] not in _STATES or not 1 <= found[LANES] <= MOST_LANES:
        raise WireError("the board of a worker holds nonsense: what the worker did last cannot be known")
    if found[LANES] > 1:
        found += words[FURTHER_LANES_AT : FURTHER_LANES_AT + LANE_WORDS * (found[LANES] - 1)].tolist()
    return found


def lane_at(index: int) -> int:
    """The first word of the lane of this number."""
    return LANES_AT if index == 0 else FURTHER_LANES_AT + LANE_WORDS * (index - 1)


def reading_in(found: Sequence[int]) -> Reading:
    """What the words of a board say, as `look_at` found them."""
    flags = found[FLAGS]
    return Reading(
        generation=found[GENERATION],
        state=_STATES[found[STATE]],
        lanes=lanes_in(found),
        width=found[WIDTH],
        handled=found[HANDLED],
        failed=found[FAILED],
        asked=found[ASKED],
        parked=found[PARKED],
        unsettled=found[UNSETTLED],
        flags=_FLAGS[flags] if flags in _FLAGS else BoardFlag(flags),
        hold=_HOLDS.get(found[HOLD], Hold.NOTHING),
        turned_ns=found[TURNED_NS],
        given_up=found[GIVEN_UP],
        coalesced=found[COALESCED],
        has_answered=bool(found[ANSWERED]),
        has_committed=bool(found[COMMITTED]),
    )


def lanes_in(found: Sequence[int]) -> tuple[Lane, ...]:
    """The lanes of a board, as `look_at` found its words."""
    starts = range(LANES_AT, len(found), LANE_WORDS)
    return tuple(_lane(number, found[start : start + LANE_WORDS]) for number, start in enumerate(starts))


def _lane(number: int, words: Sequence[int]) -> Lane:
    busy_since_ns, attempt_since_ns, shard, cursor, crashes = words[:5]
    place = (None if shard == NONE else shard, None if cursor == NONE else cursor)
    return Lane(busy_since_ns, attempt_since_ns, *place, crashes, number)
