"""The events of tasks that are held back, which `consumerd.events` has among all others."""

from __future__ import annotations

from consumerd.events.facts import Audience, Level, event

__all__ = ["all_failed", "pool_throttled", "succeeded_again", "throttle_ended"]


@event(Level.ERROR, to=Audience.MASTER | Audience.COMMAND, away="failing")
def all_failed(*, error: str, advice: str) -> None: ...
@event(Level.INFO, to=Audience.MASTER, back="failing")
def succeeded_again(*, away_s: float) -> None: ...
@event(Level.INFO)
def pool_throttled(*, consumer: str, reason: str) -> None: ...
@event(Level.INFO)
def throttle_ended(*, consumer: str) -> None: ...
