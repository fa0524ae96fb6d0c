"""What is written of a tick that this process has. Each step says whether it still had it. Runs in workers.

Each function is one step within the caller's transaction, by the database's clock.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import Connection, delete, func, select, update

from consumerd.database.dialects import database_now
from consumerd.parking.schema import PARKED, SCHEDULES, TICKS
from consumerd.parking.ticks import ClaimedTick


def renew(connection: Connection, tick: ClaimedTick, seconds: float) -> bool:
    """Let the claim run from now on."""
    until = database_now(connection.dialect.name) + seconds
    return _set(connection, tick, lease_until=until)


def note(connection: Connection, tick: ClaimedTick, record: bytes, done: float | None, total: float | None) -> bool:
    """A checkpoint: what is known of the tick from now on, and how far it has come."""
    noted_at = database_now(connection.dialect.name)
    return _set(connection, tick, record=record, done=done, total=total, noted_at=noted_at)


def defer(
    connection: Connection, tick: ClaimedTick, record: bytes, *, after_s: float, attempts: int, age_s: float
) -> bool:
    """It failed, and is tried again so much later. age_s: since its first attempt."""
    now = database_now(connection.dialect.name)
    first_at = func.coalesce(TICKS.c.first_at, now - age_s)
    return _give_back(connection, tick, record=record, due_at=now + after_s, attempts=attempts, first_at=first_at)


def free(connection: Connection, tick: ClaimedTick, record: bytes) -> bool:
    """Anybody may have it, and goes on from its checkpoint."""
    return _give_back(connection, tick, record=record)


def finish(connection: Connection, tick: ClaimedTick, record: bytes, *, is_dead: bool) -> bool:
    """It is done; or it is parked as dead, and what is parked gets its last checkpoint."""
    row = connection.execute(select(TICKS).where(tick.is_held).with_for_update()).first()
    if row is None:
        return False
    connection.execute(delete(TICKS).where(tick.is_held))
    counted: dict[str, Any] = {"finished": SCHEDULES.c.finished + 1}  # expressions
    if is_dead:
        last = {"payload": record, "size_bytes": len(record)}
        connection.execute(update(PARKED).where(PARKED.c.id == row.id, PARKED.c.parts == 0).values(last))
    else:
        counted["took_s"] = database_now(connection.dialect.name) - row.began_at
    connection.execute(update(SCHEDULES).where(SCHEDULES.c.consumer == tick.consumer).values(counted))
    return True


def _give_back(connection: Connection, tick: ClaimedTick, **values: Any) -> bool:  # expressions
    return _set(connection, tick, lease_token=None, lease_until=None, **values)


def _set(connection: Connection, tick: ClaimedTick, **values: Any) -> bool:  # as above
    return connection.execute(update(TICKS).where(tick.is_held).values(values)).rowcount > 0
