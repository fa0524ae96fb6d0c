"""The loop: fetch → handle → settle, until asked to stop. Runs in workers and the foreground.

A batch takes the fast loop unless a hook runs between tasks. Either way each task ends in `_finish` with its outcome,
and the batch in `_settle_batch`. Whatever must break in sets an interrupt; the loop then leaves its batch, attends to
it, and goes on with the rest.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from consumerd.clock import Clock
from consumerd.errors import SourceAwayError, StoreAwayError, UndecodableError
from consumerd.events.facts import Fact, Level
from consumerd.model.exits import WorkerExit
from consumerd.model.interrupts import Interrupt
from consumerd.model.outcome import DONE, Dead, Retry
from consumerd.model.task import Task
from consumerd.sources.contract import Batch, EndOfSource, Settlement, Source
from consumerd.wire.board import BUSY_SINCE_NS, CURSOR, FLAGS, HANDLED, NONE, SHARD, UNSETTLED, BoardFlag
from consumerd.wire.board import FAILED as FAILED_WORD
from consumerd.wire.board import PARKED as PARKED_WORD
from consumerd.worker.attempt import Attempts
from consumerd.worker.away import Away
from consumerd.worker.due import DueTasks
from consumerd.worker.fast import VERDICTS, Handler, run_fast
from consumerd.worker.handler import Decode, validating
from consumerd.worker.interrupts import Interrupts
from consumerd.worker.parking import Parking, must_be_parked

IDLE_FETCH_S = 0.2
LARGEST_FETCH = 10_000
FIRST_FETCH = 100


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How the loop is set: from the common keys, and from what the consumer's class overrides.

    validate: makes a model of a decoded record; None: records are used as they are decoded.
    """

    settle_interval_s: float
    max_unsettled: int
    is_general: bool
    reload_interval_s: float
    validate: Decode | None = None


class Hooks:
    """The hooks that the loop itself calls; `consumer` is the user's instance, known by them alone."""

    def __init__(self, consumer: Any) -> None:  # the user's class
        self.reload_config: Callable[[], None] = consumer.reload_config
        self.can_stop_consume: Callable[[], bool] = consumer.can_stop_consume
        self.pre_handle_task: Callable[[], None] = consumer.pre_handle_task
        self.post_handle_task: Callable[[], None] = consumer.post_handle_task
        self._consumer = consumer

    def count(self, tasks: int) -> None:
        """Keep the seed's `number_of_consumed`."""
        self._consumer.number_of_consumed += tasks


@dataclass(frozen=True)
class Parts:
    """What the loop works with; all of one worker."""

    source: Source
    handle: Handler
    hooks: Hooks
    attempts: Attempts
    parking: Parking
    due: DueTasks
    interrupts: Interrupts
    wait: Callable[[float], None]
    words: memoryview
    emit: Callable[[Fact], None]
    clock: Clock


