"""What runs tasks in batches, by `handle_batch`. Runs in workers and the foreground.

A task that is started is gathered with others until their batch is due. One batch at a time runs, in the loop's own
thread, while the loop waits for something to end. If it raises, its tasks run one by one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from threading import get_ident

from consumerd.model.outcome import DONE
from consumerd.model.task import Task
from consumerd.sources.contract import Batch
from consumerd.sources.decoding import TOMBSTONE
from consumerd.wire.board_writer import LaneWriter
from consumerd.wire.figures.recorder import Ran
from consumerd.worker.attempts.attempt import Ending
from consumerd.worker.attempts.batch_maker import BatchMaker
from consumerd.worker.attempts.maker import UNSEEN, Ready
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.running import RUNNING
from consumerd.worker.window.gathering import Batching, Fold, Gathering
from consumerd.worker.window.in_hand import InHand
from consumerd.worker.window.lanes import OnEnded

CoalesceKey = Callable[[object], Hashable]
"""Of a record; None: it stands for itself."""


class BatchLane:
    """The `Lanes` of a consumer that has `handle_batch`: each task of the batch that runs is shown in one."""

    def __init__(
        self,
        context: WorkerContext,
        maker: BatchMaker,
        batching: Batching,
        key_of: CoalesceKey | None,
        is_full: Callable[[], bool],
    ) -> None:
        """key_of: None: no task stands for another. is_full: nothing more can come, so that nothing is waited for."""
        self.on_ended: OnEnded = lambda tasks: True
        self._maker = maker
        self._key_of = key_of
        self._is_full = is_full
        self.width = batching.size
        self._is_across = context.common.batch_across
        self._interrupts = context.interrupts
        self._clock = context.clock
        self._board = context.board
        self._lanes = context.board.lanes(batching.size)
        self._gathering: Gathering[InHand] = Gathering(batching)
        self._next: deque[list[InHand]] = deque()
        self._ended: list[InHand] = []
        self._is_hurried = False

    @property
    def room(self) -> int:
        return self.width

    # As `Ahead` has it, and in its place

    def wants(self, running: int, ready: int, width: int) -> int:
        del running  # most of them are gathered, and run when a batch is full
        return 0 if self.rests_for_s() <= 0 else max(0, width - ready)

    def rests_for_s(self) -> float:
        if self._next or self._ended or (self._is_hurried and self._gathering):
            return 0.0
        now = self._clock.monotonic()
        return self._gathering.due_at(now) - now

    def hurry(self) -> None:
        self._is_hurried = bool(self._gathering)

    def start(self, task: InHand) -> None:
        if task.is_alone:
            self._next.append([task])
        elif self._has_record(task):
            is_again = task.task.attempts > 0  # apart: what fails each time disturbs no fresh one
            group = (None if self._is_across else task.task.shard, is_again)
            if task.record is TOMBSTONE:
                while batch := self._gathering.take_group(group):  # it deletes what they may have written
                    self._put(batch)
                self._next.append([task])
                return
            key = None if self._key_of is None else self._key_of(task.record)
            now, first_at = self._clock.monotonic(), task.gathered_at
            self._gathering.add(task, group=group, key=key, now=now, first_at=first_at, is_ready=is_again)

    def start_fresh(self, batch: Batch, tasks: Sequence[InHand]) -> None:
        """As `start` for all tasks of a batch, none of which was tried before."""
        decode, payload, key_of = self._maker.decoder(batch), batch.payload, self._key_of
        add, now = self._gathering.add, self._clock.monotonic()
        group = (None if self._is_across else batch.shard, False)
        for task, raw in zip(tasks, batch.raws, strict=True):
            try:
                task.record = record = decode(payload(raw))
            except Exception:  # noqa: BLE001 - of whatever decoder; the attempt meets it again, and says what it was
                self.start(task)
            else:
                add(task, group=group, key=None if key_of is None else key_of(record), now=now)

    def take_back(self) -> list[InHand]:
        gathered = self._gathering.take_back()
        for task, first_at in gathered:
            task.gathered_at = first_at
        given = [task for task, _ in gathered] + [task for batch in self._next for task in batch]
        self._next.clear()
        return [each for task in given for each in task.parted()]

    def wait(self, seconds: float) -> None:
        self._gather()
        if not (self._next or self._ended):
            self._show_that_it_waits()
            self._interrupts.wait(max(0.0, min(seconds, self.rests_for_s())))
            self._gather()
        if self._next and not self._interrupts.are_set():
            self._run(self._next.popleft())
        while self._ended:
            ended, self._ended = self._ended, []
            self.on_ended(ended)

    def close(self) -> None:
        """There is nothing to close."""

    # Within

    def _has_record(self, task: InHand) -> bool:
        """Make its record, where it has none; where that cannot be, its attempt has ended."""
        if task.record is UNSEEN:
            ready = self._maker.ready(task.attempt)
            if not isinstance(ready, Ready):
                task.ended = ready
                self._ended.append(task)
                return False
            task.record = ready.record
        return True

    def _gather(self) -> None:
        """The next batch, where none is, and one is due."""
        if self._next or not self._gathering:
            return
        is_hurried = self._is_hurried or self._interrupts.is_paused or self._is_full()
        self._put(self._gathering.take(self._clock.monotonic(), is_hurried=is_hurried))
        self._is_hurried = self._is_hurried and bool(self._gathering)

    def _put(self, batch: list[Fold[InHand]]) -> None:
        for task, others in batch:
            task.others = [*task.others, *(each for other in others for each in other.parted())]
        if batch:
            self._next.append([task for task, _ in batch])

    def _show_that_it_waits(self) -> None:
        """Whoever looks at the board sees that the worker has something in hand, and goes on."""
        lane = self._lanes[0]
        if self._gathering:
            lane.begin(0)
        else:
            lane.rest()

    def _run(self, batch: list[InHand]) -> None:
        tasks = [task for task in batch if self._has_record(task)]
        if not tasks:
            return
        lanes = self._lanes[: len(tasks)]
        for lane, task in zip(lanes, tasks, strict=True):
            task.lane = lane
            lane.run(task.task)
        if tasks[0].record is TOMBSTONE:
            tasks[0].thread = get_ident()
            RUNNING.set(tasks[0])
            endings: list[Ending] | None = [self._maker.make_alone(tasks[0].attempt)]
        else:
            RUNNING.set(_RunningBatch(lanes))
            began = self._clock.monotonic()
            endings = self._maker.make([task.task for task in tasks], [task.record for task in tasks])
            ran = Ran((self._clock.monotonic() - began) / len(tasks), len(tasks) > 1)
            for task in tasks:
                task.attempt.ran = ran
        RUNNING.set(None)
        for lane in lanes:
            lane.rest()
        for task in tasks:
            task.record = UNSEEN  # the handler may have changed it
        if endings is None:
            self._try_each(tasks)
            return
        for task, ended in zip(tasks, endings, strict=True):
            if ended is DONE:
                self._board.note_coalesced(len(task.others))
            task.ended = ended
            self._ended.append(task)

    def _try_each(self, tasks: Iterable[InHand]) -> None:
        """One after the other, before all else."""
        alone = list(tasks)
        for task in alone:
            task.is_alone = True
        self._next.extendleft([task] for task in reversed(alone))


class _RunningBatch:
    """What a thread is handling: many tasks, each in a lane of its own."""

    thread = None

    def __init__(self, lanes: Sequence[LaneWriter]) -> None:
        self._lanes = lanes

    @property
    def lane(self) -> _RunningBatch:
        return self

    @property
    def task(self) -> Task:
        raise RuntimeError(
            "handle_batch has several tasks at once: ask each of them, such as tasks[0].key; and in the place of "
            "self.transaction(), which is of one task, use self.database.begin()"
        )

    def attempt_goes_on(self) -> None:
        """All of them make progress."""
        for lane in self._lanes:
            lane.attempt_goes_on()
