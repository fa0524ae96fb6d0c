"""What workers do with parked rows: park, claim what is due, finish, renew, release.

Each function is one step within the caller's transaction.
"""

from __future__ import annotations

import hashlib
from collections.abc import Sequence
from functools import cache
from itertools import accumulate

from sqlalchemy import Connection, Insert, and_, bindparam, delete, func, insert, select, update

from consumerd.clock import wall
from consumerd.database.causes import content_refused
from consumerd.database.claimed_table import ClaimedTable
from consumerd.database.claims import ClaimedRow, Claims, Lease
from consumerd.database.dialects import database_now, takes_unicode, upsert
from consumerd.model.parked import ParkedState, ParkedTask
from consumerd.model.task import TaskId
from consumerd.parking.parked import IS_SKIPPED
from consumerd.parking.records import in_chunks, key_of, parameters_of, parts_of, storable, task_of
from consumerd.parking.schema import PARKED, PARTS

CLAIM_LIMIT_BYTES = 64 * 1024 * 1024
"""A claim takes no more than this into memory, but one task at least."""


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
        there = list(connection.execute(select(PARKED.c.id).where(PARKED.c.id.in_(keys), IS_SKIPPED)).scalars())
        for key in there:
            (earlier,) = read_tasks(connection, [key])
            if _is_anothers(earlier, tasks[key]):
                _set_aside(connection, key, earlier)
    _write(connection, tasks)


def _is_anothers(earlier: ParkedTask, task: ParkedTask) -> bool:
    """Whether a row is of another task that had the same id; one that waits without a payload is not."""
    is_without = not (earlier.payload and task.payload) and earlier.state is ParkedState.WAITING
    return earlier.payload != task.payload and not is_without


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
        write_parts(connection, tasks)


def park_again(connection: Connection, task: ParkedTask, token: str) -> bool:
    """As `park`, for a task that was claimed; False, and nothing is written, where its lease was lost."""
    key = key_of(task.consumer, task.task_id)
    if not _claims(connection).is_owned(connection, key, token):
        return False
    _write(connection, {key: task})
    return True


def finish(connection: Connection, consumer: str, task_id: TaskId, token: str) -> bool:
    """A claimed task is done: its row goes. False where the lease was lost."""
    claims, key = _claims(connection), key_of(consumer, task_id)
    if not claims.settle(connection, claims.delete, [key], token):
        return False
    connection.execute(delete(PARTS).where(PARTS.c.id == key))
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
    """Claim at most `limit` waiting tasks that are due by the database's clock, the longest due first."""
    claims = _claims(connection)
    claims.go_by_index(connection)
    rows = claims.claim(connection, lease, limit, fitting=within_size, consumer=consumer)
    return read_tasks(connection, [row[0] for row in rows])


def within_size(candidates: Sequence[ClaimedRow], limit_bytes: int = CLAIM_LIMIT_BYTES) -> list[ClaimedRow]:
    """The first candidates that together stay within the limit; the first one in any case."""
    totals = accumulate(size for _, size in candidates)
    return [
        row
        for number, (row, total) in enumerate(zip(candidates, totals, strict=True))
        if not number or total <= limit_bytes
    ]


def renew(connection: Connection, lease: Lease) -> int:
    """Prolong all claims of the owner; how many they are."""
    return _claims(connection).renew(connection, lease)


def release(connection: Connection, owner_prefix: str) -> int:
    """Give up the claims of owners whose names start so: a slot's earlier processes; how many they were."""
    return _claims(connection).release(connection, owner_prefix)


def release_tasks(connection: Connection, tasks: Sequence[ParkedTask], token: str) -> None:
    """Give up the claims on these tasks."""
    claims = _claims(connection)
    claims.settle(connection, claims.free, [key_of(task.consumer, task.task_id) for task in tasks], token)


def revive(connection: Connection, consumer: str, ids: Sequence[TaskId]) -> None:
    """Those of these tasks that are dead wait again, due now."""
    waits = {"state": ParkedState.WAITING.value, "due_at": database_now(connection.dialect.name)}
    for keys in in_chunks([key_of(consumer, task_id) for task_id in ids]):
        dead = and_(PARKED.c.id.in_(keys), PARKED.c.state == ParkedState.DEAD.value)
        connection.execute(update(PARKED).where(dead).values(**waits))


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
    return tuple(task_of(rows[key], read_parts(connection, key) if rows[key].parts else ()) for key in keys)


@cache
def _parking(dialect: str) -> Insert:
    """Built once for each dialect: to build it costs more than to run it."""
    due_at = database_now(dialect) + bindparam("delay", type_=PARKED.c.due_at.type)
    computed = {"due_at": due_at, "lease_token": None, "lease_until": None}
    plain = {
        column.name: bindparam(column.name, type_=column.type) for column in PARKED.c if column.name not in computed
    }
    return upsert(dialect, PARKED, {**plain, **computed})


def write_parts(connection: Connection, tasks: dict[str, ParkedTask]) -> None:
    """Write the long contents of the tasks of these keys, instead of those that are there."""
    for keys in in_chunks(list(tasks)):
        connection.execute(delete(PARTS).where(PARTS.c.id.in_(keys)))
    for key, task in tasks.items():
        for number, content in enumerate(parts_of(task)):
            connection.execute(insert(PARTS).values(id=key, number=number, content=content))


def read_parts(connection: Connection, key: str) -> tuple[bytes, ...]:
    """The long contents of a task, cut, in their order."""
    rows = connection.execute(select(PARTS.c.content).where(PARTS.c.id == key).order_by(PARTS.c.number))
    return tuple(bytes(content) for content in rows.scalars())


def _claims(connection: Connection) -> Claims:
    return claims_in(connection.dialect.name)


@cache
def claims_in(
    dialect: str, table: str = PARKED.name, index: str = "ix_parked_due", gives: tuple[str, ...] = ("{size}",)
) -> Claims:
    """The claims on parked tasks, or on ticks. A row stays `waiting` while claimed: its lease has columns of its own.

    gives: what is told of each besides its key; ticks have no size.
    """
    return Claims(
        ClaimedTable(
            table=table,
            key=("id",),
            state="state",
            waiting=ParkedState.WAITING.value,
            due="due_at",
            token="lease_token",  # noqa: S106 - a column's name
            until="lease_until",
            index=index,
            gives=gives,
            condition="{consumer} = :consumer",
            more={"size": "size_bytes", "consumer": "consumer"},
        ),
        dialect,
    )
