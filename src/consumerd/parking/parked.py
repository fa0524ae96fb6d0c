"""Which tasks are parked, waiting or dead: asked by those whose source must not hand them out again.

There may be millions: each function gives them part by part, each part read in a transaction of less than a second.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any

from sqlalchemy import Connection, Row, Select, func, or_, select

from consumerd.database.database import Transact
from consumerd.database.dialects import takes_unicode
from consumerd.model.parked import ParkedState
from consumerd.model.task import TaskId
from consumerd.parking.records import in_chunks, key_of, original, storable_source
from consumerd.parking.schema import PARKED

Behind = Callable[[Connection, int, str], Select[Any]]
"""Selects some ids behind a position and a key, in their order."""

IDS_A_STEP = 5_000
"""So many ids are looked up in one transaction."""

IDS_A_PAGE = 50_000
"""So many ids are read in one transaction. It may sort all that there are, so that few pages are better than many."""

MOST_COUNTED = 100_000
"""A count that is made every few seconds must not read millions of rows."""

IS_SKIPPED = PARKED.c.state.in_((ParkedState.WAITING.value, ParkedState.DEAD.value))
"""Tasks that their source must not hand out; a suspect still is pending there."""


def among(read: Transact, consumer: str, ids: Sequence[TaskId]) -> Iterator[frozenset[TaskId]]:
    """Those of `ids` that are parked."""
    for start in range(0, len(ids), IDS_A_STEP):
        by_key = {key_of(consumer, task_id): task_id for task_id in ids[start : start + IDS_A_STEP]}

        def found(connection: Connection, keys: Sequence[str] = tuple(by_key)) -> list[str]:
            queries = (select(PARKED.c.id).where(PARKED.c.id.in_(some), IS_SKIPPED) for some in in_chunks(keys))
            return [key for query in queries for key in connection.execute(query).scalars()]

        yield frozenset(by_key[key] for key in read(found))


def of_consumer(read: Transact, consumer: str) -> Iterator[frozenset[TaskId]]:
    """All of a consumer."""

    def behind(connection: Connection, position: int, key: str) -> Select[Any]:  # of any columns
        del connection, position
        return _IDS.where(PARKED.c.consumer == consumer, PARKED.c.id > key).order_by(PARKED.c.id)

    return _pages(read, behind, 0)


def of_shard(read: Transact, consumer: str, source: str, shard: int, position: int) -> Iterator[frozenset[TaskId]]:
    """Those of one shard at or above `position`."""

    def behind(connection: Connection, position: int, key: str) -> Select[Any]:  # as above
        stored = storable_source(source, is_unicode=takes_unicode(connection))
        in_shard = _IDS.where(PARKED.c.consumer == consumer, PARKED.c.source == stored, PARKED.c.shard == shard)
        is_behind = or_(PARKED.c.position > position, PARKED.c.id > key)
        return in_shard.where(PARKED.c.position >= position, is_behind).order_by(PARKED.c.position, PARKED.c.id)

    return _pages(read, behind, position)


def count(connection: Connection, consumer: str) -> tuple[int, int]:
    """How many tasks of a consumer are waiting, and how many dead; of no more than MOST_COUNTED in all."""
    some = select(PARKED.c.state).where(PARKED.c.consumer == consumer, IS_SKIPPED).limit(MOST_COUNTED).subquery()
    rows = connection.execute(select(some.c.state, func.count().label("tasks")).group_by(some.c.state))
    tasks = {row.state: row.tasks for row in rows}
    return tasks.get(ParkedState.WAITING.value, 0), tasks.get(ParkedState.DEAD.value, 0)


_IDS = select(PARKED.c.task_id, PARKED.c.position, PARKED.c.id).where(IS_SKIPPED)


def _pages(read: Transact, behind: Behind, position: int) -> Iterator[frozenset[TaskId]]:
    """The ids that are selected behind a position and a key, page by page, from `position` on."""
    key, is_more = "", True
    while is_more:

        def page(connection: Connection, position: int = position, key: str = key) -> Sequence[Row[Any]]:
            return connection.execute(behind(connection, position, key).limit(IDS_A_PAGE)).all()

        rows: Sequence[Row[Any]] = read(page)
        yield frozenset(TaskId(original(row.task_id)) for row in rows)
        is_more = len(rows) == IDS_A_PAGE
        if is_more:
            position, key = rows[-1].position, rows[-1].id
