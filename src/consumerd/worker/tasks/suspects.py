"""Suspects, as a worker treats them: tasks that were running when a worker died. Runs in workers and the foreground.

The master tells who they are; the store knows those of earlier masters and of other hosts. One runs by itself: what
came before it is settled, its crashes are written down, and then it runs. If it has killed `crash_limit` workers it is
not run but parked. While there is no suspect, a batch only pays for writing on the board what its tasks are.
"""

from __future__ import annotations

from consumerd import events
from consumerd.errors import StoreAwayError
from consumerd.model.failure import Failure
from consumerd.model.outcome import Dead
from consumerd.model.parked import ParkedTask
from consumerd.model.suspects import CANCELLED_FOR_GOOD, Suspect, has_one_of, shown
from consumerd.model.task import Task, TaskId
from consumerd.parking.thread import StoreThread
from consumerd.sources.abilities import Unordered
from consumerd.sources.contract import Batch
from consumerd.sources.identities import one_by_one
from consumerd.wire.board import NONE
from consumerd.wire.messages import Cleared
from consumerd.worker.attempts.attempt import Conclusion
from consumerd.worker.tasks.context import Link, WorkerContext
from consumerd.worker.tasks.parked_rows import suspect_row
from consumerd.worker.tasks.settling import Settling

REASON = "its workers die"


