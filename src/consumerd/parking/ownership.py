"""How the workers of a consumer divide its keys: one row a consumer, which one of them at a time changes.

It is one step within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, select, update

from consumerd.database.dialects import END_IF_IDLE, database_now, upsert
from consumerd.model.division import Division, as_text, from_text
from consumerd.parking.schema import DIVISIONS


def divide(connection: Connection, consumer: str, step: Callable[[Division, float], Division]) -> Division:
    """The division after `step`, which is given what it is and the database's clock, and may be called again.

    A worker that is frozen in the middle of it must not keep the row from all others: the server ends its transaction.
    """
    dialect = connection.dialect.name
    if dialect in END_IF_IDLE:
        connection.exec_driver_sql(END_IF_IDLE[dialect])
    is_of_consumer = DIVISIONS.c.consumer == consumer
    look = select(DIVISIONS.c.content, database_now(dialect).label("now")).where(is_of_consumer).with_for_update()
    found = connection.execute(look).first()
    if found is None:
        nothing = {"consumer": consumer, "content": as_text({})}
        connection.execute(upsert(dialect, DIVISIONS, nothing, replaces=False))
        found = connection.execute(look).one()
    before = from_text(found.content)
    after = step(before, found.now)
    if after != before:
        connection.execute(update(DIVISIONS).where(is_of_consumer).values(content=as_text(after)))
    return after
