"""Something that does not answer: reported once, asked again after growing pauses, reported when it is back.

Runs in workers and the foreground.
"""

from __future__ import annotations

import random

from consumerd.events.facts import Event
from consumerd.worker.tasks.context import WorkerContext


class Outage:
    """Since when the source, the parking store or what tasks need is away, and when to ask it again."""

    def __init__(
        self, context: WorkerContext, away: Event[...], back: Event[...], *, first_s: float, longest_s: float
    ) -> None:
        """away, back: report its begin and its end. first_s, longest_s: the pauses between two questions."""
        self._emit = context.emit
        self._clock = context.clock
        self._away = away
        self._back = back
        self._first_s = first_s
        self._longest_s = longest_s
        self._since: float | None = None
        self._pause_s = first_s
        self._until = 0.0

    @property
    def is_on(self) -> bool:
        """Whether there was no answer when it was last asked."""
        return self._since is not None

    @property
    def lasts_s(self) -> float:
        """For how long it has been away; 0 where it is not."""
        return 0.0 if self._since is None else self._clock.monotonic() - self._since

    @property
    def pause_left_s(self) -> float:
        """In how many seconds to ask again, less than 0 when that is over; 0 where it is not away."""
        return self._until - self._clock.monotonic() if self.is_on else 0.0

    def note(self, error: object, *, is_asked_at_once: bool = False, **fields: str) -> None:
        """It did not answer. fields: further ones of the report. is_asked_at_once: without a pause."""
        now = self._clock.monotonic()
        if self._since is None:
            self._since, self._pause_s = now, self._first_s
            self._emit(self._away(error=str(error), **fields))
        if not is_asked_at_once:
            self._until = now + self._pause_s * random.uniform(0.5, 1.0)  # noqa: S311 - workers do not ask in step
            self._pause_s = min(self._pause_s * 2, self._longest_s)

    def end(self, **fields: str) -> None:
        """It answered. Nothing where it is not away."""
        if self._since is not None:
            away_s = round(self.lasts_s, 3)
            self._since = None
            self._emit(self._back(away_s=away_s, **fields))
