"""What workers do with parked rows: park, claim what is due, finish, renew, release; which tasks are parked.

Each function is one step within the caller's transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Any

from sqlalchemy import (
    ColumnElement,
    Connection,
    Dialect,
    Insert,
    Row,
    Select,
    Update,
    and_,
    bindparam,
    delete,
    func,
    insert,
    or_,
    select,
    update,
)

from consumerd.clock import wall
from consumerd.database.causes import content_refused
from consumerd.database.claims import Lease
from consumerd.database.dialects import FORCED_DUE_INDEX, database_now, takes_unicode, upsert
from consumerd.model.parked import ParkedState, ParkedTask
from consumerd.model.task import TaskId
from consumerd.parking.records import (
    in_chunks,
    key_of,
    original,
    parameters_of,
    parts_of,
    storable,
    storable_source,
    task_of,
)
from consumerd.parking.schema import PARKED, PARTS

CLAIM_LIMIT_BYTES = 64 * 1024 * 1024
"""A claim takes no more than this into memory, but one task at least."""

MOST_COUNTED = 100_000
"""A count that is made every few seconds must not read millions of rows."""

SKIPPED_STATES = (ParkedState.WAITING.value, ParkedState.DEAD.value)
"""Parked tasks that their source must not hand out; a suspect still is pending there."""


IDS_A_STEP = 5_000
"""So many ids are looked up in one transaction, which takes less than a second."""

IDS_A_PAGE = 50_000
"""So many ids are read in one transaction. It may sort all that there are, so that few pages are better than many."""

Place = tuple[int, str]
"""A position and a key: where a page of ids ended."""


@dataclass(frozen=True, slots=True)
class IdPage:
    """At most `IDS_A_PAGE` ids. after: where the next page begins, or None."""

    ids: frozenset[TaskId]
    after: Place | None


def park(connection: Connection, tasks: Sequence[ParkedTask]) -> None:
    """Keep these tasks, durably, instead of what was kept of them before; whatever lease they had is void.

    Their `due_at` is by the worker's clock. A row of the same id with another payload is another task's, whose id was
    given again: it is kept, under a new id.
    UnstorableError where the database answers, and refuses what one of them holds.
    """
    by_key: dict[str, ParkedTask] = {}
    for task in tasks:
        key = key_of(task.consumer, task.task_id)
        if key in by_key:
            _park(connection, by_key)
            by_key = {}
        by_key[key] = task
    _park(connection, by_key)


def _park(connection: Connection, tasks: dict[str, ParkedTask]) -> None:
    for keys in in_chunks(list(tasks)):
        is_there = and_(PARKED.c.id.in_(keys), PARKED.c.state.in_(SKIPPED_STATES))
        there = list(connection.execute(select(PARKED.c.id).where(is_there)).scalars())
        for key in there:
            (earlier,) = read_tasks(connection, [key])
            if earlier.payload != tasks[key].payload:
                _set_aside(connection, key, earlier)
    _write(connection, tasks)


def _set_aside(connection: Connection, key: str, task: ParkedTask) -> None:
    """Give a row an id that no source gives; over one of the same content that was set aside before."""
    task_id = f"{task.task_id}~{hashlib.blake2b(task.payload, digest_size=4).hexdigest()}"
    new_key = key_of(task.consumer, task_id)
    for table in (PARTS, PARKED):
        connection.execute(delete(table).where(table.c.id == new_key))
        connection.execute(update(table).where(table.c.id == key).values(id=new_key))
    stored = storable(task_id, is_unicode=takes_unicode(connection))
    connection.execute(update(PARKED).where(PARKED.c.id == new_key).values(task_id=stored))


def _write(connection: Connection, tasks: dict[str, ParkedTask]) -> None:
    if not tasks:
        return
    now = wall()
    is_unicode = takes_unicode(connection)
    rows = [parameters_of(task, now, is_unicode=is_unicode) for task in tasks.values()]
    with content_refused():
        connection.execute(_parking(connection.dialect.name), rows)
        _write_parts(connection, tasks)


def park_again(connection: Connection, task: ParkedTask, token: str) -> bool:
    """Write a claimed task's row; False, and nothing written, where the lease was lost."""
    owned = select(PARKED.c.id).where(_is_owned(task.consumer, task.task_id, token)).with_for_update()
    if connection.execute(owned).first() is None:
        return False
    _write(connection, {key_of(task.consumer, task.task_id): task})
    return True


