"""A flood of facts, folded: the log gets the first ones of each kind, and how many more there were.

A topic of which every record fails would be two lines a record. Runs in workers; lines of `logging` are folded in every
process of a master.
"""

from __future__ import annotations

import threading
from collections import Counter, defaultdict
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

from consumerd import events
from consumerd.clock import monotonic
from consumerd.events.facts import Fact, Listener
from consumerd.events.forking import ForkableLock

MOST = 20
"""So many of one kind are told in a window; one of another kind is told all the same."""
MOST_KINDS_OF_FAILURES = 10
WINDOW_S = 10.0

LeftOut = Sequence[tuple[int, Fact]]
"""How many of a kind were left out, and the last of them; the kind that came last stands last."""


def call_later(seconds: float, call: Callable[[], None]) -> None:
    """Call it in a thread that holds no process up."""
    timer = threading.Timer(seconds, call)
    timer.daemon = True
    timer.start()


@dataclass(slots=True)
class _Kept:
    """What was seen of a kind since the window began."""

    told: int = 0
    left_out: int = 0
    last: Fact | None = None


@dataclass(eq=False)
class Flood:
    """Stands before a listener. What it left out is told once the window is over, or when `end` is called.

    folded: makes facts of what was left out. count: is called for each that is, by one thread at a time.
    most_kinds: so many kinds are told apart in a window and a room; all others of the room are one kind together.
    """

    listener: Listener
    folded: Callable[[LeftOut], Iterable[Fact]]
    most_kinds: int
    now: Callable[[], float] = monotonic
    later: Callable[[float, Callable[[], None]], None] = call_later
    count: Callable[[], None] = lambda: None
    _lock: ForkableLock = field(default_factory=ForkableLock)
    _began_at: float = 0.0
    _rooms: dict[Hashable, dict[Hashable, _Kept]] = field(default_factory=lambda: defaultdict(dict))
    _is_waiting: bool = False

    def take(self, fact: Fact, kind: Hashable, room: Hashable = None) -> None:
        """Tell it where it is one of the first of its kind; else count it."""
        with self._lock:
            if self.now() - self._began_at >= WINDOW_S:
                self.end()
                self._began_at = self.now()
            kinds = self._rooms[room]
            if kind not in kinds and len(kinds) >= self.most_kinds:
                kind = None  # all others together
            kept = kinds[kind] = kinds.pop(kind, _Kept())
            if kept.told < MOST:
                kept.told += 1
                self.listener(fact)
                return
            kept.left_out += 1
            kept.last = fact
            self.count()
            if not self._is_waiting:
                self._is_waiting = True
                self.later(WINDOW_S, self.end)

    def end(self) -> None:
        """Tell what was left out, and begin anew."""
        with self._lock:
            seen = [kept for kinds in self._rooms.values() for kept in kinds.values()]
            self._rooms.clear()
            self._is_waiting = False
            for fact in self.folded([(kept.left_out, kept.last) for kept in seen if kept.last is not None]):
                self.listener(fact)


class Folding:
    """A listener before another one, which folds failures. What it left out is told before the worker ends, too."""

    def __init__(self, listener: Listener, **by: Any) -> None:  # `now` and `later` of `Flood`
        self._flood = Flood(listener, _failures, MOST_KINDS_OF_FAILURES, **by)

    def __call__(self, fact: Fact) -> None:
        """Pass the fact on, or count it."""
        event = events.event_of(fact)
        if event is not None and event.is_folded:
            error = str(fact.fields.get("error", "")).partition(":")[0]
            self._flood.take(fact, (fact.name, fact.fields.get("state"), error))
            return
        if event in (events.worker_drained, events.consume_failed):
            self._flood.end()
        self._flood.listener(fact)


def _failures(left_out: LeftOut) -> Iterable[Fact]:
    """One fact for all of them."""
    if left_out:
        counts, last = Counter[str](), left_out[-1][1].fields
        for number, fact in left_out:
            counts[fact.name] += number
        task, error, advice = last.get("task"), last.get("error"), "see consumerd parked list"
        yield events.failures_folded(**counts, last_task=task, last_error=error, advice=advice)
