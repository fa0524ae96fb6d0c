"""The store thread: one a worker, started at first use; it owns the store's connection and lock. Runs in workers.

A caller waits a few seconds for each step of what it asks, never longer, however the disk or the database hangs. Once
the store has been found away, a caller waits only a moment, until a call has succeeded: what it gave up goes on in this
thread, and its end shows whether the store is back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from concurrent.futures import Future
from contextlib import suppress
from queue import Empty, SimpleQueue
from typing import Any, NamedTuple, TypeVar

from consumerd.clock import monotonic
from consumerd.errors import StoreAwayError, UnstorableError
from consumerd.parking.store import ParkingStore

ResultT = TypeVar("ResultT")

CALL_TIMEOUT_S = 5.0
REST_AFTER_S = 0.1
"""A connection is kept for the next call, when that comes so soon."""
AWAY_TIMEOUT_S = 0.1
"""How long a caller waits while the store is away: a loop that waited for each try would do little else."""


class StoreThread:
    """Runs calls on the parking store, one after the other. Any thread may call. Make it after the fork."""

    def __init__(
        self,
        open_store: Callable[[], ParkingStore],
        has_nothing: Callable[[str], bool],
        *,
        is_remote: bool = False,
        is_shared: bool = False,
        is_slot_held: Callable[[str, int], bool] = lambda consumer, slot: False,
    ) -> None:
        """open_store: makes the store, in the thread; it connects to nothing yet.

        has_nothing: tells without the store whether certainly nothing of a consumer is parked.
        is_remote: that may take long: the thread does it, too. is_shared: masters of other hosts may use the store.
        is_slot_held: whether a process of this consumer's slot lives on this host.
        """
        self._open_store = open_store
        self._has_nothing = has_nothing
        self._is_remote = is_remote
        self.is_shared = is_shared
        self.is_slot_held = is_slot_held
        self._is_used = False
        self._calls: SimpleQueue[_Call | None] = SimpleQueue()  # None: the end
        self._turn = threading.Lock()
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self._patience_s = CALL_TIMEOUT_S
        self._stepped_at = 0.0
        self.is_stuck = False
        """Whether the thread still is at a call whose caller has given up; further calls fail at once."""

    def has_nothing(self, consumer: str) -> bool:
        """True only when it is certain, at little cost, that nothing of this consumer is parked. StoreAwayError."""
        if self._is_used:
            return False
        if self._is_remote:
            return bool(self._ask(_Call(lambda store: self._has_nothing(consumer), None, Future()), self._patience_s))
        return self._has_nothing(consumer)

    def ask(self, consumer: str, question: Callable[[ParkingStore], ResultT], nothing: ResultT) -> ResultT:
        """What `question(store)` returns; `nothing`, without asking, where nothing of the consumer is parked."""
        return nothing if self.has_nothing(consumer) else self.call(question)

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
        self._is_used = True
        patience_s = self._patience_s if timeout_s is None else timeout_s
        result: ResultT = self._ask(_Call(function, undo, Future()), patience_s)
        return result

    def close(self, deadline: float) -> None:
        """Run what was asked for, close the store, end the thread; given up at `deadline` on the monotonic clock."""
        with self._turn:
            self._is_closing = True
            self._calls.put(None)
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - monotonic()))

    # The caller's thread

    def _ask(self, call: _Call, patience_s: float) -> Any:  # as the function returns it
        with self._turn:
            if self._is_closing:
                raise StoreAwayError("the parking store is closed: the worker is leaving")
            self._start()
            if self.is_stuck:
                raise StoreAwayError("the parking store does not answer: see what its disk or database does")
            self._calls.put(call)
        if not self._wait(call.answer, patience_s):
            raise StoreAwayError(
                f"the parking store has not answered for {patience_s:g} s: see what its disk or database does"
            )
        return call.answer.result()

    def _start(self) -> None:
        """Begin the thread, also anew where an error has ended it."""
        if self._thread is None or not self._thread.is_alive():
            thread = threading.Thread(target=self._run, name="consumerd-store", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                raise StoreAwayError(f"the parking store needs a thread, which the system refuses ({error})") from error
            self._thread, self.is_stuck = thread, False

    def _wait(self, answer: Future[Any], patience_s: float) -> bool:  # as above
        """Whether the answer came, with no more than `patience_s` between two steps of what the store does."""
        began = monotonic()
        while (left_s := max(began, self._stepped_at) + patience_s - monotonic()) > 0:
            with suppress(TimeoutError):
                answer.exception(left_s)
                return True
        with self._turn:
            if answer.done():
                return True
            if not answer.cancel():
                self.is_stuck = True
            self._patience_s = AWAY_TIMEOUT_S
            return False

    # The store thread

    def _run(self) -> None:
        store = self._open_store()
        store.on_step = self._note_step
        try:
            while (call := self._next_call(store)) is not None:
                with self._turn:
                    is_wanted = call.answer.set_running_or_notify_cancel()
                if is_wanted:
                    self._answer(call, store)
        finally:
            store.close()

    def _next_call(self, store: ParkingStore) -> _Call | None:
        with suppress(Empty):
            return self._calls.get(timeout=REST_AFTER_S)
        store.rest()
        return self._calls.get()

    def _answer(self, call: _Call, store: ParkingStore) -> None:
        """Give the caller what comes of the call; or take that back, where the caller has given up."""
        result, error = None, None
        try:
            result = call.function(store)
        except BaseException as raised:  # noqa: BLE001 - raised again in the caller's thread
            error = raised
        is_away = isinstance(error, StoreAwayError) and not isinstance(error, UnstorableError)
        with self._turn:
            self._patience_s = AWAY_TIMEOUT_S if is_away else CALL_TIMEOUT_S
            if not self.is_stuck and error is None:
                call.answer.set_result(result)
            elif not self.is_stuck:
                call.answer.set_exception(error)
        if self.is_stuck and error is None and call.undo is not None:
            with suppress(StoreAwayError):  # a lease runs out by itself
                call.undo(store, result)
        self.is_stuck = False

    def _note_step(self) -> None:
        self._stepped_at = monotonic()


class _Call(NamedTuple):
    """What is asked of the store, how its result is taken back, and where the answer is waited for."""

    function: Callable[[ParkingStore], Any]  # of any result
    undo: Callable[[ParkingStore, Any], object] | None
    answer: Future[Any]
