"""Whether this host's clock was set: leases, due times and schedules of a SQLite file go by it. Runs in the master."""

from __future__ import annotations

from collections.abc import Callable

from consumerd import clock, events
from consumerd.events.facts import Fact
from consumerd.master.pools.pool import Pool

LOOK_EVERY_S = 5.0
STEP_S = 5.0
"""Whoever keeps a clock right moves it by less at once; a machine that slept has one that is ahead by all of it."""


class ClockWatch:
    """Compares the wall clock with the monotonic one, every few seconds, once for all pools."""

    def __init__(self, emit: Callable[[Fact], None], wall: Callable[[], float] = clock.wall) -> None:
        self._emit = emit
        self._wall = wall
        self._apart: float | None = None
        self._look_at = 0.0

    def look(self, pool: Pool, now: float) -> float:
        """Tell where it was set since the last look."""
        del pool
        if now >= self._look_at:
            self._look_at = now + LOOK_EVERY_S
            before, self._apart = self._apart, self._wall() - now
            if before is not None and abs(self._apart - before) >= STEP_S:
                self._emit(events.clock_stepped(by_s=round(self._apart - before, 3)))
        return self._look_at