def finish(connection: Connection, consumer: str, task_id: TaskId, token: str) -> bool:
    """Delete the row of a claimed task that is done; False where the lease was lost."""
    if connection.execute(delete(PARKED).where(_is_owned(consumer, task_id, token))).rowcount == 0:
        return False
    connection.execute(delete(PARTS).where(PARTS.c.id == key_of(consumer, task_id)))
    return True


def fate(connection: Connection, consumer: str, task_id: TaskId) -> str:
    """What became of a task whose lease was lost, in words without a subject."""
    row = connection.execute(
        select(PARKED.c.state, PARKED.c.lease_token).where(PARKED.c.id == key_of(consumer, task_id))
    ).first()
    if row is None:
        return "was discarded meanwhile, or done by another worker"
    if row.lease_token is not None:
        return "another worker has it by now"
    return f"is {row.state} by now, as another worker or a person left it"


def claim_due(connection: Connection, consumer: str, limit: int, lease: Lease) -> tuple[ParkedTask, ...]:
    """Claim waiting tasks whose time has come and that nobody holds, the longest due first."""
    candidates = due_candidates(connection.dialect, consumer, limit)
    keys = within_size([(row.id, row.size_bytes) for row in connection.execute(candidates)], CLAIM_LIMIT_BYTES)
    if not keys:
        return ()
    taken = {"lease_token": lease.owner, "lease_until": database_now(connection.dialect.name) + lease.seconds}
    connection.execute(update(PARKED).where(PARKED.c.id.in_(keys)).values(taken))
    return read_tasks(connection, keys)


def due_candidates(dialect: Dialect, consumer: str, limit: int) -> Select[tuple[str, int]]:
    """The keys and sizes of the rows that a claim may take, in its order; they are locked, and locked ones left out."""
    now = database_now(dialect.name)
    is_due = and_(PARKED.c.consumer == consumer, PARKED.c.state == ParkedState.WAITING.value, PARKED.c.due_at <= now)
    is_free = or_(PARKED.c.lease_until.is_(None), PARKED.c.lease_until <= now)
    return (
        select(PARKED.c.id, PARKED.c.size_bytes)
        .with_hint(PARKED, FORCED_DUE_INDEX, "mysql")
        .where(is_due, is_free)
        .order_by(PARKED.c.due_at)
        .limit(limit)
        .with_for_update(skip_locked=True)
    )


def within_size(candidates: Sequence[tuple[str, int]], limit_bytes: int) -> list[str]:
    """The keys of the first candidates that together stay within the limit; the first one in any case."""
    keys: list[str] = []
    total = 0
    for key, size in candidates:
        total += size
        if keys and total > limit_bytes:
            break
        keys.append(key)
    return keys


def renew(connection: Connection, lease: Lease) -> int:
    """Let all claims of the owner run from now on; how many there are."""
    until = database_now(connection.dialect.name) + lease.seconds
    renewal = update(PARKED).where(PARKED.c.lease_token == lease.owner).values(lease_until=until)
    return connection.execute(renewal).rowcount


def release(connection: Connection, owner_prefix: str) -> int:
    """Give up all claims of owners whose names start so; how many there were."""
    assert owner_prefix
    return connection.execute(_unleased().where(starts_with(PARKED.c.lease_token, owner_prefix))).rowcount


def release_tasks(connection: Connection, tasks: Iterable[ParkedTask], token: str) -> None:
    """Give up the claims on these tasks."""
    for task in tasks:
        connection.execute(_unleased().where(_is_owned(task.consumer, task.task_id, token)))


def parked_among(connection: Connection, consumer: str, ids: Sequence[TaskId]) -> frozenset[TaskId]:
    """Which of `ids` are parked as waiting or dead."""
    by_key = {key_of(consumer, task_id): task_id for task_id in ids}
    found: set[TaskId] = set()
    for keys in in_chunks(list(by_key)):
        rows = connection.execute(select(PARKED.c.id).where(PARKED.c.id.in_(keys), PARKED.c.state.in_(SKIPPED_STATES)))
        found.update(by_key[key] for key in rows.scalars())
    return frozenset(found)


def parked_of(connection: Connection, consumer: str, after: Place) -> IdPage:
    """Ids of a consumer's tasks that are parked as waiting or dead, in the order of their keys."""
    rows = _ids(connection, PARKED.c.consumer == consumer, PARKED.c.id > after[1], order=[PARKED.c.id])
    return _id_page(rows)