class Suspects:
    """The suspects that this worker knows. The loop's thread calls it; `load` whoever asks the store."""

    def __init__(self, context: WorkerContext, store: StoreThread, link: Link) -> None:
        """link: the master tells who they are, and is told of those that are suspects no more."""
        self._consumer = context.name
        self._crash_limit = context.common.crash_limit
        self._link = link
        self._store = store
        self._board = context.board
        self._emit = context.emit
        self._clock = context.clock
        self._told: dict[TaskId, Suspect] = {}
        self._kept: dict[TaskId, Suspect] = {}
        self._to_clear: set[TaskId] = set()
        self._do_fit = True
        self._running: Suspect | None = None

    # What is known

    @property
    def are_known(self) -> bool:
        """Whether there are any."""
        self._hear()
        return bool(self._told or self._kept)

    def load(self) -> None:
        """Look into the store. StoreAwayError."""
        consumer = self._consumer
        self._clear_rows()
        nothing: tuple[Suspect, ...] = ()
        found = self._store.ask(consumer, lambda store: store.suspects_of(consumer), nothing)
        self._kept = {suspect.task_id: suspect for suspect in found}

    def find(self, task_id: TaskId | None, parked: ParkedTask | None = None) -> Suspect | None:
        """What is known of a task, by whoever knows of more crashes; of a parked one, its row does."""
        if task_id is None or not (self.are_known or parked):
            return None
        told, kept = self._told_of(task_id), self._kept.get(task_id)
        if parked is not None:
            kept = Suspect(task_id, parked.crashes, parked.error, parked.traceback) if parked.crashes else None
        return max(filter(None, (told, kept)), key=lambda suspect: suspect.crashes, default=None)

    def put_last(self, batch: Batch) -> bool:
        """Let the suspects of a batch come after its other tasks, where nobody counts on their order; whether it has
        any. One may take its worker with it, and what was fetched behind it would wait for the next.
        """
        if not self.are_known or not isinstance(batch, Unordered):
            return False
        return batch.put_last(lambda task_id: self.find(task_id) is not None)

    # On the board

    def must_go_singly(self, batch: Batch, *, is_given_away: bool) -> bool:
        """Put a batch's tasks on the board; whether one of them is a suspect, or they do not fit.

        is_given_away: their source has them no more, and will not give them again.
        """
        self.put_last(batch)
        identities = b"" if is_given_away else batch.identities()
        self._do_fit = self._board.identify(identities)
        if not self._do_fit:
            return True
        if not self.are_known:
            return False
        first, last = batch.offset(batch.raws[0]), batch.offset(batch.raws[-1])
        return has_one_of(identities, first, last, {*self._told, *self._kept})

    def enter(self, batch: Batch, index: int) -> Suspect | None:
        """Put the cursor on a task that is handled by itself; what is known of it, where it is a suspect."""
        if self._do_fit:
            self._board.lane.take(batch.offset(batch.raws[index]))
        else:
            self.show(batch.task(index))
        return self.find(batch.task(index).id) if self._told or self._kept else None

    def show(self, task: Task) -> None:
        """Put one task on the board by itself, and the cursor on it."""
        self._board.identify(one_by_one({task.offset & NONE: task.id}))
        self._board.lane.take(task.offset)

    # What becomes of one

    @property
    def is_running(self) -> bool:
        """Whether one has begun, and has not ended."""
        return self._running is not None

    def is_condemned(self, suspect: Suspect) -> bool:
        """Whether it must not be run again."""
        return suspect.crashes >= self._crash_limit

    def begin(self, task: Task, suspect: Suspect, settling: Settling) -> Conclusion | None:
        """It is about to run: what ended before it must not be repeated where it kills the worker. While the store is
        away it runs all the same, for the master knows its crashes. If it must not be run again: its end.
        """
        if self.is_condemned(suspect):
            return self._condemn(task, suspect)
        settling.park()
        settling.settle()
        self._running = suspect
        self._board.lane.note_crashes(suspect.crashes)
        try:
            self._write_down(task, suspect)
        except StoreAwayError as error:
            settling.outage.note(error)
        return None

    def end(self, *, is_cleared: bool) -> None:
        """It does not run any more, if one did. is_cleared: it came to an outcome; else it comes again."""
        if self._running is not None:
            suspect, self._running = self._running, None
            self._board.lane.note_crashes(0)
            if is_cleared:
                self.clear(suspect.task_id)

    def _condemn(self, task: Task, suspect: Suspect) -> Conclusion:
        """Dead, with an error that says why."""
        self._board.note_given_up()
        limit, crashes = self._crash_limit, suspect.crashes
        died = f"the workers that ran it died: {suspect.ends} (crashes {crashes}, limit {limit})"
        failure = Failure(died, suspect.stacks)
        if suspect.ends == CANCELLED_FOR_GOOD:
            failure, crashes = Failure(CANCELLED_FOR_GOOD), 1
        task = task._replace(attempts=task.attempts + crashes, first_at=task.first_at or self._clock.wall())
        return Conclusion(task, Dead(REASON), failure, crashes=crashes)

    def _write_down(self, task: Task, suspect: Suspect) -> None:
        """Its crashes, in the store. StoreAwayError."""
        assert task.id is not None
        kept = self._kept.get(task.id)
        if suspect.crashes > (0 if kept is None else kept.crashes):
            row = suspect_row(self._consumer, task, suspect, self._clock.wall())
            self._store.call(lambda store: store.note_suspect(row))
            self._kept = {**self._kept, task.id: suspect}

    def clear(self, task_id: TaskId) -> None:
        """A task has come to an outcome, or is parked: it is no suspect any more, if it was one."""
        names = {task_id, shown(task_id)}
        if names.isdisjoint(self._told) and task_id not in self._kept:
            return
        if task_id in self._kept:
            self._to_clear.add(task_id)
        self._told = {other: known for other, known in self._told.items() if other not in names}
        self._kept = {other: known for other, known in self._kept.items() if other != task_id}
        for name in names:
            self._link.tell(Cleared(name))
        self._emit(events.suspect_cleared(task=task_id))
        try:
            self._clear_rows()
        except StoreAwayError:
            return  # with the next look into the store

    # Within

    def _told_of(self, task_id: TaskId) -> Suspect | None:
        """By its own id, or as a lane of a board had it."""
        told = self._told.get(task_id) or self._told.get(shown(task_id))
        return None if told is None else told._replace(task_id=task_id)

    def _hear(self) -> None:
        told = self._link.suspects.take()
        if told is not None:
            self._told = {TaskId(suspect[0]): Suspect(*suspect) for suspect in told}

    def _clear_rows(self) -> None:
        if self._to_clear:
            ids = tuple(self._to_clear)
            self._store.call(lambda store: store.clear_suspects(self._consumer, ids))
            self._to_clear.difference_update(ids)
