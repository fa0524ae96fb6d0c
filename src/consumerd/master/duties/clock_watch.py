"""Whether this host's clock was set: leases, due times and schedules of a SQLite file go by it. Runs in the master."""

from __future__ import annotations

from collections.abc import Callable

from consumerd import clock, events
from consumerd.events.facts import Fact
from consumerd.master.pools.pool import Pool

LOOK_EVERY_S = 5.0
STEP_S = 5.0
"""Whoever keeps a clock right moves it by less at once; a machine that slept has one that is ahead by all of it."""


def wall_ahead_s() -> float:
    """By how much the wall clock is ahead of the monotonic one, which is the same until somebody sets it."""
    return clock.wall() - clock.monotonic()


class ClockWatch:
    """Compares the wall clock with the monotonic one, every few seconds, once for all pools."""

    def __init__(self, emit: Callable[[Fact], None], ahead_s: Callable[[], float] = wall_ahead_s) -> None:
        self._emit = emit
        self._ahead_s = ahead_s
        self._known_s = ahead_s()
        self._look_at = 0.0

    def look(self, pool: Pool, now: float) -> float:
        """Tell where it was set since the last look."""
        del pool
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY_S
            before_s, self._known_s = self._known_s, self._ahead_s()
            if abs(self._known_s - before_s) >= STEP_S:
                self._emit(events.clock_stepped(by_s=round(self._known_s - before_s, 3)))
        return self._look_at