def parked_from(connection: Connection, consumer: str, source: str, shard: int, after: Place) -> IdPage:
    """Ids of one shard's tasks that are parked as waiting or dead, in the order of their positions."""
    position, key = after
    is_there = and_(
        PARKED.c.consumer == consumer,
        PARKED.c.source == storable_source(source, is_unicode=takes_unicode(connection)),
        PARKED.c.shard == shard,
        PARKED.c.position >= position,
        or_(PARKED.c.position > position, PARKED.c.id > key),
    )
    return _id_page(_ids(connection, is_there, order=[PARKED.c.position, PARKED.c.id]))


def parked_count(connection: Connection, consumer: str) -> tuple[int, int]:
    """How many tasks of a consumer are waiting, and how many dead; of no more than MOST_COUNTED in all."""
    of_consumer = and_(PARKED.c.consumer == consumer, PARKED.c.state.in_(SKIPPED_STATES))
    some = select(PARKED.c.state).where(of_consumer).limit(MOST_COUNTED).subquery()
    rows = connection.execute(select(some.c.state, func.count().label("tasks")).group_by(some.c.state))
    tasks = {row.state: row.tasks for row in rows}
    return tasks.get(ParkedState.WAITING.value, 0), tasks.get(ParkedState.DEAD.value, 0)


def next_due(connection: Connection, consumer: str) -> float | None:
    """Seconds until a waiting task can be claimed, 0 when one can be now; None where none waits."""
    now = connection.execute(select(database_now(connection.dialect.name))).scalar_one()
    of_consumer = and_(PARKED.c.consumer == consumer, PARKED.c.state == ParkedState.WAITING.value)
    free = select(func.min(PARKED.c.due_at)).where(of_consumer, PARKED.c.lease_token.is_(None))
    leased = select(func.min(PARKED.c.lease_until)).where(of_consumer, PARKED.c.lease_token.is_not(None))
    times = [time for time in (connection.execute(query).scalar() for query in (free, leased)) if time is not None]
    return max(0.0, min(times) - now) if times else None


def read_tasks(connection: Connection, keys: Sequence[str]) -> tuple[ParkedTask, ...]:
    """The tasks of these rows, whole, in this order."""
    rows = {row.id: row for row in connection.execute(select(PARKED).where(PARKED.c.id.in_(keys)))}
    return tuple(task_of(rows[key], _read_parts(connection, key) if rows[key].parts else ()) for key in keys)


def starts_with(column: ColumnElement[Any], prefix: str) -> ColumnElement[bool]:  # a column of any text type
    """Whether the column's text starts with `prefix`, as a range that an index knows."""
    return and_(column >= prefix, column < prefix[:-1] + chr(ord(prefix[-1]) + 1))


@cache
def _parking(dialect: str) -> Insert:
    """Built once for each dialect: to build it costs more than to run it."""
    due_at = database_now(dialect) + bindparam("delay", type_=PARKED.c.due_at.type)
    computed = {"due_at": due_at, "lease_token": None, "lease_until": None}
    plain = {
        column.name: bindparam(column.name, type_=column.type) for column in PARKED.c if column.name not in computed
    }
    return upsert(dialect, PARKED, {**plain, **computed})


def _write_parts(connection: Connection, tasks: dict[str, ParkedTask]) -> None:
    for keys in in_chunks(list(tasks)):
        connection.execute(delete(PARTS).where(PARTS.c.id.in_(keys)))
    for key, task in tasks.items():
        for number, content in enumerate(parts_of(task)):
            connection.execute(insert(PARTS).values(id=key, number=number, content=content))


def _read_parts(connection: Connection, key: str) -> tuple[bytes, ...]:
    rows = connection.execute(select(PARTS.c.content).where(PARTS.c.id == key).order_by(PARTS.c.number))
    return tuple(bytes(content) for content in rows.scalars())


def _is_owned(consumer: str, task_id: TaskId, token: str) -> ColumnElement[bool]:
    return and_(PARKED.c.id == key_of(consumer, task_id), PARKED.c.lease_token == token)


def _unleased() -> Update:
    return update(PARKED).values(lease_token=None, lease_until=None)


def _ids(
    connection: Connection, *conditions: ColumnElement[bool], order: Sequence[ColumnElement[Any]]
) -> Sequence[Row[str, int, str]]:  # columns of any type
    query = select(PARKED.c.task_id, PARKED.c.position, PARKED.c.id).where(*conditions)
    return connection.execute(query.where(PARKED.c.state.in_(SKIPPED_STATES)).order_by(*order).limit(IDS_A_PAGE)).all()


def _id_page(rows: Sequence[Row[str, int, str]]) -> IdPage:
    after = (rows[-1].position, rows[-1].id) if len(rows) == IDS_A_PAGE else None
    return IdPage(frozenset(TaskId(original(row.task_id)) for row in rows), after)
