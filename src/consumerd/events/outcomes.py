"""Events of tasks that do not end one by one, of records and spans, which `consumerd.events` has among all others."""

from __future__ import annotations

from consumerd.events.facts import Audience, Level, event

__all__ = ["batch_failed", "death_recorded", "failed_after_done", "field_missing", "spans_dropped", "tasks_suspected"]


@event(Level.WARNING)
def batch_failed(*, tasks: int, error: str, then: str) -> None: ...
@event(Level.WARNING)
def death_recorded(*, consumer: str, worker_id: int, pid: int | None, ran: str, before: str) -> None: ...
@event(Level.WARNING)
def failed_after_done(*, task: str | None, offset: int, error: str, then: str) -> None: ...
@event(Level.WARNING)
def field_missing(*, field: str, used_by: str, then: str) -> None: ...
@event(Level.WARNING, to=Audience.MASTER)
def spans_dropped(*, spans: int, error: str, advice: str) -> None: ...
@event(Level.WARNING)
def tasks_suspected(*, consumer: str, tasks: int, end: str) -> None: ...
