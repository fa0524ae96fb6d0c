"""Ends a running attempt from without, by an exception in its handler: never in code of ours. Runs in workers.

In the main thread a signal's handler raises it, which Python runs there between two instructions of the code that the
signal met: what was met is known, and a call that waits is woken. Another thread has it raised at its next instruction,
while a lock keeps it from leaving the handler; a coroutine is cancelled where it waits. Nothing is done for a task
before somebody interrupts one, but a thread of several takes its lock before and after each.
"""

from __future__ import annotations

import asyncio
import ctypes
import inspect
import signal
import sys
import threading
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from types import CodeType, FrameType
from typing import Any, Protocol

from consumerd.model.outcome import TaskInterrupted
from consumerd.wire.board_writer import LaneWriter
from consumerd.worker.attempts.attempt import Cancelled, Handler

BREAK_SIGNAL = signal.SIGRTMIN + 7
"""One that hardly anybody uses; it is sent to the main thread alone."""

Place = tuple[int, ...]
"""What a lane of the board says of the attempt in it: no other attempt has the same."""


@dataclass(frozen=True, slots=True)
class TimedOut:
    """The attempt is past `soft_timeout`."""

    limit_s: float

    def __str__(self) -> str:
        return f"soft_timeout, {self.limit_s:g} s, is over"


Why = TimedOut | Cancelled


Targets = Mapping[int, tuple[Place, Callable[[], None]]]
"""By lane: where the attempt is, and what notes that it is interrupted."""


class Interrupter(Protocol):
    """Interrupts attempts of one kind. Any thread calls it."""

    def interrupt(self, targets: Targets) -> None:
        """Interrupt these attempts, where they are still at their places and their handlers' own code runs: each is
        noted first. Perhaps a little later; else nothing happens.
        """

    def struck_here(self) -> int | None:
        """The lane of the attempt that was interrupted in the caller's thread, if any."""


@dataclass(slots=True)
class _Interrupted:
    place: Place
    why: Why
    is_taken: bool = False


class Interruptions:
    """Of one worker: who was interrupted, and why. interrupter: does it, once there is somebody whom to interrupt."""

    def __init__(self) -> None:
        self.interrupter: Interrupter | None = None
        self._interrupted: dict[int, _Interrupted] = {}

    def interrupt(self, wanted: Mapping[int, tuple[Place, Why]]) -> None:
        """Interrupt the attempts in these lanes, each once; whoever wants it done asks again until it is."""
        targets = {
            lane: (place, partial(self._note, lane, place, why))
            for lane, (place, why) in wanted.items()
            if lane not in self._interrupted or self._interrupted[lane].place != place
        }
        if self.interrupter is not None and targets:
            self.interrupter.interrupt(targets)

    def _note(self, lane: int, place: Place, why: Why) -> None:
        self._interrupted[lane] = _Interrupted(place, why)

    def has_interrupted(self, lane: int, why: Why) -> bool:
        """Whether what was asked for has been done."""
        interrupted = self._interrupted.get(lane)
        return interrupted is not None and interrupted.why is why

    def taken(self, lane: LaneWriter) -> Why | None:
        """Why the attempt that has just ended in this lane was interrupted; None where it was not."""
        interrupted = self._interrupted.get(lane.number)
        if interrupted is None or interrupted.is_taken or not lane.is_on(interrupted.place):
            return None
        interrupted.is_taken = True
        return interrupted.why

    def note_swallowed(self) -> None:
        """What was raised in the caller's thread has come up where nobody can catch it, in a `__del__` for instance:
        the attempt goes on, and is interrupted once more when somebody asks again.
        """
        if self.interrupter is not None and (lane := self.interrupter.struck_here()) is not None:
            self._interrupted.pop(lane, None)

    def on_signal(self, number: int, frame: FrameType | None) -> None:
        """The handler of BREAK_SIGNAL."""
        del number
        if isinstance(self.interrupter, MainThread):
            self.interrupter.on_signal(frame)


def hear_swallowed(interruptions: Interruptions) -> None:
    """Have the interpreter tell of an interruption that it has swallowed."""
    before = sys.unraisablehook

    def unraisable(raised: sys.UnraisableHookArgs) -> None:
        if raised.exc_type is TaskInterrupted:
            interruptions.note_swallowed()
        else:
            before(raised)

    sys.unraisablehook = unraisable


