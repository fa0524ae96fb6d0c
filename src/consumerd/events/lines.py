"""The events of the log itself, and of lines that users log by `logging`; `consumerd.events` has them among others."""

from __future__ import annotations

from consumerd.events.facts import Level, event

__all__ = ["failures_folded", "line_logged", "lines_folded", "log_lines_dropped"]


@event(Level.WARNING, Level.ERROR, Level.INFO, Level.DEBUG)
def line_logged(*, logger: str, message: str, task: str | None = None, traceback: str | None = None) -> None: ...
@event(Level.WARNING)
def lines_folded(*, logger: object, lines: int, last_message: object, task: object = None) -> None: ...
@event(Level.WARNING)
def failures_folded(
    *,
    task_failed: int | None = None,
    task_parked: int | None = None,
    task_deferred: int | None = None,
    last_task: object,
    last_error: object,
    advice: str,
) -> None: ...
@event(Level.WARNING)
def log_lines_dropped(*, lines: int) -> None: ...
