"""A source that does not answer: reported once, asked again after growing pauses. Runs in workers."""

from __future__ import annotations

import random
from collections.abc import Callable

from consumerd import events
from consumerd.clock import Clock
from consumerd.errors import SourceAwayError
from consumerd.events.facts import Fact

FIRST_PAUSE_S = 0.1
LONGEST_PAUSE_S = 5.0


class Away:
    """Since when the source is away, and when to ask it again. No task fails for it."""

    def __init__(self, emit: Callable[[Fact], None], clock: Clock) -> None:
        self._emit = emit
        self._clock = clock
        self._since: float | None = None
        self._pause_s = FIRST_PAUSE_S
        self._until = 0.0

    @property
    def is_away(self) -> bool:
        return self._since is not None

    @property
    def lasts_s(self) -> float:
        """For how long it has been away."""
        return 0.0 if self._since is None else self._clock.monotonic() - self._since

    @property
    def is_pausing(self) -> bool:
        return self.is_away and self.pause_left_s > 0

    @property
    def pause_left_s(self) -> float:
        return self._until - self._clock.monotonic()

    def note(self, error: SourceAwayError, *, gives_tasks: bool = False) -> None:
        """It did not answer. gives_tasks: nevertheless, so that it is asked for more at once."""
        now = self._clock.monotonic()
        if self._since is None:
            self._since = now
            self._pause_s = FIRST_PAUSE_S
            self._emit(events.source_away(error=str(error)))
        if gives_tasks:
            return
        self._until = now + self._pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - so that workers do not ask in step
        self._pause_s = min(self._pause_s * 2, LONGEST_PAUSE_S)

    def clear(self) -> None:
        """It answered."""
        if self._since is not None:
            self._emit(events.source_back(away_s=round(self._clock.monotonic() - self._since, 3)))
            self._since = None
