"""The events of schedules, which `consumerd.events` has among all others."""

from __future__ import annotations

from consumerd.events.facts import Audience, Level, event

__all__ = ["run_asked_for", "run_done", "schedule_begun_anew", "ticks_missed", "ticks_skipped"]


@event(Level.WARNING, to=Audience.MASTER_IF_IT_READS)
def ticks_missed(*, ticks: int, first: str, last: str, missed: str) -> None: ...
@event(Level.WARNING, to=Audience.MASTER_IF_IT_READS)
def ticks_skipped(*, ticks: int, first: str, last: str) -> None: ...
@event(Level.INFO)
def schedule_begun_anew(*, times: str) -> None: ...
@event(Level.INFO, to=Audience.MASTER_IF_IT_READS)
def run_done(*, scheduled: str, took_s: float) -> None: ...
@event(Level.INFO, to=Audience.AUDIT)
def run_asked_for(*, consumer: str) -> None: ...
