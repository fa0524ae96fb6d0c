"""The events of what tasks need, which `consumerd.events` has among all others.

`destination_away` and `destination_back`: of a worker whose tasks name no destinations; the others of one destination.
"""

from __future__ import annotations

from consumerd.events.facts import Audience, Level, event

__all__ = ["destination_away", "destination_back", "destination_closed", "destination_opened"]


@event(Level.ERROR, to=Audience.MASTER, away="destination")
def destination_away(*, error: str, then: str) -> None: ...
@event(Level.INFO, to=Audience.MASTER, back="destination")
def destination_back(*, away_s: float, then: str | None = None) -> None: ...
@event(Level.WARNING, to=Audience.MASTER)
def destination_opened(
    *, consumer: str | None = None, destination: str, failures: int, attempts: int, error: str
) -> None: ...
@event(Level.INFO, to=Audience.MASTER)
def destination_closed(*, consumer: str | None = None, destination: str, away_s: float) -> None: ...
