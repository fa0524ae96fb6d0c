"""A worker's own hand on its board: the one place that writes there, by methods that say what has happened.

Runs in workers and the foreground. The loop's thread calls it, but `attempt_goes_on`, which any thread may.
"""

from __future__ import annotations

from consumerd.clock import SYSTEM_CLOCK, Clock
from consumerd.wire import board, recent
from consumerd.wire.board import NONE, BoardFlag, Hold, WorkerState


class BoardWriter:
    """Writes one board."""

    def __init__(self, words: memoryview, clock: Clock = SYSTEM_CLOCK) -> None:
        self._words = words
        self._clock = clock
        self._written = b""

    # The worker

    def starting(self, generation: int) -> None:
        self._words[board.GENERATION] = generation
        self._words[board.STATE] = WorkerState.STARTING

    def is_in(self, state: WorkerState) -> None:
        """So far the worker has come."""
        self._words[board.STATE] = state

    def turned(self, *, has_answered: bool) -> None:
        """The loop takes a turn. has_answered: as `answered` has it."""
        self._words[board.TURNED_NS] = self._now_ns()
        self._words[board.ANSWERED] = has_answered

    def answered(self, has_answered: bool) -> None:
        """Whether the source has answered since it was opened."""
        self._words[board.ANSWERED] = has_answered

    def stands(self, flags: BoardFlag) -> None:
        """What is away now."""
        self._words[board.FLAGS] = int(flags)

    def holds(self, hold: Hold) -> None:
        """What keeps the next task from starting."""
        self._words[board.HOLD] = hold

    # The task that runs

    def identify(self, identities: bytes) -> bool:
        """Write what makes the tasks of a batch themselves, unless it stands there; False, and none stands there, where
        it does not fit. The cursor is on none then.
        """
        self._words[board.CURSOR] = NONE
        if identities == self._written:
            return True
        does_fit = len(identities) <= board.IDENTITIES_BYTES
        self._written = identities if does_fit else b""
        self._words[board.IDENTITIES_WORD] = len(self._written)
        start = 8 * (board.IDENTITIES_WORD + 1)
        self._words.cast("B")[start : start + len(self._written)] = self._written
        return does_fit

    def begin(self, shard: int) -> None:
        """The worker is busy from now on, with tasks of this shard."""
        self._words[board.CURSOR] = NONE
        self._words[board.SHARD] = shard
        self._words[board.ATTEMPT_SINCE_NS] = 0
        self._words[board.BUSY_SINCE_NS] = self._now_ns()

    def take(self, offset: int) -> None:
        """It is on the task of this offset; a user's own may be any number."""
        self._words[board.CURSOR] = offset & NONE

    def cursor(self) -> memoryview:
        """The word of the task that it is on, by itself: `word[()] = offset` is cheaper than by its index."""
        return self._words[board.CURSOR : board.CURSOR + 1].cast("B").cast("Q", shape=[])

    def note_crashes(self, crashes: int) -> None:
        """So many crashes are known of the task that it is on."""
        self._words[board.CRASHES] = crashes

    def attempt_goes_on(self) -> None:
        """An attempt begins, or makes progress. Nothing where no task runs."""
        if self._words[board.BUSY_SINCE_NS]:
            self._words[board.ATTEMPT_SINCE_NS] = self._now_ns()

    def put_down(self) -> None:
        """The worker is on no task, though it is busy."""
        self._words[board.CURSOR] = NONE

    def rest(self) -> None:
        """No task runs any more."""
        self._words[board.CURSOR] = NONE
        self._words[board.CRASHES] = 0
        self._words[board.BUSY_SINCE_NS] = 0

    # What became of tasks

    @property
    def parked(self) -> int:
        """How many tasks were parked."""
        parked: int = self._words[board.PARKED]
        return parked

    def note_done(self, tasks: int) -> None:
        """So many are done, the last of them now."""
        self._words[board.HANDLED] += tasks
        self._words[recent.DONE_NS] = self._now_ns()
        if self._words[recent.FAILURES]:
            self._words[recent.FAILURES] = 0
            for index in range(recent.KEPT):
                self._words[recent.FAILED_NS + index] = 0

    def note_failed(self) -> None:
        """One has failed now, whatever becomes of it."""
        self._words[board.FAILED] += 1
        self._words[recent.FAILED_NS + self._words[recent.FAILURES] % recent.KEPT] = self._now_ns()
        self._words[recent.FAILURES] += 1

    def note_given_up(self) -> None:
        """One is not run any more, because it kills workers."""
        self._words[board.GIVEN_UP] += 1

    def note_parked(self, tasks: int) -> None:
        """The parking store has so many more."""
        self._words[board.PARKED] += tasks

    def note_unsettled(self, tasks: int) -> None:
        """So many are not settled yet."""
        self._words[board.UNSETTLED] = tasks

    def _now_ns(self) -> int:
        return int(self._clock.monotonic() * 1e9)
