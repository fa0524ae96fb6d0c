"""How a schedule stands, as people see it: what waits, what goes on, when that is expected to end."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection, Row, select

from consumerd.clock import ahead_s, wall
from consumerd.database.dialects import database_now
from consumerd.parking.schema import SCHEDULES, TICKS
from consumerd.sources.contract import ShardLag
from consumerd.sources.schedule.options import ScheduleOptions
from consumerd.wire.schedules import RunStatus, ScheduleStatus

SHOWN = 3
"""So many of the next runs."""
MOST_TICKS = 1_000


@dataclass(frozen=True, slots=True)
class Standing:
    """How a schedule stands: its row, the ticks that are not done, and the time of both; None before the first look."""

    now: float
    schedule: Row[Any] | None
    ticks: Sequence[Row[Any]]
    clock_ahead_s: float | None = None


def standing(connection: Connection, consumer: str) -> Standing:
    """How a schedule stands now."""
    schedule = connection.execute(select(SCHEDULES).where(SCHEDULES.c.consumer == consumer)).first()
    columns = [column for column in TICKS.c if column.name != "record"]
    query = select(*columns).where(TICKS.c.consumer == consumer).order_by(TICKS.c.due_at).limit(MOST_TICKS)
    asked_at = wall()
    now = connection.execute(select(database_now(connection.dialect.name))).scalar_one()
    ahead = ahead_s(now, asked_at, wall())
    return Standing(now, schedule, connection.execute(query).all(), ahead)


def lag_of(standing: Standing, options: ScheduleOptions) -> ShardLag:
    """How many runs are due that no worker has. Where each waits for the one before it, nobody is to blame."""
    now = standing.now
    free = [tick.due_at for tick in standing.ticks if not _is_running(tick, now)]
    due = [due_at for due_at in free if due_at <= now]
    is_busy = len(free) < len(standing.ticks) and options.overlap != "allow"
    finished = 0 if standing.schedule is None else standing.schedule.finished
    oldest_s = now - min(due) if due else None
    later, ahead = len(free) - len(due), standing.clock_ahead_s
    return ShardLag(0, len(due), oldest_s, finished, later=later, is_blocked=is_busy, clock_ahead_s=ahead)


def status_of(standing: Standing, options: ScheduleOptions) -> ScheduleStatus:
    """What `consumerd status` shows."""
    now, row = standing.now, standing.schedule
    running = [tick for tick in standing.ticks if _is_running(tick, now)]
    following = () if row is None else (row.next_at, *options.times_after(row.next_at, SHOWN - 1))
    return ScheduleStatus(
        next=list(following),
        running=[_run(tick, None if row is None else row.took_s, now) for tick in running],
        waiting=len(standing.ticks) - len(running),
        finished=0 if row is None else row.finished,
        last_took_s=None if row is None else row.took_s,
        missed=0 if row is None else row.missed,
        skipped=0 if row is None else row.skipped,
    )


def _is_running(tick: Row[Any], now: float) -> bool:
    return tick.lease_until is not None and tick.lease_until > now


def _run(tick: Row[Any], took_s: float | None, now: float) -> RunStatus:
    since = now if tick.began_at is None else tick.began_at
    ends = None if took_s is None else since + took_s
    if tick.done and tick.total and tick.noted_at > since:
        ends = tick.noted_at + (tick.total - tick.done) * (tick.noted_at - since) / tick.done
    return RunStatus(tick.scheduled_at, since, tick.starts, tick.done, tick.total, ends)
