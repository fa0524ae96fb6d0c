"""How a schedule stands, as its worker tells the master, and `status` answers it. Times are of the wall clock."""

from __future__ import annotations

from typing import Annotated

from msgspec import Meta, Struct


class RunStatus(Struct, frozen=True):
    """A run of a schedule that a worker has. Times are of the wall clock."""

    scheduled: float
    since: Annotated[float, Meta(description="When it was begun first.")]
    starts: Annotated[int, Meta(description="How often it has been begun; more than once after a kill or a stop.")]
    done: Annotated[float | None, Meta(description="How much of `total` is done, as its last checkpoint said.")]
    total: float | None
    ends: Annotated[float | None, Meta(description="When it is expected to end, by its progress or the last run.")]


class ScheduleStatus(Struct, frozen=True):
    """How a schedule stands. The counts are since it ran first, on all hosts."""

    next: Annotated[list[float], Meta(description="When the next runs are due.")]
    running: list[RunStatus]
    waiting: Annotated[int, Meta(description="Runs that are due, or wait to be tried again.")]
    finished: int
    last_took_s: Annotated[float | None, Meta(description="Seconds that the last run took that has succeeded.")]
    missed: Annotated[int, Meta(description="Times that passed while no worker ran.")]
    skipped: Annotated[int, Meta(description="Times that came while the last run went on.")]
