"""One batch, from its first task to its last, or to where the loop must leave it. Runs in workers and the foreground.

The fast loop takes it unless a hook runs between tasks. Either way a task that does not simply end goes through
`_conclude` to its outcome, and what must be parked is held until the batch is left.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any

from consumerd import events
from consumerd.errors import ConsumerdError, StoreAwayError, UndecodableError
from consumerd.model.interrupts import Interrupt
from consumerd.model.outcome import DONE, Dead, Retry
from consumerd.model.suspects import Suspect
from consumerd.model.task import Task
from consumerd.sources.contract import Batch, Revocable, Settlement
from consumerd.worker.tasks.attempt import Raised
from consumerd.worker.tasks.fast import VERDICTS, run_fast
from consumerd.worker.tasks.handler import validating
from consumerd.worker.tasks.parking import must_be_parked
from consumerd.worker.tasks.parts import LoopSettings, Parts


class Handling:
    """Handles batches. `attend` looks at the interrupts and answers whether the batch must be left."""

    def __init__(self, parts: Parts, settings: LoopSettings, attend: Callable[[], bool]) -> None:
        self._parts = parts
        self._settings = settings
        self._attend = attend
        self._source = parts.source
        self._keeps = parts.source.keeps if isinstance(parts.source, Revocable) else lambda batch: True
        self._suspects = parts.suspects
        self._board = parts.board
        self._cursor = parts.board.cursor()
        self._values_are_known = False
        self._batch: Batch | None = None
        self._remaining: Iterator[Any] = iter(())  # over the raws of whatever source

    def current_task(self) -> Task:
        """The task that the handler is running now; RuntimeError between tasks."""
        running = self._parts.attempts.running
        if running is not None:
            return running
        if self._batch is None:
            raise RuntimeError("no task is being handled now: ask from within handle_task")
        return self._batch.task(self._handed_out() - 1)

    def handle(self, batch: Batch) -> int:
        """Handle the batch; how many of its tasks, from the first on. The loop has to give the rest back."""
        self._board.begin(batch.shard)
        self._batch, self._remaining = batch, iter(batch.raws)
        is_single = self._suspects.must_go_singly(batch, is_given_away=self._source.traits.gives_away)
        try:
            handled = self._run_through(batch, is_single=is_single or self._settings.is_general)
        except ConsumerdError:
            self._board.put_down()  # a source or a store that gave up: no fault of the task
            raise
        self._batch, self._remaining = None, iter(())
        self._board.rest()
        return handled

    def _run_through(self, batch: Batch, *, is_single: bool) -> int:
        handled = 0
        while handled < len(batch.raws):
            run = self._run_general if is_single or self._parts.breaker.is_open else self._run_fast
            handled = run(batch, handled)
            if self._must_leave(batch):
                break
        return handled

    def _must_leave(self, batch: Batch) -> bool:
        return self._attend() or not self._keeps(batch)

    def _handed_out(self) -> int:
        assert self._batch is not None
        return len(self._batch.raws) - operator.length_hint(self._remaining)

    def _run_fast(self, batch: Batch, start: int) -> int:
        """Handle tasks from `start` on; how many of the batch are handled when the fast loop is left."""
        try:
            ended = run_fast(
                batch,
                self._remaining,
                self._parts.handle,
                decode=validating(batch.decode, self._settings.validate),
                interrupts=self._parts.interrupts,
                cursor=self._cursor,
                values_are_known=self._values_are_known,
            )
        except BaseException as error:  # noqa: BLE001 - anything raised, SystemExit included, is a failed attempt
            if batch.task(self._handed_out() - 1).is_tombstone:
                return self._leave_fast(batch, start, None)  # the decoder had nothing to decode
            ended = self._parts.attempts.raised(error)
        stop = self._handed_out()
        if ended is not None:
            ended = self._parts.attempts.returned(ended)
            if isinstance(ended, (Raised, *VERDICTS)):
                return self._leave_fast(batch, start, ended)
            self._report_value(ended)
        self._settle_done(batch, start, stop)
        return stop

    def _leave_fast(self, batch: Batch, start: int, ended: Raised | Retry | Dead | None) -> int:
        """Take the last task that was handed out to its outcome, those from `start` to before it being done."""
        last = self._handed_out() - 1
        self._settle_done(batch, start, last)
        return self._conclude(batch, last, ended)

    def _run_general(self, batch: Batch, start: int) -> int:
        """Handle one task, hooks and all; `start` again where the consumer wants to stop before it."""
        if not self._source.traits.gives_away and self._parts.hooks.can_stop_consume():
            self._parts.interrupts.set(Interrupt.FINISHED)
            return start
        next(self._remaining)
        suspect = self._suspects.enter(batch, start)
        return self._conclude(batch, start, None) if suspect is None else self._run_suspect(batch, start, suspect)

    def _run_suspect(self, batch: Batch, index: int, suspect: Suspect) -> int:
        """Handle a task that was running when a worker died; or park it, where that was once too often."""
        if self._suspects.is_condemned(suspect):
            self._board.note_failed()
            self._parts.parking.hold(batch, index, self._suspects.condemn(batch.task(index), suspect))
            return index + 1
        self._parts.interrupts.set(Interrupt.SETTLE_DUE)  # what failed before it is parked, and all of it settled
        if self._attend() and not self._source.traits.gives_away:  # such a task would come from nowhere again
            return index
        try:
            self._suspects.begin(batch.task(index), suspect)
        except StoreAwayError as error:
            self._parts.parking.note_away(error)
        stop = self._conclude(batch, index, None)
        self._suspects.end(suspect.task_id, is_cleared=stop > index)
        return stop

    def _conclude(self, batch: Batch, index: int, ended: Raised | Retry | Dead | None) -> int:
        """Take one task to its outcome; how many of the batch are handled then."""
        task = batch.task(index)
        conclusion = self._parts.attempts.conclude(
            task, self._decoder(batch, index, task, ended), lambda: self._must_leave(batch), ended
        )
        outcome = conclusion.outcome
        if outcome is None:
            if not self._source.traits.gives_away:
                return index  # it is given back, and comes again
            outcome = Retry()
            conclusion = replace(conclusion, outcome=outcome)
        if outcome == DONE:
            self._settle_done(batch, index, index + 1)
            return index + 1
        self._board.note_failed()
        if must_be_parked(outcome, is_durable_defer=self._source.traits.durable_defer):
            self._parts.parking.hold(batch, index, conclusion)
            if isinstance(outcome, Retry):
                self._parts.due.look_soon()
        else:
            self._source.settle((Settlement(batch, index, index + 1, outcome, conclusion.task),), is_due=False)
        return index + 1

    def _decoder(self, batch: Batch, index: int, task: Task, ended: object) -> Callable[[], object]:
        """Makes the record: the first time as it came, later, or after an attempt, from the payload again."""
        untouched = iter([ended is None])

        def decode() -> object:
            is_untouched = next(untouched, False)
            return self._decode(batch, index, task) if is_untouched else self._decode_again(batch, index, task)

        return decode

    def _decode_again(self, batch: Batch, index: int, task: Task) -> object:
        """From the payload: the handler may have changed the record. Where there is no way back, as it is."""
        first = self._decode(batch, index, task)
        if first is not batch.payload(batch.raws[index]):
            return first  # it was decoded anew
        try:
            return validating(self._source.decode, self._settings.validate)(task.payload)
        except UndecodableError:
            return first

    def _decode(self, batch: Batch, index: int, task: Task) -> object:
        decode = validating(batch.decode, self._settings.validate)
        try:
            return decode(batch.payload(batch.raws[index]))
        except UndecodableError:
            raise
        except Exception:
            self._source.decode(task.payload)  # says in a sentence what a quick decoder says in its own way
            raise

    def _settle_done(self, batch: Batch, start: int, stop: int) -> None:
        if stop > start:
            self._source.settle((Settlement(batch, start, stop, DONE),), is_due=False)
            self._board.note_done(stop - start)
            self._parts.breaker.note_done()
            self._parts.hooks.count(stop - start)

    def _report_value(self, value: object) -> None:
        self._values_are_known = True
        self._parts.emit(events.value_returned(type=type(value).__name__, taken_as="done"))
