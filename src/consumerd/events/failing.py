"""The events of tasks that all die of one error, which `consumerd.events` has among all others."""

from __future__ import annotations

from consumerd.events.facts import Audience, Level, event

__all__ = ["all_failed", "succeeded_again"]


@event(Level.ERROR, to=Audience.MASTER | Audience.COMMAND, away="failing")
def all_failed(*, error: str, advice: str) -> None: ...
@event(Level.INFO, to=Audience.MASTER, back="failing")
def succeeded_again(*, away_s: float) -> None: ...
