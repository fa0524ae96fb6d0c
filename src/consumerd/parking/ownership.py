"""Which host has a consumer whose tasks the hosts cannot divide: a claimed row, under a lease that is renewed.

Each function is one step within the caller's transaction.
"""

from __future__ import annotations

from sqlalchemy import Connection, or_, select, update

from consumerd.database.dialects import database_now, upsert
from consumerd.parking.schema import OWNERS


def hold(connection: Connection, consumer: str, owner: str, place: str, seconds: float) -> str | None:
    """Have the consumer for so many seconds from now on. None where it is had; else where its owner is.

    owner: who asks; place: where that is, for people.
    """
    now = database_now(connection.dialect.name)
    is_free = or_(OWNERS.c.owner == owner, OWNERS.c.until <= now)
    values = {"owner": owner, "place": place, "until": now + seconds}
    held = update(OWNERS).where(OWNERS.c.consumer == consumer, is_free).values(values)
    if connection.execute(held).rowcount:
        return None
    first = upsert(connection.dialect.name, OWNERS, {"consumer": consumer, **values}, replaces=False)
    connection.execute(first)
    found = connection.execute(select(OWNERS.c.owner, OWNERS.c.place).where(OWNERS.c.consumer == consumer)).one()
    return None if found.owner == owner else str(found.place)
