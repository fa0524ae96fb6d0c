"""The loop: fetch → handle → settle, until asked to stop. Runs in workers and the foreground.

Whatever must break in sets an interrupt. Who runs tasks pauses then, between two tasks or two attempts; the loop
attends to it, and has them go on.
"""

from __future__ import annotations

from collections.abc import Generator
from threading import Lock, get_ident

from consumerd import events
from consumerd.errors import SourceAwayError, StoreAwayError
from consumerd.model.exits import WorkerExit
from consumerd.model.task import Task
from consumerd.sources.abilities import Asked
from consumerd.sources.contract import Batch, EndOfSource, SourceContext
from consumerd.wire.board import Hold
from consumerd.worker.attempts.forked_child import leave_if_child
from consumerd.worker.attempts.judge import NEWS_S
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.handling import Handling, Parts
from consumerd.worker.tasks.interrupts import Interrupt
from consumerd.worker.tasks.running import RUNNING
from consumerd.worker.tasks.time_behind import TimeBehind

IDLE_FETCH_S = 0.4
"""So long a source may wait for its next task, and an idle worker for whatever cannot break into that wait."""
LARGEST_FETCH = 10_000


class Loop:
    """One worker's loop. `run` returns how the worker ends.

    is_open: whether the source has been opened.
    turn_lock: held by the thread that handles tasks: the loop's, unless it waits in its source.
    """

    def __init__(self, context: WorkerContext, parts: Parts, handling: Handling, source_context: SourceContext) -> None:
        self.is_open = False
        self.turn_lock = Lock()
        self.turn_lock.acquire()
        self._context = context
        self._source_context = source_context
        self._parts = parts
        self._source = parts.source
        self._settling = parts.settling
        self._gate = parts.gate
        self._handling = handling
        self._time_behind = TimeBehind(context, parts.source)
        self._clock = context.clock
        self._wait = context.interrupts.wait
        self._exit: WorkerExit | None = None
        self._thread = get_ident()
        self._in_source_since: float | None = None
        self._has_ended = False
        self._has_told_of_end = False

    @property
    def is_stopping(self) -> bool:
        """Whether the loop was asked to stop, and will with the next look."""
        return self._exit is not None

    @property
    def is_busy(self) -> bool:
        """Whether tasks are in hand."""
        return self._handling.is_busy

    def current_task(self) -> Task:
        """The task that the caller's thread or coroutine is handling now; RuntimeError between tasks."""
        running = RUNNING.get()
        task = self._handling.task if running is None else running.task
        if task is None:
            raise RuntimeError("no task is being handled now: ask from within handle_task")
        return task

    def open_source(self) -> None:
        """Open it, unless it is away: then it is asked again, after growing pauses, before anything is fetched."""
        try:
            self._source.open(self._source_context)
        except (SourceAwayError, StoreAwayError) as error:
            self._gate.note_source(error)
            self._wait(IDLE_FETCH_S)
        else:
            self.is_open = True
            self._gate.note_source(None)

    def run(self) -> WorkerExit:
        """Turn until asked to stop or the source ends; the user's own handler of a signal may exit anywhere."""
        while self._exit is None:
            try:
                self.turn()
            except (SystemExit, KeyboardInterrupt):
                self._wait(NEWS_S)
                if not self._attend():
                    raise
        self.finish()
        return self._exit

    def finish(self) -> None:
        """Begin nothing any more, and go on until all that was begun has ended."""
        self._go_through(self._handling.finish())

    # One turn

    def turn(self) -> None:
        """Whatever is due between batches, then one batch."""
        if not self.is_open:
            self._wait_for_source()
        elif not self._between_batches():
            return
        elif self._has_ended and not self._handling.is_busy:
            self._finish_or_stay()
        elif (batch := self._fetch()) is not None or self._handling.is_busy:
            self._handle(batch)
        else:
            self._parts.breaker.rest()

    def _wait_for_source(self) -> None:
        self._context.board.turned(has_answered=False)
        if self._attend():
            return
        if self._gate.source_pause_s > 0:
            self._wait(min(self._gate.source_pause_s, IDLE_FETCH_S))
        else:
            self.open_source()

    def _between_batches(self) -> bool:
        """Reload, attempt parked tasks, settle, each when due; attend to interrupts. False when the loop is to stop."""
        self._context.board.turned(has_answered=self._source.has_answered)
        self._parts.hooks.reload_when_due()
        if self.may_try_parked:
            self._go_through(self._handling.try_parked())
            self._gate.show()
        if self._settling.is_due:
            self._park_and_settle()
        return not self._attend()

    def attend_in_source(self) -> bool:
        """Do what is due between two batches, for a source that waits in the user's generator; false when the worker is
        to stop. Nothing is done from another thread, or where the loop does not wait in its source: in a handler.
        """
        if self._in_source_since is None or get_ident() != self._thread:
            return not self.is_stopping
        with self.turn_lock:
            self._in_source_since = None
            try:
                return self._between_batches()
            finally:
                self._in_source_since = self._clock.monotonic()

    def go_on_in_source(self) -> bool:
        """Go on for a moment with the tasks in hand, for a source that has to see them end within `fetch`; false where
        there are none.
        """
        if not self._handling.is_busy:
            return False
        with self.turn_lock:
            self._in_source_since = None
            self._context.board.turned(has_answered=self._source.has_answered)
            try:
                self._go_through(self._handling.handle(None))
            finally:
                self._in_source_since = self._clock.monotonic()
        return True

    def has_waited(self, seconds: float) -> bool:
        """Whether the loop's thread has been in its source for so long, and is there still."""
        since = self._in_source_since
        return since is not None and self._clock.monotonic() - since >= seconds

    @property
    def may_try_parked(self) -> bool:
        """Whether it is time to look for parked tasks that are due."""
        return self._parts.due.is_time and not self._parts.share.rests and self._gate.is_open_for_parked

    def _handle(self, batch: Batch | None) -> None:
        self._time_behind.begin(batch)
        self._go_through(self._handling.handle(batch))
        self._time_behind.end()
        self._gate.show()
        if self._handling.is_finished:
            self._finish()

    def _go_through(self, steps: Generator[None]) -> None:
        """Run tasks, attending to what comes meanwhile; where the loop is to stop, no further one is begun."""
        try:
            for _ in steps:
                if self._attend():
                    self._handling.leave()
        finally:
            steps.close()

    # The source

    def _fetch(self) -> Batch | None:
        """The next batch; only what is there at once, where tasks are in hand, or parked ones due: they take turns."""
        wanted = 0 if self._has_ended else self._handling.wants()
        if not wanted:
            return None
        wait_s = 0.0 if self.may_try_parked else max(0.0, min(IDLE_FETCH_S, self._handling.rests_for_s()))
        hold, room = self._gate.ask()
        if hold is Hold.SOURCE_AWAY:
            self._parts.share.note_new(wait=False)
            self._wait(min(self._gate.source_pause_s, wait_s))
            return None
        if self._parts.hooks.come_between and self._parts.hooks.can_stop_consume():
            self._finish()
            return None
        try:
            batch = self._fetch_outside(min(room, wanted, LARGEST_FETCH), wait_s)
        except (SourceAwayError, StoreAwayError) as error:
            self._gate.note_source(error)
            self._wait(0.0 if self._handling.is_busy else IDLE_FETCH_S)  # tasks that run go on
            return None
        except EndOfSource:
            self._has_ended = True
            self._parts.share.note_new(wait=False)
            self._parts.due.look_now()
            return None
        self._gate.note_fetched(gives_tasks=batch is not None)
        self._parts.share.note_new(wait=batch is not None)
        return batch

    def _fetch_outside(self, limit: int, wait_s: float) -> Batch | None:
        """Fetch, and let another thread handle what is due while the source waits."""
        self._in_source_since = self._clock.monotonic()
        self.turn_lock.release()
        try:
            return self._source.fetch(limit, wait_s)
        finally:
            self._in_source_since = None
            self.turn_lock.acquire()
            self._context.board.answered(self._source.has_answered)

    # The end

    def _finish_or_stay(self) -> None:
        """The source has ended. A worker that alone has its tasks stays until none waits to be tried again."""
        is_alone = self._source.traits.gives_away and self._context.common.restart != "always"
        waits = self._settling.held or self._settling.outage.is_on or self._parts.due.has_waiting
        if not (is_alone and waits):
            self._finish()
        elif not self.may_try_parked:
            if not self._has_told_of_end:
                self._has_told_of_end = True
                self._context.emit(events.source_ended(then="it stays for the tasks that wait"))
            self._wait(IDLE_FETCH_S)

    def _finish(self) -> None:
        """End, for there is no task any more, or the consumer wants none: unless a stop was asked for before."""
        if not self._attend():
            if self._parts.due.has_waiting:
                advice = "a worker of this consumer tries them when it runs: consumerd restart starts this one again"
                self._context.emit(events.retries_left(advice=advice))
            self._stop(WorkerExit.FINISHED)

    def _stop(self, how: WorkerExit) -> None:
        """End with the next look at the interrupts; the first reason counts."""
        if self._exit is None:
            self._exit = how

    # Interrupts

    def _attend(self) -> bool:
        """Act on the interrupts that came; whether the loop is to stop."""
        for reason in self._context.interrupts.take():
            match reason:
                case Interrupt.STOP:
                    self._stop(WorkerExit.DRAINED)
                case Interrupt.MASTER_GONE:
                    self._stop(WorkerExit.MASTER_GONE)
                case Interrupt.SETTLE_DUE:
                    self._park_and_settle()
                case Interrupt.REVOKED:
                    self._park()  # while it still settles: its attempts would be made again elsewhere
                case Interrupt.PARKED_DUE:
                    self._parts.due.look_now()
                    if isinstance(self._source, Asked):
                        self._source.look_now()
                case Interrupt.AMENDED:
                    self._parts.hooks.amend()
                    self._parts.breaker.end_failing()
                case Interrupt.PAUSE:
                    if not self._context.interrupts.is_paused:  # else the next fetch sees it
                        self._parts.breaker.end_failing()
                case Interrupt.OUT_OF_MEMORY | Interrupt.STALE:
                    self._stop(WorkerExit.RECYCLE)
                case Interrupt.FORKED:
                    leave_if_child()
        return self.is_stopping

    def _park(self) -> None:
        self._settling.park()
        self._settling.revive(self._parts.breaker.condemned)
        self._gate.show()

    def _park_and_settle(self) -> None:
        self._park()
        self._settling.settle()