class Loop:
    """One worker's loop. `run` returns how the worker ends; `is_stopping` is what everything in it asks."""

    def __init__(self, parts: Parts, settings: LoopSettings) -> None:
        self._parts = parts
        self._settings = settings
        self._source = parts.source
        self._words = parts.words
        self._exit: WorkerExit | None = None
        self._away = Away(parts.emit, parts.clock)
        self._values_are_known = False
        self._seconds_a_task = settings.settle_interval_s / FIRST_FETCH
        self._last_settle = parts.clock.monotonic()
        self._next_reload = 0.0
        self._batch: Batch | None = None
        self._remaining: Iterator[Any] = iter(())

    @property
    def is_stopping(self) -> bool:
        """Whether the loop was asked to stop, and will with the next look."""
        return self._exit is not None

    def current_task(self) -> Task:
        """The task that the handler is running now."""
        running = self._parts.attempts.running
        if running is not None:
            return running
        if self._batch is None:
            raise RuntimeError("no task is being handled now: ask from within handle_task")
        return self._batch.task(self._handed_out() - 1)

    def run(self) -> WorkerExit:
        """Turn until asked to stop or the source ends."""
        while self._exit is None:
            self.turn()
        return self._exit

    def stop(self, how: WorkerExit) -> None:
        """End with the next look at the interrupts; the first reason counts."""
        if self._exit is None:
            self._exit = how

    def drain(self) -> None:
        """After `run`: park what is held and settle what is finished, as far as the store and the source answer."""
        self._park_held()
        self._settle(is_due=True)

    # One turn

    def turn(self) -> None:
        """Reload when due, attempt parked tasks that are due, handle one batch, settle when due, look up."""
        self._reload_when_due()
        if self._parts.due.is_time:
            self._count_flags()
            self._words[HANDLED] += self._parts.due.run(self._should_stop)
            self._count_flags()
        batch = self._fetch()
        if batch is not None:
            self._handle_batch(batch)
        self._settle_when_due()
        self._attend()

    def _should_stop(self) -> bool:
        self._attend()
        return self.is_stopping

    def _reload_when_due(self) -> None:
        now = self._parts.clock.monotonic()
        if now >= self._next_reload:
            self._next_reload = now + self._settings.reload_interval_s
            self._parts.hooks.reload_config()

    def _fetch(self) -> Batch | None:
        if self._away.is_pausing:
            self._parts.wait(min(self._away.pause_left_s, IDLE_FETCH_S))
            return None
        try:
            batch = self._source.fetch(self._fetch_limit(), IDLE_FETCH_S)
        except SourceAwayError as error:
            self._away.note(error)
            self._count_flags()
            return None
        except StoreAwayError as error:
            self._parts.parking.note_away(error)
            self._count_flags()
            self._parts.wait(IDLE_FETCH_S)
            return None
        except EndOfSource:
            self.stop(WorkerExit.FINISHED)
            return None
        if self._away.is_away:
            self._away.clear()
            self._count_flags()
        return batch

    def _fetch_limit(self) -> int:
        """The least of what may be unsettled, and what takes about `settle_interval`."""
        room = self._settings.max_unsettled - self._source.unsettled()
        in_an_interval = int(self._settings.settle_interval_s / max(self._seconds_a_task, 1e-9))
        return max(0, min(room, max(1, in_an_interval), LARGEST_FETCH))

    # A batch

    def _handle_batch(self, batch: Batch) -> None:
        started = self._parts.clock.monotonic()
        self._words[CURSOR] = NONE
        self._words[SHARD] = batch.shard
        self._words[BUSY_SINCE_NS] = int(started * 1e9)
        self._batch, self._remaining = batch, iter(batch.raws)
        run = self._run_general if self._settings.is_general else self._run_fast
        handled = 0
        while handled < len(batch.raws):
            handled = run(batch, handled)
            self._attend()
            if self.is_stopping or not self._source.keeps(batch):
                break
        if handled < len(batch.raws):
            self._source.release(batch, handled)
        self._batch = None
        self._words[CURSOR] = NONE
        self._words[BUSY_SINCE_NS] = 0
        self._park_held()
        self._learn_pace(handled, self._parts.clock.monotonic() - started)

    def _handed_out(self) -> int:
        assert self._batch is not None
        return len(self._batch.raws) - operator.length_hint(self._remaining)

    def _run_fast(self, batch: Batch, start: int) -> int:
        """Handle tasks from `start` on; how many of the batch are handled when the fast loop is left."""
        ended: object = None
        try:
            ended = run_fast(
                batch,
                self._remaining,
                self._parts.handle,
                decode=validating(batch.decode, self._settings.validate),
                interrupts=self._parts.interrupts,
                words=self._words,
                values_are_known=self._values_are_known,
            )
        except BaseException as error:  # noqa: BLE001 - anything raised, SystemExit included, is a failed attempt
            ended = error
        stop = self._handed_out()
        if isinstance(ended, (BaseException, *VERDICTS)):
            self._settle_done(batch, start, stop - 1)
            return self._conclude(batch, stop - 1, ended)
        if ended is not None:
            self._report_value(ended)
        self._settle_done(batch, start, stop)
        return stop

    def _run_general(self, batch: Batch, start: int) -> int:
        """Handle one task, hooks and all; `start` again where the consumer wants to stop before it."""
        hooks = self._parts.hooks
        if hooks.can_stop_consume():
            self._attend()  # the hook's own answer is that a stop was asked for, which has its own exit
            self.stop(WorkerExit.FINISHED)
            return start
        next(self._remaining)
        self._words[CURSOR] = batch.offset(batch.raws[start])
        hooks.pre_handle_task()
        handled = self._conclude(batch, start, None)
        hooks.post_handle_task()
        return handled

    def _conclude(self, batch: Batch, index: int, ended: BaseException | Retry | Dead | None) -> int:
        """Take one task to its outcome; how many of the batch are handled then."""
        task = batch.task(index)
        conclusion = self._parts.attempts.conclude(task, lambda: self._decode(batch, index, task), ended)
        outcome = conclusion.outcome
        if outcome is None:  # a stop came between two attempts: hand the task back
            return index
        if outcome == DONE:
            self._settle_done(batch, index, index + 1)
            return index + 1
        self._words[FAILED_WORD] += 1
        if must_be_parked(outcome, is_durable_defer=self._source.traits.durable_defer):
            self._parts.parking.hold(batch, index, conclusion)
            if isinstance(outcome, Retry):
                self._parts.due.look_soon()
        else:
            self._source.settle((Settlement(batch, index, index + 1, outcome, conclusion.task),), is_due=False)
        return index + 1

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
            self._words[HANDLED] += stop - start
            self._parts.hooks.count(stop - start)

    # Between batches, and when interrupted

    def _attend(self) -> None:
        for reason in self._parts.interrupts.take():
            match reason:
                case Interrupt.STOP:
                    self.stop(WorkerExit.DRAINED)
                case Interrupt.MASTER_GONE:
                    self.stop(WorkerExit.MASTER_GONE)
                case Interrupt.SETTLE_DUE:
                    self._park_held()
                    self._settle(is_due=True)
                case Interrupt.REVOKED:
                    self._parts.parking.forget(self._source.keeps)
                case Interrupt.PARKED_DUE:
                    self._parts.due.look_now()

    def _park_held(self) -> None:
        settlements = self._parts.parking.flush()
        if settlements:
            self._words[PARKED_WORD] += len(settlements)
            self._source.settle(settlements, is_due=False)
        self._count_flags()

    def _settle_when_due(self) -> None:
        if self._parts.clock.monotonic() - self._last_settle >= self._settings.settle_interval_s:
            self._park_held()
            self._settle(is_due=True)

    def _settle(self, *, is_due: bool) -> None:
        self._source.settle((), is_due=is_due)
        self._last_settle = self._parts.clock.monotonic()
        self._words[UNSETTLED] = self._source.unsettled()

    def _count_flags(self) -> None:
        flags = BoardFlag(0)
        if self._parts.parking.is_away:
            flags |= BoardFlag.STORE_AWAY
        if self._away.is_away:
            flags |= BoardFlag.SOURCE_AWAY
        self._words[FLAGS] = int(flags)

    def _learn_pace(self, handled: int, seconds: float) -> None:
        if handled:
            self._seconds_a_task += (seconds / handled - self._seconds_a_task) / 4

    def _report_value(self, value: object) -> None:
        self._values_are_known = True
        self._parts.emit(Fact("value_returned", Level.INFO, {"type": type(value).__name__, "taken_as": "done"}))
