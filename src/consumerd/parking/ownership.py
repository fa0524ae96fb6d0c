"""What hosts divide among them: one row each, which one process at a time changes.

A row is a text. Of a consumer it is how its workers divide its keys; of a limit, how hosts share it. It is one step
within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection, select, update

from consumerd.database.dialects import END_IF_IDLE, database_now, upsert
from consumerd.model.division import Division, as_text, from_text
from consumerd.parking.schema import DIVISIONS


def divide(connection: Connection, consumer: str, step: Callable[[Division, float], Division]) -> Division:
    """The division after `step`, which is given what it is and the database's clock, and may be called again."""
    return from_text(change(connection, consumer, lambda before, now: as_text(step(from_text(before), now))))


def change(connection: Connection, name: str, step: Callable[[str, float], str]) -> str:
    """The text of a row after `step`, as above. Where there was none, it was `{}`.

    A process that is frozen in the middle of it must not keep the row from all others: the server ends its transaction.
    """
    dialect = connection.dialect.name
    if dialect in END_IF_IDLE:
        connection.exec_driver_sql(END_IF_IDLE[dialect])
    is_it = DIVISIONS.c.consumer == name
    look = select(DIVISIONS.c.content, database_now(dialect).label("now")).where(is_it).with_for_update()
    found = connection.execute(look).first()
    if found is None:
        connection.execute(upsert(dialect, DIVISIONS, {"consumer": name, "content": "{}"}, replaces=False))
        found = connection.execute(look).one()
    after = step(found.content, found.now)
    if after != found.content:
        connection.execute(update(DIVISIONS).where(is_it).values(content=after))
    return after
