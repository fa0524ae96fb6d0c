"""The events of tasks that are held back, and of limits, which `consumerd.events` has among all others."""

from __future__ import annotations

from consumerd.events.facts import Audience, Level, event

__all__ = [
    "all_failed",
    "limit_number_refused",
    "limit_numbers_read",
    "limit_numbers_unread",
    "limits_shared",
    "limits_unshared",
    "pool_throttled",
    "succeeded_again",
    "throttle_ended",
]


@event(Level.ERROR, to=Audience.MASTER | Audience.COMMAND, away="failing")
def all_failed(*, error: str, advice: str) -> None: ...
@event(Level.INFO, to=Audience.MASTER, back="failing")
def succeeded_again(*, away_s: float) -> None: ...
@event(Level.INFO)
def pool_throttled(*, consumer: str, reason: str) -> None: ...
@event(Level.INFO)
def throttle_ended(*, consumer: str) -> None: ...
@event(Level.WARNING)
def limit_numbers_unread(*, limit: str, error: str, then: str) -> None: ...
@event(Level.INFO)
def limit_numbers_read(*, limit: str, keys: int) -> None: ...
@event(Level.WARNING)
def limit_number_refused(*, limit: str, key: str | None, column: str, value: str) -> None: ...
@event(Level.WARNING)
def limits_unshared(*, error: str, starts_end_in_s: float) -> None: ...
@event(Level.INFO)
def limits_shared(*, hosts: int) -> None: ...
