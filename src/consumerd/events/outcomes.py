"""Events of tasks that do not end one by one, which `consumerd.events` has among all others."""

from __future__ import annotations

from consumerd.events.facts import Level, event

__all__ = ["batch_failed", "failed_after_done", "tasks_suspected"]


@event(Level.WARNING)
def batch_failed(*, tasks: int, error: str, then: str) -> None: ...
@event(Level.WARNING)
def failed_after_done(*, task: str | None, offset: int, error: str, then: str) -> None: ...
@event(Level.WARNING)
def tasks_suspected(*, consumer: str, tasks: int, end: str) -> None: ...
