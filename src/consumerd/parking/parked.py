"""Which tasks are parked, waiting or dead: asked by those whose source must not hand them out again.

There may be millions: each function gives them part by part, each part read in a transaction of less than a second.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, func, or_, select

from consumerd.database.database import Transact
from consumerd.database.dialects import database_now, takes_unicode
from consumerd.model.parked import ParkedState
from consumerd.model.task import TaskId
from consumerd.parking.records import original, storable_source
from consumerd.parking.schema import PARKED

LOWEST = -(2**63)
"""There is no position below it."""

IDS_A_STEP = 5_000
"""So many ids are looked up in one transaction."""

IDS_A_PAGE = 50_000
"""So many ids are read in one transaction. It may sort all that there are, so that few pages are better than many."""

MOST_COUNTED = 100_000
"""A count that is made every few seconds must not read millions of rows."""

IS_SKIPPED = PARKED.c.state.in_((ParkedState.WAITING.value, ParkedState.DEAD.value))
"""Tasks that their source must not hand out; a suspect still is pending there."""


def of_consumer(
    read: Transact, consumer: str, shard: tuple[str, int] | None = None, position: int = LOWEST
) -> Iterator[frozenset[TaskId]]:
    """All of a consumer but those that are due; or, of a source's shard, all at or above `position`."""
    key, is_more = "", True
    while is_more:

        def page(connection: Connection, position: int = position, key: str = key) -> Sequence[Row[Any, Any, Any]]:
            is_behind = or_(PARKED.c.position > position, PARKED.c.id > key)
            columns = select(PARKED.c.task_id, PARKED.c.position, PARKED.c.id).where(IS_SKIPPED)
            query = columns.where(PARKED.c.consumer == consumer, PARKED.c.position >= position, is_behind)
            if shard is None:
                now = database_now(connection.dialect.name)
                query = query.where(or_(PARKED.c.due_at.is_(None), PARKED.c.due_at > now))
            else:
                source = storable_source(shard[0], is_unicode=takes_unicode(connection))
                query = query.where(PARKED.c.source == source, PARKED.c.shard == shard[1])
            return connection.execute(query.order_by(PARKED.c.position, PARKED.c.id).limit(IDS_A_PAGE)).all()

        rows: Sequence[Row[Any, Any, Any]] = read(page)
        yield frozenset(TaskId(original(row.task_id)) for row in rows)
        is_more = len(rows) == IDS_A_PAGE
        if is_more:
            position, key = rows[-1].position, rows[-1].id


def count(connection: Connection, consumer: str) -> tuple[int, int]:
    """How many tasks of a consumer are waiting, and how many dead; of no more than MOST_COUNTED in all."""
    some = select(PARKED.c.state).where(PARKED.c.consumer == consumer, IS_SKIPPED).limit(MOST_COUNTED).subquery()
    rows = connection.execute(select(some.c.state, func.count().label("tasks")).group_by(some.c.state))
    tasks = {row.state: row.tasks for row in rows}
    return tasks.get(ParkedState.WAITING.value, 0), tasks.get(ParkedState.DEAD.value, 0)
