"""A worker's own hand on its board: the one place that writes there, by methods that say what has happened.

Runs in workers and the foreground. The loop's thread calls it, but `attempt_goes_on`, which any thread may.
"""

from __future__ import annotations

from consumerd.clock import SYSTEM_CLOCK, Clock
from consumerd.model.outcome import Outcome
from consumerd.model.suspects import last_id, shown
from consumerd.model.task import Task, TaskId
from consumerd.wire import board, recent
from consumerd.wire.board import NONE, Hold, WorkerState
from consumerd.wire.figures.counters import Counter, counter_of
from consumerd.wire.figures.histograms import BEHIND, CALLS
from consumerd.wire.figures.recorder import Ended, Recorder


class LaneWriter:
    """Writes one lane of a board: the place of one running task."""

    def __init__(self, words: memoryview, index: int, clock: Clock) -> None:
        self.number = index
        start = board.lane_at(index)
        self._start = start
        self._words = words
        self._busy_since, self._attempt_since, self._shard, self._cursor, self._crashes = range(start, start + 5)
        self._id_at = board.LANE_IDS_AT_BYTE + board.LANE_ID_BYTES * index
        self._id: memoryview | None = None  # of those who run tasks alone: a board with views of it cannot be closed
        self._clock = clock

    @property
    def place(self) -> tuple[int, ...]:
        """What tells the attempt in it from all others, and from itself before it made progress."""
        return tuple(self._words[self._start : self._start + board.CRASHES])

    def is_on(self, place: tuple[int, ...]) -> bool:
        """Whether it is on the task on which it was then."""
        now = self.place
        return now[board.BUSY_SINCE_NS] == place[board.BUSY_SINCE_NS] and now[board.SHARD :] == place[board.SHARD :]

    def begin(self, shard: int) -> None:
        """It is busy from now on, with tasks of this shard."""
        self._words[self._cursor] = NONE
        self._words[self._shard] = shard
        self._words[self._attempt_since] = 0
        self._words[self._busy_since] = self._now_ns()

    def run(self, task: Task) -> None:
        """An attempt at this task begins, one of several that run at once."""
        text = b"\0" if task.id is None else shown(task.id).encode(errors="surrogatepass") + b"\0"
        if self._id is None:
            self._id = self._words.cast("B")[self._id_at : self._id_at + board.LANE_ID_BYTES]
        self._id[: len(text)] = text
        self._words[self._shard] = task.shard
        self._words[self._cursor] = task.offset & NONE
        self._words[self._attempt_since] = self._words[self._busy_since] = self._now_ns()

    def take(self, offset: int) -> None:
        """It is on the task of this offset; a user's own may be any number."""
        self._words[self._cursor] = offset & NONE

    def cursor(self) -> memoryview:
        """The word of the task that it is on, by itself: `word[()] = offset` is cheaper than by its index."""
        return self._words[self._cursor : self._cursor + 1].cast("B").cast("Q", shape=[])

    def note_crashes(self, crashes: int) -> None:
        """So many crashes are known of the task that it is on."""
        self._words[self._crashes] = crashes

    def attempt_goes_on(self) -> None:
        """An attempt begins, or makes progress. Nothing where no task runs."""
        if self._words[self._busy_since]:
            self._words[self._attempt_since] = self._now_ns()

    def put_down(self) -> None:
        """It is on no task, though it is busy."""
        self._words[self._cursor] = NONE

    def rest(self) -> None:
        """No task runs in it any more."""
        self._words[self._cursor] = NONE
        self._words[self._crashes] = 0
        self._words[self._busy_since] = 0

    def _now_ns(self) -> int:
        return int(self._clock.monotonic() * 1e9)


class BoardWriter:
    """Writes one board.

    lane: the first one, in which a worker that runs one task at a time runs it.
    """

    def __init__(self, words: memoryview, clock: Clock = SYSTEM_CLOCK) -> None:
        self._words = words
        self._clock = clock
        self._written = b""
        self._recorder = Recorder(words)
        self.lane = self.lane_at(0)

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
        self._recorder.rest()

    def answered(self, has_answered: bool) -> None:
        """Whether the source has answered since it was opened."""
        self._words[board.ANSWERED] = has_answered

    def committed(self) -> None:
        """A handler's own transaction has settled a task."""
        self._words[board.COMMITTED] = 1

    def stands(self, flags: int) -> None:
        """What is away now, each a `BoardFlag`."""
        self._words[board.FLAGS] = flags

    def holds(self, hold: Hold) -> None:
        """What keeps the next task from starting."""
        self._words[board.HOLD] = hold

    # The tasks that run

    def lane_at(self, index: int) -> LaneWriter:
        """The lane of this number, from 0; below MOST_LANES."""
        return LaneWriter(self._words, index, self._clock)

    def lanes(self, lanes: int) -> list[LaneWriter]:
        """All that the worker has: so many tasks may run at once."""
        self._words[board.LANES] = self._words[board.WIDTH] = lanes
        return [self.lane_at(index) for index in range(lanes)]

    def note_width(self, width: int) -> None:
        """Only so many tasks are to run at once, by now."""
        self._words[board.WIDTH] = width

    def identify(self, identities: bytes) -> bool:
        """Write what makes the tasks of a batch themselves, unless it stands there; False, and none stands there, where
        it does not fit. The first lane is on no task then.
        """
        self.lane.put_down()
        if identities == self._written:
            return True
        does_fit = len(identities) <= board.IDENTITIES_BYTES
        self._written = identities if does_fit else b""
        self._words[board.IDENTITIES_WORD] = len(self._written)
        start = 8 * (board.IDENTITIES_WORD + 1)
        self._words.cast("B")[start : start + len(self._written)] = self._written
        return does_fit

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

    def note_coalesced(self, tasks: int) -> None:
        """So many were finished with another, which is done."""
        self._words[board.COALESCED] += tasks

    def note_calls(self, calls: int, took_s: float) -> None:
        """So many calls of the handler took so long together."""
        CALLS.note(self._words, calls, took_s)

    def note_behind(self, tasks: int, due_s: float) -> None:
        """So many tasks are handled that have been due for so long; a clock apart may say that they are not yet."""
        BEHIND.note(self._words, tasks, tasks * max(0.0, due_s))

    def note_outcome(self, outcome: Outcome, *, was_tried: bool, is_asked: bool = False, is_new: bool = True) -> None:
        """One has come to this end. was_tried: an attempt was made at it, which has failed now. is_asked: its handler
        asked for the retry, which is no failure. is_new: it had not been put off before; others say little of now.

        What is done is for `note_done`.
        """
        if was_tried:
            self._words[board.FAILED] += not is_asked
            self._words[board.ASKED] += is_asked
        if was_tried and is_new and not is_asked:
            self._words[recent.FAILED_NS + self._words[recent.FAILURES] % recent.KEPT] = self._now_ns()
            self._words[recent.FAILURES] += 1
        counter = counter_of(outcome, was_tried=was_tried)
        if counter is not None:
            counter.add(self._words)

    def note_batch(self, tasks: int) -> None:
        """So many are handled together, by one call."""
        Counter.BATCHES.add(self._words)
        Counter.BATCHED.add(self._words, tasks)

    def note_ended(self, ended: Ended) -> None:
        """Keep in mind what has ended last."""
        self._recorder.note(ended)

    def identity_of(self, offset: int) -> TaskId | None:
        """Of a task of the batch that `identify` was told of last."""
        return last_id(self._written, offset)

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
