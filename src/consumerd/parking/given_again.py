"""What a source asks of the parking store that gives its tasks again, and takes up its parked ones itself.

Nothing is claimed: whoever owns the tasks' ids takes them. Each function is one step within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Sequence

from sqlalchemy import ColumnElement, Connection, and_, delete, exists, or_, select, true, update

from consumerd.database.dialects import database_now
from consumerd.model.parked import DueTask, Entry, ParkedState, ParkedTask
from consumerd.model.task import TaskId
from consumerd.parking.claims import read_tasks
from consumerd.parking.parked import IS_SKIPPED
from consumerd.parking.records import in_chunks, key_of, original
from consumerd.parking.schema import PARKED, PARTS

_WITHOUT_COPY = {"payload": b"", "parts": 0, "size_bytes": 0}


def entries(connection: Connection, consumer: str, ids: Sequence[TaskId]) -> dict[TaskId, Entry]:
    """What there is of those of `ids` that are parked, waiting or dead."""
    by_key = {key_of(consumer, task_id): task_id for task_id in ids}
    found: dict[TaskId, Entry] = {}
    columns = (PARKED.c.id, PARKED.c.state, PARKED.c.attempts, PARKED.c.first_at, PARKED.c.last_at)
    is_due = _is_due(connection, consumer).label("is_due")
    for keys in in_chunks(list(by_key)):
        for row in connection.execute(select(*columns, is_due).where(PARKED.c.id.in_(keys), IS_SKIPPED)):
            state = ParkedState(row.state)
            found[by_key[row.id]] = Entry(state, bool(row.is_due), row.attempts, row.first_at, row.last_at)
    return found


def due(
    connection: Connection, consumer: str, limit: int, after: DueTask | None = None
) -> tuple[tuple[DueTask, ...], bool]:
    """At most `limit` tasks that wait and are due, those due longest first; and whether any task waits at all.

    after: only those behind this one, in the same order.
    """
    columns = select(PARKED.c.task_id, PARKED.c.due_at, PARKED.c.size_bytes)
    query = columns.where(_is_due(connection, consumer), true() if after is None else _is_behind(consumer, after))
    rows = connection.execute(query.order_by(PARKED.c.due_at, PARKED.c.id).limit(limit)).all()
    is_waiting = and_(PARKED.c.consumer == consumer, PARKED.c.state == ParkedState.WAITING.value)
    waits = bool(rows) or bool(connection.execute(select(exists().where(is_waiting))).scalar())
    return tuple(DueTask(TaskId(original(row.task_id)), row.due_at, row.size_bytes > 0) for row in rows), waits


def due_among(connection: Connection, consumer: str, ids: Sequence[TaskId]) -> tuple[ParkedTask, ...]:
    """Those of `ids` that wait and are due, in this order, whole."""
    found: list[ParkedTask] = []
    for keys in in_chunks([key_of(consumer, task_id) for task_id in ids]):
        query = select(PARKED.c.id).where(PARKED.c.id.in_(keys), _is_due(connection, consumer))
        due_keys = set(connection.execute(query).scalars())
        found += read_tasks(connection, [key for key in keys if key in due_keys])
    return tuple(found)


def copy_of(connection: Connection, consumer: str, task_id: TaskId) -> bytes:
    """The payload of a parked task; empty where there is none."""
    key = key_of(consumer, task_id)
    is_there = connection.execute(select(PARKED.c.id).where(PARKED.c.id == key)).first()
    return read_tasks(connection, [key])[0].payload if is_there else b""


def reopen(connection: Connection, consumer: str, task_id: TaskId) -> None:
    """A dead task waits, due now, as if it never had been tried; its payload is forgotten."""
    now = database_now(connection.dialect.name)
    key = key_of(consumer, task_id)
    connection.execute(delete(PARTS).where(PARTS.c.id == key))
    waiting = {"state": ParkedState.WAITING.value, "due_at": now, "first_at": now, "attempts": 0, "crashes": 0}
    connection.execute(update(PARKED).where(PARKED.c.id == key).values(**waiting, **_WITHOUT_COPY))


def drop_copies(connection: Connection, consumer: str) -> None:
    """Forget the payloads of all tasks that wait for a time to come."""
    now = database_now(connection.dialect.name)
    later = and_(PARKED.c.consumer == consumer, PARKED.c.state == ParkedState.WAITING.value, PARKED.c.due_at > now)
    connection.execute(delete(PARTS).where(PARTS.c.id.in_(select(PARKED.c.id).where(later, PARKED.c.parts > 0))))
    connection.execute(update(PARKED).where(later, PARKED.c.size_bytes > 0).values(**_WITHOUT_COPY))


def forget(connection: Connection, consumer: str, ids: Sequence[TaskId]) -> None:
    """These are parked no more, whoever has claimed them."""
    for keys in in_chunks([key_of(consumer, task_id) for task_id in ids]):
        for table in (PARTS, PARKED):
            connection.execute(delete(table).where(table.c.id.in_(keys)))


def _is_behind(consumer: str, task: DueTask) -> ColumnElement[bool]:
    is_behind = or_(PARKED.c.due_at > task.due_at, PARKED.c.id > key_of(consumer, task.task_id))
    return and_(PARKED.c.due_at >= task.due_at, is_behind)


def _is_due(connection: Connection, consumer: str) -> ColumnElement[bool]:
    now = database_now(connection.dialect.name)
    return and_(PARKED.c.consumer == consumer, PARKED.c.state == ParkedState.WAITING.value, PARKED.c.due_at <= now)
