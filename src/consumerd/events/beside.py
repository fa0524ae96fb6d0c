"""Events of the master's host, and of the processes that it keeps beside its pools."""

from __future__ import annotations

from consumerd.events.facts import Level, event

__all__ = ["clock_stepped", "dashboard_ended", "dashboard_ready", "limits_helper_ended", "store_helper_ended"]


@event(Level.WARNING)
def clock_stepped(*, by_s: float) -> None: ...
@event(Level.WARNING)
def limits_helper_ended(*, end: str, stderr: str) -> None: ...
@event(Level.WARNING)
def store_helper_ended(*, end: str, stderr: str) -> None: ...
@event(Level.INFO)
def dashboard_ready(*, listen: str) -> None: ...
@event(Level.WARNING)
def dashboard_ended(*, end: str, stderr: str) -> None: ...
