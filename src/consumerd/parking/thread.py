"""The store thread: one a worker, started at first use; it owns the store's connection and lock. Runs in workers.

A caller waits a few seconds for each step of what it asks, never longer, however the disk or the database hangs; and
once the store has been found away, only moments, until a call has succeeded: what was asked goes on here, and tells.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from enum import Enum, auto
from typing import Any, Generic, TypeVar

from consumerd.clock import monotonic
from consumerd.errors import StoreAwayError, UnstorableError
from consumerd.parking.contract import ParkingStore
from consumerd.parking.glance import Glance

ResultT = TypeVar("ResultT")

CALL_TIMEOUT_S = 5.0
REST_AFTER_S = 0.1
"""A connection is kept for the next call, when that comes so soon."""
AWAY_TIMEOUT_S = 0.1
"""How long a caller waits while the store is away: a loop that waited for each try would do little else."""


class StoreThread:
    """Runs calls on the parking store, one after the other. Any thread may call. Make it after the fork."""

    def __init__(self, open_store: Callable[[], ParkingStore], glance: Glance | None = None) -> None:
        """open_store: makes the store, in the thread; it connects to nothing yet. glance: where that is possible."""
        self._open_store = open_store
        self._glance = glance
        self._changed = threading.Condition()
        self._calls: deque[_Call[Any]] = deque()  # calls have results of any type
        self._running: _Call[Any] | None = None  # as above
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self._patience_s = CALL_TIMEOUT_S
        self._stepped_at = 0.0

    @property
    def is_stuck(self) -> bool:
        """Whether the thread still is at a call whose caller has given up; further calls fail at once."""
        running = self._running
        return running is not None and running.progress is _Progress.ABANDONED

    def has_nothing(self, consumer: str) -> bool:
        """True only when it is certain, at little cost, that nothing of this consumer is parked. StoreAwayError."""
        if self._glance is not None:
            return self._thread is None and self._glance.has_nothing(consumer)
        return self.call(lambda store: store.has_nothing(consumer))

    def call(
        self,
        function: Callable[[ParkingStore], ResultT],
        timeout_s: float | None = None,
        *,
        undo: Callable[[ParkingStore, ResultT], object] | None = None,
    ) -> ResultT:
        """What `function(store)` returns or raises; StoreAwayError when a step of it takes longer than `timeout_s`.

        None: CALL_TIMEOUT_S, or AWAY_TIMEOUT_S where the store was away when it was last asked.

        Given up before it began, it never runs. Given up while it runs, it ends by itself, and `undo` is then run on
        its result: a claim that comes late must be released, a task parked late may stay.
        """
        call = _Call(function, undo)
        with self._changed:
            self._refuse_if_useless()
            patience_s = self._patience_s if timeout_s is None else timeout_s
            self._start()
            self._calls.append(call)
            self._changed.notify_all()
            if not self._wait(call, patience_s):
                self._abandon(call)
                self._patience_s = AWAY_TIMEOUT_S
                raise StoreAwayError(
                    f"the parking store has not answered for {patience_s:g} s: see what its disk or database does"
                )
        return call.outcome()

    def _wait(self, call: _Call[Any], patience_s: float) -> bool:  # as above
        """Whether the call finished, with no more than `patience_s` between two steps of what the store does."""
        began = monotonic()
        while (left_s := max(began, self._stepped_at) + patience_s - monotonic()) > 0:
            if self._changed.wait_for(lambda: call.progress is _Progress.FINISHED, left_s):
                return True
        return False

    def _note_step(self) -> None:
        self._stepped_at = monotonic()

    def close(self, deadline: float) -> None:
        """Run what was asked for, close the store, end the thread; given up at `deadline` on the monotonic clock."""
        with self._changed:
            self._is_closing = True
            self._changed.notify_all()
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - monotonic()))

    def _refuse_if_useless(self) -> None:
        if self._is_closing:
            raise StoreAwayError("the parking store is closed: the worker is leaving")
        if self.is_stuck:
            raise StoreAwayError("the parking store does not answer: see what its disk or database does")

    def _start(self) -> None:
        if self._thread is None:
            self._thread = threading.Thread(target=self._run, name="consumerd-store", daemon=True)
            try:
                self._thread.start()
            except RuntimeError as error:
                self._thread = None
                raise StoreAwayError(f"the parking store needs a thread, which the system refuses ({error})") from error

    def _abandon(self, call: _Call[Any]) -> None:  # as above
        if call.progress is _Progress.WAITING:
            self._calls.remove(call)
        call.progress = _Progress.ABANDONED

    def _run(self) -> None:
        store = self._open_store()
        store.on_step = self._note_step
        try:
            while (call := self._next_call(store)) is not None:
                call.run(store)
                if not self._hand_over(call):
                    call.take_back(store)
                    self._free()
        finally:
            store.close()

    def _next_call(self, store: ParkingStore) -> _Call[Any] | None:  # as above
        with self._changed:
            is_wanted = self._changed.wait_for(lambda: self._calls or self._is_closing, REST_AFTER_S)
        if not is_wanted:
            store.rest()  # without the lock, which callers want within their own time
        with self._changed:
            self._changed.wait_for(lambda: self._calls or self._is_closing)
            if not self._calls:
                return None
            self._running = self._calls.popleft()
            self._running.progress = _Progress.RUNNING
            return self._running

    def _hand_over(self, call: _Call[Any]) -> bool:  # as above
        """Give the caller its result; False where it has given up."""
        with self._changed:
            self._patience_s = AWAY_TIMEOUT_S if call.found_it_away else CALL_TIMEOUT_S
            if call.progress is _Progress.ABANDONED:
                return False
            call.progress = _Progress.FINISHED
            self._running = None
            self._changed.notify_all()
            return True

    def _free(self) -> None:
        with self._changed:
            self._running = None


class _Progress(Enum):
    WAITING = auto()
    RUNNING = auto()
    FINISHED = auto()
    ABANDONED = auto()


class _Call(Generic[ResultT]):
    """One call, and what came of it."""

    def __init__(
        self,
        function: Callable[[ParkingStore], ResultT],
        undo: Callable[[ParkingStore, ResultT], object] | None,
    ) -> None:
        self.progress = _Progress.WAITING
        self._function = function
        self._undo = undo
        self._results: list[ResultT] = []
        self._error: BaseException | None = None

    def run(self, store: ParkingStore) -> None:
        """Keep what the function returns or raises, for `outcome`."""
        try:
            self._results.append(self._function(store))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self._error = error

    @property
    def found_it_away(self) -> bool:
        return isinstance(self._error, StoreAwayError) and not isinstance(self._error, UnstorableError)

    def outcome(self) -> ResultT:
        """What the function returned; or raise what it raised."""
        if self._error is not None:
            raise self._error
        return self._results[0]

    def take_back(self, store: ParkingStore) -> None:
        """Undo a result that nobody waits for any more; where that fails too, a lease runs out by itself."""
        if self._undo is None or not self._results:
            return
        try:
            self._undo(store, self._results[0])
        except StoreAwayError:
            return
