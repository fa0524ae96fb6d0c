"""The only place that reads time.

Durations use the monotonic clock, which steps of the wall clock do not touch; wall time is for storage and display,
in seconds since the epoch, UTC.
"""

from __future__ import annotations

import time
from datetime import UTC, datetime
from typing import Protocol


class Clock(Protocol):
    """What code that decides by time is given; `testing.ManualClock` is the one for tests."""

    def monotonic(self) -> float:
        """Seconds on a clock that never steps back."""
        ...

    def wall(self) -> float:
        """Seconds since the epoch, UTC."""
        ...

    def sleep(self, seconds: float) -> None:
        """Block for so many seconds."""
        ...


class SystemClock:
    """The machine's clock."""

    monotonic = staticmethod(time.monotonic)
    wall = staticmethod(time.time)
    sleep = staticmethod(time.sleep)


DAY_S = 86_400.0

SYSTEM_CLOCK: Clock = SystemClock()

monotonic = time.monotonic
wall = time.time


def iso(wall_s: float) -> str:
    """Seconds since the epoch as ISO 8601 in UTC, to the millisecond."""
    return datetime.fromtimestamp(wall_s, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z")


def moment(wall_s: float) -> str:
    """For people: the time of day, or the date where that was longer ago; UTC."""
    date, _, time_of_day = iso(wall_s).partition("T")
    return f"{time_of_day[:5]} UTC" if wall() - wall_s < DAY_S else date


def ahead_s(told: float, asked_at: float, answered_at: float) -> float:
    """By how many seconds another clock is ahead that was asked between these moments of ours; negative: behind."""
    return round(told - min(max(told, asked_at), answered_at), 3)
