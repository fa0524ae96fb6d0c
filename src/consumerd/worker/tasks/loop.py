"""The loop: fetch → handle → settle, until asked to stop. Runs in workers and the foreground.

Whatever must break in sets an interrupt; `handling` then leaves its batch between two tasks, the loop attends to it,
and the batch goes on with the rest.
"""

from __future__ import annotations

from threading import Lock, get_ident

from consumerd import events
from consumerd.errors import QueryFailedError, SourceAwayError, StoreAwayError
from consumerd.model.exits import WorkerExit
from consumerd.model.interrupts import Interrupt
from consumerd.model.task import Task
from consumerd.sources.contract import Batch, EndOfSource, Revocable, SourceContext, TellsTrouble
from consumerd.wire.board import BoardFlag
from consumerd.worker.tasks.attempt import NEWS_S
from consumerd.worker.tasks.away import Away
from consumerd.worker.tasks.breaker import RENEW_AFTER_S
from consumerd.worker.tasks.forked_child import leave_if_child
from consumerd.worker.tasks.handling import Handling
from consumerd.worker.tasks.pace import Pace
from consumerd.worker.tasks.parking import lost_fact
from consumerd.worker.tasks.parts import LoopSettings, Parts

IDLE_FETCH_S = 0.4
"""So long a source may wait for its next task, and an idle worker for whatever cannot break into that wait."""
LARGEST_FETCH = 10_000
RENEW_SOON_S = 15.0
"""So long a query may fail that has answered before, until another process is tried."""

FIRST_FETCH = 10
"""So few at first: nobody knows yet how long a task takes."""


