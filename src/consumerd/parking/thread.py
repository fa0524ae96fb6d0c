"""The store thread: one a worker, started at first use; it owns the store's connection and lock. Runs in workers.

A caller waits a few seconds for each step of what it asks, never longer, however the disk or the database hangs. Once
the store has been found away, a caller waits only a moment, until a call has succeeded: what it gave up goes on in this
thread, and its end shows whether the store is back.
"""

from __future__ import annotations

import threading
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass, field
from queue import Empty, SimpleQueue
from typing import Any, Generic, TypeVar

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
        self, open_store: Callable[[], ParkingStore], has_nothing: Callable[[str], bool], *, is_remote: bool = False
    ) -> None:
        """open_store: makes the store, in the thread; it connects to nothing yet.

        has_nothing: tells without the store whether certainly nothing of a consumer is parked.
        is_remote: that may take long: the thread does it, too.
        """
        self._open_store = open_store
        self._has_nothing = has_nothing
        self._is_remote = is_remote
        self._is_used = False
        self._calls: SimpleQueue[_Call[Any] | None] = SimpleQueue()  # calls have results of any type; None: the end
        self._turn = threading.Lock()
        self._running: _Call[Any] | None = None  # as above
        self._thread: threading.Thread | None = None
        self._is_closing = False
        self._patience_s = CALL_TIMEOUT_S
        self._stepped_at = 0.0

    @property
    def is_stuck(self) -> bool:
        """Whether the thread still is at a call whose caller has given up; further calls fail at once."""
        running = self._running
        return running is not None and running.is_given_up

    def has_nothing(self, consumer: str) -> bool:
        """True only when it is certain, at little cost, that nothing of this consumer is parked. StoreAwayError."""
        if self._is_used:
            return False
        if self._is_remote:
            return self._ask(_Call(lambda store: self._has_nothing(consumer), None), self._patience_s)
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
        return self._ask(_Call(function, undo), self._patience_s if timeout_s is None else timeout_s)

    def close(self, deadline: float) -> None:
        """Run what was asked for, close the store, end the thread; given up at `deadline` on the monotonic clock."""
        with self._turn:
            self._is_closing = True
            self._calls.put(None)
        if self._thread is not None:
            self._thread.join(max(0.0, deadline - monotonic()))

    # The caller's thread

    def _ask(self, call: _Call[ResultT], patience_s: float) -> ResultT:
        with self._turn:
            if self._is_closing:
                raise StoreAwayError("the parking store is closed: the worker is leaving")
            if self.is_stuck:
                raise StoreAwayError("the parking store does not answer: see what its disk or database does")
            self._start()
            self._calls.put(call)
        if not self._wait(call, patience_s):
            raise StoreAwayError(
                f"the parking store has not answered for {patience_s:g} s: see what its disk or database does"
            )
        return call.outcome()

    def _start(self) -> None:
        if self._thread is None:
            thread = threading.Thread(target=self._run, name="consumerd-store", daemon=True)
            try:
                thread.start()
            except RuntimeError as error:
                raise StoreAwayError(f"the parking store needs a thread, which the system refuses ({error})") from error
            self._thread = thread

    def _wait(self, call: _Call[Any], patience_s: float) -> bool:  # as above
        """Whether the call finished, with no more than `patience_s` between two steps of what the store does."""
        began = monotonic()
        while (left_s := max(began, self._stepped_at) + patience_s - monotonic()) > 0:
            if call.is_over.wait(left_s):
                return True
        with self._turn:
            call.is_given_up = not call.is_over.is_set()
            if call.is_given_up:
                self._patience_s = AWAY_TIMEOUT_S
        return not call.is_given_up

    # The store thread

    def _run(self) -> None:
        store = self._open_store()
        store.on_step = self._note_step
        try:
            while (call := self._next_call(store)) is not None:
                with self._turn:
                    if call.is_given_up:
                        continue
                    self._running = call
                call.run(store)
                self._hand_over(call, store)
        finally:
            store.close()

    def _next_call(self, store: ParkingStore) -> _Call[Any] | None:  # as above
        with suppress(Empty):
            return self._calls.get(timeout=REST_AFTER_S)
        store.rest()
        return self._calls.get()

    def _hand_over(self, call: _Call[Any], store: ParkingStore) -> None:  # as above
        """Give the caller its result, or take it back where the caller has given up."""
        with self._turn:
            self._patience_s = AWAY_TIMEOUT_S if call.found_it_away else CALL_TIMEOUT_S
            if not call.is_given_up:
                self._running = None
                call.is_over.set()
                return
        call.take_back(store)
        self._running = None

    def _note_step(self) -> None:
        self._stepped_at = monotonic()


@dataclass(slots=True, eq=False)
class _Call(Generic[ResultT]):
    """One call, and what came of it.

    is_over: its caller has an answer.
    is_given_up: its caller waits no longer.
    results: what the function returned, once it has.
    error: what it raised.
    """

    function: Callable[[ParkingStore], ResultT]
    undo: Callable[[ParkingStore, ResultT], object] | None
    is_over: threading.Event = field(default_factory=threading.Event)
    is_given_up: bool = False
    results: list[ResultT] = field(default_factory=list)
    error: BaseException | None = None

    def run(self, store: ParkingStore) -> None:
        """Keep what the function returns or raises, for `outcome`."""
        try:
            self.results.append(self.function(store))
        except BaseException as error:  # noqa: BLE001 - raised again in the caller's thread
            self.error = error

    @property
    def found_it_away(self) -> bool:
        return isinstance(self.error, StoreAwayError) and not isinstance(self.error, UnstorableError)

    def outcome(self) -> ResultT:
        """What the function returned; or raise what it raised."""
        if self.error is not None:
            raise self.error
        return self.results[0]

    def take_back(self, store: ParkingStore) -> None:
        """Undo a result that nobody waits for any more; where that fails too, a lease runs out by itself."""
        if self.undo is not None and self.results:
            with suppress(StoreAwayError):
                self.undo(store, self.results[0])