class MainThread:
    """Attempts in the main thread: those of a worker that runs one at a time, and all on the event loop."""

    def __init__(
        self,
        lanes: Sequence[LaneWriter],
        codes: Collection[CodeType],
        coroutine_in: Callable[[int], asyncio.Task[Any] | None] | None = None,
    ) -> None:
        """codes: of the handler and of what calls it. coroutine_in: what runs in a lane, on the event loop."""
        self._lanes = lanes
        self._codes = codes
        self._coroutine_in = coroutine_in
        self._targets: Targets = {}
        self._struck: int | None = None

    def struck_here(self) -> int | None:
        return self._struck if threading.current_thread() is threading.main_thread() else None

    def interrupt(self, targets: Targets) -> None:
        self._targets = targets
        main = threading.main_thread().ident
        assert main is not None
        signal.pthread_kill(main, BREAK_SIGNAL)

    def on_signal(self, frame: FrameType | None) -> None:
        """In the main thread; `frame` is what it was at. While one of those that are meant runs, it may be what makes
        the others late: they are left for another time.
        """
        targets, self._targets = self._targets, {}
        meant = [(lane, note) for lane, (place, note) in targets.items() if self._lanes[lane].place == place]
        if self._coroutine_in is not None:
            begun = [(lane, self._coroutine_in(lane), note) for lane, note in meant]
            waiting = [(lane, each, note) for lane, each, note in begun if each is not None and _has_begun(each)]
            meant = [(lane, note) for lane, each, note in waiting if asyncio.current_task(each.get_loop()) is each]
            for _, coroutine, note in waiting if not meant else ():
                note()
                coroutine.cancel()
                coroutine.get_loop().call_soon_threadsafe(_wake)
        if meant and is_within(frame, self._codes):
            self._struck, note = meant[0]
            note()
            raise TaskInterrupted


def _has_begun(coroutine: asyncio.Task[Any]) -> bool:
    """One that has not would end without a word where it is cancelled."""
    return inspect.getcoroutinestate(coroutine.get_coro()) != inspect.CORO_CREATED  # type: ignore[arg-type]  # ours are


def _wake() -> None:
    """Nothing: the event loop looks up from its wait."""


class Threads:
    """Attempts in threads, each with its guard."""

    def __init__(self, guards: dict[int, ThreadGuard]) -> None:
        self._guards = guards

    def interrupt(self, targets: Targets) -> None:
        for lane, (place, note) in targets.items():
            if (guard := self._guards.get(lane)) is not None:
                guard.interrupt(place, note)

    def struck_here(self) -> int | None:
        here = threading.get_ident()
        return next((lane for lane, guard in self._guards.items() if guard.lets_go(here)), None)


_NOTHING = object()


class ThreadGuard:
    """Calls the handler in the thread of one lane, so that an exception raised from without is raised within it."""

    def __init__(self, lane: LaneWriter, codes: Collection[CodeType]) -> None:
        """codes: as `MainThread` has them."""
        self._lane = lane
        self._codes = codes
        self._lock = threading.Lock()
        self._thread: int | None = None
        self._is_struck = False

    def call(self, handle: Handler, **arguments: object) -> object:
        """What the handler returns or raises. What comes when it has returned is taken back, or has no effect."""
        result = _NOTHING
        try:
            try:
                self._thread = threading.get_ident()
                result = handle(**arguments)
            finally:
                self._disarm()
        except TaskInterrupted:
            self._disarm()  # it may have come within the first call; it comes once
            if result is _NOTHING:
                raise
        return result

    def interrupt(self, place: Place, note: Callable[[], None]) -> None:
        """As `Interrupter.interrupt`. While the lock is held the thread does not leave the handler."""
        with self._lock:
            if self._thread is None or self._is_struck or self._lane.place != place:
                return
            if is_within(sys._current_frames().get(self._thread), self._codes):  # noqa: SLF001 - as faulthandler does
                self._is_struck = True
                note()
                _raise_in(self._thread, TaskInterrupted)

    def lets_go(self, thread: int) -> bool:
        """Whether its handler runs in this thread, the caller's, and was interrupted: then it may be once more."""
        was_struck = self._thread == thread and self._is_struck
        self._is_struck = self._is_struck and not was_struck
        return was_struck

    def _disarm(self) -> None:
        with self._lock:
            thread, self._thread = self._thread, None
            if self._is_struck and thread is not None:
                _raise_in(thread, None)
            self._is_struck = False


def is_within(frame: FrameType | None, codes: Collection[CodeType]) -> bool:
    """Whether what runs is the handler's: the first code of ours from there on is what has called it."""
    while frame is not None:
        if frame.f_code in codes:
            return True
        if str(frame.f_globals.get("__name__", "")).startswith("consumerd."):
            return False
        frame = frame.f_back
    return False


def _raise_in(thread: int, kind: type[BaseException] | None) -> None:
    """Have a thread raise this at its next instruction; None: take back what it has not raised yet."""
    error = ctypes.py_object() if kind is None else ctypes.py_object(kind)
    ctypes.pythonapi.PyThreadState_SetAsyncExc(ctypes.c_ulong(thread), error)
