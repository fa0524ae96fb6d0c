"""When to query again. Runs in workers and the foreground."""

from __future__ import annotations

from consumerd.clock import Clock

STARVED_AFTER_S = 15.0


class Pace:
    """Query at once after work, and after `SLEEP_TIME` where there was nothing to do.

    is_starved: for a while the query has returned rows, and none that could be taken.
    """

    def __init__(self, sleep_time_s: float, clock: Clock) -> None:
        self._sleep_time_s = sleep_time_s
        self._clock = clock
        self._next_query = 0.0
        self._skipped_since: float | None = None
        self._most = 0
        self.is_starved = False

    @property
    def pause_left_s(self) -> float:
        return self._next_query - self._clock.monotonic()

    def end(self) -> None:
        """Query now."""
        self._next_query = 0.0

    def is_whole(self, returned: int) -> bool:
        """Whether an answer of so many rows is all that there is: it is shorter than another one was, or empty. One
        that is as long as any before may have been cut by the query's LIMIT.
        """
        before, self._most = self._most, max(self._most, returned)
        return returned < before or not returned

    def note(self, *, returned: int, taken: int, is_busy: bool = False) -> float | None:
        """What the last query brought. Seconds of starvation, when it is time to report them; else None.

        is_busy: rows are in hand, which it may well give again.
        """
        now = self._clock.monotonic()
        self._next_query = now if taken else now + self._sleep_time_s
        if taken or is_busy or not returned:
            self._skipped_since, self.is_starved = None, False
            return None
        self._skipped_since = now if self._skipped_since is None else self._skipped_since
        starved_s = now - self._skipped_since
        if starved_s < STARVED_AFTER_S or self.is_starved:
            return None
        self.is_starved = True
        return starved_s