class Loop:
    """One worker's loop. `run` returns how the worker ends.

    is_open: whether the source has been opened. gate: held by whoever handles tasks; the loop's thread, unless it waits
    in its source.
    """

    def __init__(self, parts: Parts, settings: LoopSettings, context: SourceContext) -> None:
        self.is_open = False
        self.gate = Lock()
        self._context = context
        self._parts = parts
        self._settings = settings
        self._source = parts.source
        self._trouble = parts.source.trouble if isinstance(parts.source, TellsTrouble) else None
        self._board = parts.board
        self._exit: WorkerExit | None = None
        self._away = Away(parts.emit, parts.clock)
        self._pace = Pace(settings.settle_interval_s / FIRST_FETCH)
        self._last_settle = parts.clock.monotonic()
        self._thread = get_ident()
        self._in_source_since: float | None = None
        self.gate.acquire()
        self._has_ended = False
        self._has_told_of_end = False
        self._handling = Handling(parts, settings, self._attend)

    @property
    def is_stopping(self) -> bool:
        """Whether the loop was asked to stop, and will with the next look."""
        return self._exit is not None

    def current_task(self) -> Task:
        """The task that the handler is running now."""
        return self._handling.current_task()

    def open_source(self) -> None:
        """Open it, unless it is away: then it is asked again, after growing pauses, before anything is fetched."""
        try:
            self._source.open(self._context)
        except (SourceAwayError, StoreAwayError) as error:
            self.note_away(error)
            self._parts.wait(IDLE_FETCH_S)
        else:
            self.is_open = True
            self.note_away(None)

    def run(self) -> WorkerExit:
        """Turn until asked to stop or the source ends; the user's own handler of a signal may exit anywhere."""
        while self._exit is None:
            try:
                self.turn()
            except (SystemExit, KeyboardInterrupt):
                self._parts.wait(NEWS_S)
                if not self._attend():
                    raise
        return self._exit

    def stop(self, how: WorkerExit) -> None:
        """End with the next look at the interrupts; the first reason counts."""
        if self._exit is None:
            self._exit = how

    def drain(self, until: float) -> None:
        """After `run`: park what is held and settle what is finished, as far as the store and the source answer.

        until: on the monotonic clock; so long the store is asked again, where the source would not give the task again.
        """
        self._park_held(is_last=True)
        while self._source.traits.gives_away and self._parts.parking.held and self._parts.clock.monotonic() < until:
            self._parts.clock.sleep(IDLE_FETCH_S)
            self._park_held(is_last=True)
        self._settle()
        if self._source.traits.gives_away:
            for parked in self._parts.parking.lost():
                self._parts.emit(lost_fact(parked))

    # One turn

    def turn(self) -> None:
        """Whatever is due between batches, then one batch."""
        if not self.is_open:
            self._wait_for_source()
            return
        if not self.between_batches():
            return
        if self._has_ended:
            self._finish_or_stay()
            return
        batch = self._fetch()
        if batch is None:
            self._parts.breaker.rest()
        else:
            started = self._parts.clock.monotonic()
            handled = self._handling.handle(batch)
            self._pace.learn(handled, self._parts.clock.monotonic() - started)
            if self._parts.parking.held:
                self._park_held()  # before the batch is left: whoever takes its shard away waits for that
            self._source.release(batch, handled)

    def _wait_for_source(self) -> None:
        self._board.turned(has_answered=False)
        if self._attend():
            return
        if self._away.is_pausing:
            self._parts.wait(min(self._away.pause_left_s, IDLE_FETCH_S))
        else:
            self.open_source()

    def between_batches(self) -> bool:
        """Reload, attempt parked tasks, settle, each when due; look at the interrupts. False when the loop is to stop.

        A source that waits within the user's own generator calls it meanwhile.
        """
        now = self._parts.clock.monotonic()
        self._board.turned(has_answered=self._source.has_answered)
        self._parts.hooks.reload_when_due()
        if self.may_try_parked:
            if self._parts.suspects.are_known:
                self._park_held()
                self._settle()  # one of them may be due, and kill us
            self._parts.due.run(self._attend)
            self._count_flags()
        if now - self._last_settle >= self._settings.settle_interval_s:
            self._park_held()
            self._settle()
        return not self._attend()

    def attend_meanwhile(self) -> None:
        """A user's generator that gives its tasks away asks whether to stop: do what is due before its next task.

        Nothing where it is not being waited for: in a handler, or from another thread.
        """
        if self._in_source_since is None or not self._source.traits.gives_away or get_ident() != self._thread:
            return
        with self.gate:
            self._in_source_since = None
            try:
                self.between_batches()
            finally:
                self._in_source_since = self._parts.clock.monotonic()

    def has_waited(self, seconds: float) -> bool:
        """Whether the loop's thread has been in its source for so long, and is there still."""
        since = self._in_source_since
        return since is not None and self._parts.clock.monotonic() - since >= seconds

    def _finish_or_stay(self) -> None:
        """The source has ended. A worker that alone has its tasks stays until none waits to be tried again."""
        parking, due = self._parts.parking, self._parts.due
        if not self._settings.stays_for_retries or not (parking.held or parking.is_away or due.has_waiting):
            self._parts.interrupts.set(Interrupt.FINISHED)
        elif not self.may_try_parked:
            if not self._has_told_of_end:
                self._has_told_of_end = True
                self._parts.emit(events.source_ended(then="it stays for the tasks that wait"))
            self._parts.wait(IDLE_FETCH_S)

    @property
    def may_try_parked(self) -> bool:
        """Whether it is time to look for parked tasks that are due."""
        return self._parts.due.is_time and not self._parts.interrupts.is_paused

    def _fetch(self) -> Batch | None:
        """The next batch; where parked tasks are due still, only what is there at once: they take turns."""
        wait_s = 0.0 if self.may_try_parked else IDLE_FETCH_S
        if self._away.is_pausing:
            self._parts.wait(min(self._away.pause_left_s, wait_s))
            return None
        if self._settings.is_general and self._parts.hooks.can_stop_consume():
            self._parts.interrupts.set(Interrupt.FINISHED)
            return None
        try:
            batch = self._fetch_outside(wait_s)
            self._board.answered(self._source.has_answered)
        except (SourceAwayError, StoreAwayError) as error:
            self.note_away(error)
            self._parts.wait(IDLE_FETCH_S)
            return None
        except EndOfSource:
            self._has_ended = True
            self._parts.due.look_now()
            return None
        trouble = None if self._trouble is None else self._trouble()
        if trouble is not None or self._away.is_away:
            self.note_away(trouble, gives_tasks=batch is not None)
        return batch

    def _fetch_outside(self, wait_s: float) -> Batch | None:
        """Fetch, and let another thread handle what is due while the source waits."""
        self._in_source_since = self._parts.clock.monotonic()
        self.gate.release()
        try:
            return self._source.fetch(self._fetch_limit(), wait_s)
        finally:
            self._in_source_since = None
            self.gate.acquire()

    def note_away(self, error: SourceAwayError | StoreAwayError | None, *, gives_tasks: bool = False) -> None:
        """The source, or the store it must ask, does not answer; or, with None, it does."""
        match error:
            case None if not self._away.is_away:
                return
            case None:
                self._away.clear()
            case SourceAwayError():
                self._away.note(error, gives_tasks=gives_tasks)
                self._renew_if_stale(error)
            case StoreAwayError():
                self._parts.parking.note_away(error)
        self._count_flags()

    def _renew_if_stale(self, error: SourceAwayError) -> None:
        """A connection of the user's own comes back with another process, where it does not by itself."""
        patience_s = RENEW_SOON_S if self._source.has_answered else RENEW_AFTER_S
        if isinstance(error, QueryFailedError) and self._away.lasts_s >= patience_s:
            self._parts.renew()

    def _fetch_limit(self) -> int:
        """The least of what may be unsettled, and what takes about `settle_interval`; nothing while paused."""
        if self._parts.interrupts.is_paused:
            return 0
        room = self._settings.max_unsettled - self._source.unsettled()
        return max(0, min(room, self._pace.fitting(self._settings.settle_interval_s), LARGEST_FETCH))

    # Between batches, and when interrupted

    def _attend(self) -> bool:
        """Act on the interrupts that came; whether the loop is to stop."""
        is_finished = False
        for reason in self._parts.interrupts.take():
            match reason:
                case Interrupt.STOP:
                    self.stop(WorkerExit.DRAINED)
                case Interrupt.MASTER_GONE:
                    self.stop(WorkerExit.MASTER_GONE)
                case Interrupt.SETTLE_DUE:
                    self._park_held()
                    self._settle()
                case Interrupt.REVOKED:
                    self._park_held()  # while it still settles: its attempts would be made again elsewhere
                case Interrupt.PARKED_DUE:
                    self._parts.due.look_now()
                case Interrupt.FINISHED:
                    is_finished = True
                case Interrupt.AMENDED:
                    self._parts.hooks.amend()
                case Interrupt.PAUSE:
                    pass  # the next fetch sees whether it is one; what is in hand is finished
                case Interrupt.OUT_OF_MEMORY | Interrupt.STALE:
                    self.stop(WorkerExit.RECYCLE)
                case Interrupt.FORKED:
                    leave_if_child()
        if is_finished:
            if self._parts.due.has_waiting and not self.is_stopping:
                advice = "a worker of this consumer tries them when it runs: consumerd restart starts this one again"
                self._parts.emit(events.retries_left(advice=advice))
            self.stop(WorkerExit.FINISHED)  # last: a consumer that stops because a stop was asked for is drained
        return self.is_stopping

    def _park_held(self, *, is_last: bool = False) -> None:
        if isinstance(self._source, Revocable):
            self._parts.parking.forget(self._source.settles)
        settlements = self._parts.parking.flush(is_last=is_last)
        if settlements:
            self._board.note_parked(len(settlements))
            self._source.settle(settlements, is_due=False)
        self._count_flags()

    def _settle(self) -> None:
        self._source.settle((), is_due=True)
        self._last_settle = self._parts.clock.monotonic()
        self._board.note_unsettled(self._source.unsettled())

    def _count_flags(self) -> None:
        flags = BoardFlag(0)
        if self._parts.parking.is_away:
            flags |= BoardFlag.STORE_AWAY
        if self._parts.parking.refuses_some:
            flags |= BoardFlag.UNSTORABLE
        if self._away.is_away:
            flags |= BoardFlag.SOURCE_AWAY
        if self._parts.breaker.is_open:
            flags |= BoardFlag.DESTINATION_AWAY
        self._board.stands(flags)
