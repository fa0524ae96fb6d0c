"""Rows of suspects: tasks that still are in their source, and only carry how often they killed a worker.

Each function is one step within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, delete, select, update

from consumerd.clock import wall
from consumerd.database.dialects import takes_unicode, upsert
from consumerd.model.parked import ParkedState, ParkedTask
from consumerd.model.suspects import Suspect
from consumerd.model.task import TaskId
from consumerd.parking.records import in_chunks, key_of, original, parameters_of
from consumerd.parking.schema import PARKED

KEPT_S = 7 * 24 * 60 * 60.0
"""A suspect that nobody has met for so long has left its source unseen; to forget its crashes costs a few more."""


def note(connection: Connection, task: ParkedTask) -> None:
    """Keep the task's crashes, unless more are known. A row that is there stays what it is, waiting or dead, and whose.

    A new row is a suspect's. It has no payload: its source has that.
    """
    assert task.state is ParkedState.SUSPECT
    assert not task.payload
    row = parameters_of(task, wall(), is_unicode=takes_unicode(connection))
    is_there = PARKED.c.id == key_of(task.consumer, task.task_id)
    if connection.execute(select(PARKED.c.id).where(is_there)).first() is None:
        new = {name: value for name, value in row.items() if name != "delay"}
        connection.execute(upsert(connection.dialect.name, PARKED, new, replaces=False))
    names = ("crashes", "error", "last_at", *(["traceback"] if task.traceback else []))
    more = {name: row[name] for name in names}
    connection.execute(update(PARKED).where(is_there, PARKED.c.crashes < task.crashes).values(more))


def of_consumer(connection: Connection, consumer: str) -> tuple[Suspect, ...]:
    """The suspects of a consumer, but for those that are too old."""
    is_suspect = and_(_is_suspect_of(consumer), PARKED.c.last_at >= wall() - KEPT_S)
    columns = (PARKED.c.task_id, PARKED.c.crashes, PARKED.c.error, PARKED.c.traceback)
    rows = connection.execute(select(*columns).where(is_suspect))
    return tuple(
        Suspect(TaskId(original(row.task_id)), row.crashes, original(row.error), original(row.traceback))
        for row in rows
    )


def clear(connection: Connection, consumer: str, ids: Sequence[TaskId]) -> None:
    """Delete the rows of these suspects, and those that are too old; what is waiting or dead stays."""
    for keys in in_chunks([key_of(consumer, task_id) for task_id in ids]):
        connection.execute(delete(PARKED).where(PARKED.c.id.in_(keys), _is_suspect_of(consumer)))
    connection.execute(delete(PARKED).where(_is_suspect_of(consumer), PARKED.c.last_at < wall() - KEPT_S))


def _is_suspect_of(consumer: str) -> ColumnElement[bool]:
    return and_(PARKED.c.consumer == consumer, PARKED.c.state == ParkedState.SUSPECT.value)
