"""When to ask the query again: at once after work, after `SLEEP_TIME` when it had nothing for us."""

from __future__ import annotations

from consumerd.clock import Clock

LONGEST_SLEEP_S = 30.0
STARVED_AFTER_S = 15.0


class Pace:
    """The pauses between queries. A batch of which nothing could be taken doubles the pause, up to 30 seconds."""

    def __init__(self, sleep_time_s: float, clock: Clock) -> None:
        self._sleep_time_s = sleep_time_s
        self._clock = clock
        self._pause_s = sleep_time_s
        self._next_query = 0.0
        self._skipped_since: float | None = None
        self.is_starved = False

    @property
    def pause_left_s(self) -> float:
        return self._next_query - self._clock.monotonic()

    def note(self, *, returned: int, taken: int) -> float | None:
        """What the last query brought. Seconds of starvation, when it is time to report them; else None."""
        now = self._clock.monotonic()
        if taken:
            self._pause_s, self._skipped_since, self.is_starved = self._sleep_time_s, None, False
            self._next_query = now
            return None
        if not returned:
            self._pause_s, self._skipped_since, self.is_starved = self._sleep_time_s, None, False
            self._next_query = now + self._sleep_time_s
            return None
        if self._skipped_since is None:
            self._skipped_since = now
        self._next_query = now + self._pause_s
        self._pause_s = min(self._pause_s * 2, LONGEST_SLEEP_S)
        starved_s = now - self._skipped_since
        if starved_s < STARVED_AFTER_S or self.is_starved:
            return None
        self.is_starved = True
        return starved_s
