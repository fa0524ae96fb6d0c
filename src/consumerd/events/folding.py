"""A flood of failures, folded: the log gets the first ones, and how many more there were. Runs in workers.

A topic of which every record fails would be two lines a record.
"""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable

from consumerd import events
from consumerd.clock import monotonic
from consumerd.events.facts import Fact, Listener
from consumerd.events.forking import ForkableLock

MOST = 20
"""So many of one name, state and kind of error are told in a window; an error of another kind is told all the same."""

MOST_KINDS = 10
WINDOW_S = 10.0


def call_later(seconds: float, call: Callable[[], None]) -> None:
    """Call it in a thread that holds no process up."""
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()


class Folding:
    """A listener before another one. What it left out is told once the window is over, or the worker ends."""

    def __init__(
        self,
        listener: Listener,
        *,
        now: Callable[[], float] = monotonic,
        later: Callable[[float, Callable[[], None]], None] = call_later,
    ) -> None:
        self._listener = listener
        self._now = now
        self._later = later
        self._lock = ForkableLock()
        self._began_at = 0.0
        self._told: Counter[tuple[object, ...]] = Counter()
        self._left_out: Counter[str] = Counter()
        self._last: Fact | None = None

    def __call__(self, fact: Fact) -> None:
        """Pass the fact on, or count it."""
        with self._lock:
            event = events.event_of(fact)
            if event is None or not event.is_folded:
                if event in (events.worker_drained, events.consume_failed):
                    self._tell()
                self._listener(fact)
                return
            if self._now() - self._began_at >= WINDOW_S:
                self._tell()
                self._began_at = self._now()
            kind = (fact.name, fact.fields.get("state"), str(fact.fields.get("error", "")).partition(":")[0])
            if self._told[kind] < MOST and (kind in self._told or len(self._told) < MOST_KINDS):
                self._told[kind] += 1
                self._listener(fact)
                return
            if self._last is None:
                self._later(WINDOW_S, self._tell)
            self._left_out[fact.name] += 1
            self._last = fact

    def _tell(self) -> None:
        """Tell what was left out, and begin anew."""
        with self._lock:
            last, left_out = self._last, dict(self._left_out)
            self._last = None
            self._told.clear()
            self._left_out.clear()
            if last is not None:
                task, error = last.fields.get("task"), last.fields.get("error")
                advice = "see consumerd parked list"
                self._listener(events.failures_folded(**left_out, last_task=task, last_error=error, advice=advice))
