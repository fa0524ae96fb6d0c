"""What people do with parked rows: count, list, show, retry, discard. One step each within the caller's transaction."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, func, select, tuple_, update

from consumerd.model.parked import ParkedState, ParkedTask
from consumerd.model.task import TaskId
from consumerd.store.claims import read_tasks, starts_with
from consumerd.store.dialects import database_now, takes_unicode
from consumerd.store.filters import ParkedFilter
from consumerd.store.records import handle_of, in_chunks, original, storable
from consumerd.store.schema import KEY_CHARACTERS, PARKED, PARTS

SHORTEST_HANDLE = 4

_HANDLE = re.compile(f"[0-9a-f]{{{SHORTEST_HANDLE},{KEY_CHARACTERS}}}")
_SHORT = re.compile(f"[0-9a-f]{{1,{SHORTEST_HANDLE - 1}}}")
_DECIDABLE = (ParkedState.WAITING.value, ParkedState.DEAD.value)
"""A suspect is no person's to decide: its task still is in its source."""


@dataclass(frozen=True, slots=True)
class ParkedCounts:
    """How many tasks of a consumer are parked."""

    consumer: str
    waiting: int
    dead: int


@dataclass(frozen=True, slots=True)
class ParkedSummary:
    """One line of a list: everything but the contents. `is_claimed`: a worker has it now."""

    handle: str
    consumer: str
    task_id: TaskId
    source: str
    shard: int
    position: int
    offset: int
    state: ParkedState
    due_at: float | None
    attempts: int
    crashes: int
    first_at: float
    last_at: float
    error: str
    size_bytes: int
    is_claimed: bool


@dataclass(frozen=True, slots=True)
class Page:
    """Some rows of a list, newest failure first. `after` continues it; None at its end."""

    rows: tuple[ParkedSummary, ...]
    after: str | None


@dataclass(frozen=True, slots=True)
class Found:
    """One task whole, and its handle."""

    handle: str
    task: ParkedTask


def counts(connection: Connection, consumer: str | None) -> tuple[ParkedCounts, ...]:
    """By consumer, in the order of their names."""
    query = select(PARKED.c.consumer, PARKED.c.state, func.count().label("tasks"))
    if consumer is not None:
        query = query.where(PARKED.c.consumer == consumer)
    tasks: dict[str, dict[str, int]] = {}
    for row in connection.execute(query.group_by(PARKED.c.consumer, PARKED.c.state)):
        tasks.setdefault(row.consumer, {})[row.state] = row.tasks
    return tuple(
        ParkedCounts(name, waiting=states.get("waiting", 0), dead=states.get("dead", 0))
        for name, states in sorted(tasks.items())
    )


def page(connection: Connection, chosen: ParkedFilter, limit: int, after: str | None) -> Page:
    """At most `limit` rows, from where `after`, of an earlier page, says. ValueError for an `after` of nobody's."""
    query = _summaries(connection).where(chosen.condition(connection))
    if after is not None:
        query = query.where(tuple_(PARKED.c.last_at, PARKED.c.id) < tuple_(*_place(after)))
    query = query.order_by(PARKED.c.last_at.desc(), PARKED.c.id.desc()).limit(limit)
    found = connection.execute(query).all()
    rows = tuple(map(_summary, found))
    is_full = len(found) == limit
    return Page(rows, f"{float(found[-1].last_at).hex()},{found[-1].id}" if found and is_full else None)


def _summary(row: Row[Any]) -> ParkedSummary:  # a row of `_summaries`
    return ParkedSummary(
        handle=handle_of(row.id),
        consumer=row.consumer,
        task_id=TaskId(original(row.task_id)),
        source=original(row.source),
        shard=row.shard,
        position=row.position,
        offset=row.offset,
        state=ParkedState(row.state),
        due_at=row.due_at,
        attempts=row.attempts,
        crashes=row.crashes,
        first_at=row.first_at,
        last_at=row.last_at,
        error=original(row.error),
        size_bytes=row.size_bytes,
        is_claimed=bool(row.is_claimed),
    )


def find(connection: Connection, reference: str, target: str | None) -> tuple[Found, ...]:
    """The tasks that a person means by a handle, the start of one, or a task id. Two at most are looked for."""
    keys = keys_of(connection, reference, ParkedFilter(target), limit=2)
    return tuple(Found(handle_of(key), task) for key, task in zip(keys, read_tasks(connection, keys), strict=True))


def keys_of(connection: Connection, reference: str, chosen: ParkedFilter, limit: int) -> list[str]:
    """The chosen rows that `reference` means: by handle, or else by task id."""
    query = select(PARKED.c.id).where(chosen.condition(connection)).order_by(PARKED.c.id).limit(limit)
    keys: list[str] = []
    if _HANDLE.fullmatch(reference.lower()):
        keys = list(connection.execute(query.where(starts_with(PARKED.c.id, reference.lower()))).scalars())
    task_id = storable(reference, is_unicode=takes_unicode(connection))
    return keys or list(connection.execute(query.where(PARKED.c.task_id == task_id)).scalars())


def is_too_short(reference: str) -> bool:
    """Whether `reference` is the start of a handle, but too little of one to be looked for."""
    return _SHORT.fullmatch(reference.lower()) is not None


def retry(connection: Connection, chosen: ParkedFilter, keys: Sequence[str] | None) -> dict[str, int]:
    """Make dead and waiting tasks due now, their attempts kept, their crashes forgotten; how many, by consumer.

    `keys` None: all chosen.
    """
    change = update(PARKED).values(
        state=ParkedState.WAITING.value, due_at=database_now(connection.dialect.name), crashes=0
    )
    changed: dict[str, int] = {}
    for condition in _conditions(connection, chosen, keys):
        _add(changed, _counted(connection, condition))
        connection.execute(change.where(condition))
    return changed


def discard(connection: Connection, chosen: ParkedFilter, keys: Sequence[str] | None) -> dict[str, int]:
    """Delete dead and waiting tasks for good; how many, by consumer. `keys` None: all chosen."""
    gone: dict[str, int] = {}
    for condition in _conditions(connection, chosen, keys):
        _add(gone, _counted(connection, condition))
        connection.execute(delete(PARTS).where(PARTS.c.id.in_(select(PARKED.c.id).where(condition))))
        connection.execute(delete(PARKED).where(condition))
    return gone


def count(connection: Connection, chosen: ParkedFilter, keys: Sequence[str] | None) -> dict[str, int]:
    """How many tasks a retry or discard would change, by consumer. `keys` None: all chosen."""
    found: dict[str, int] = {}
    for condition in _conditions(connection, chosen, keys):
        _add(found, _counted(connection, condition))
    return found


def _conditions(connection: Connection, chosen: ParkedFilter, keys: Sequence[str] | None) -> list[ColumnElement[bool]]:
    is_chosen = and_(chosen.condition(connection), PARKED.c.state.in_(_DECIDABLE))
    if keys is None:
        return [is_chosen]
    return [and_(is_chosen, PARKED.c.id.in_(some)) for some in in_chunks(keys)]


def _counted(connection: Connection, condition: ColumnElement[bool]) -> dict[str, int]:
    query = select(PARKED.c.consumer, func.count().label("tasks")).where(condition).group_by(PARKED.c.consumer)
    return {row.consumer: row.tasks for row in connection.execute(query)}


def _add(totals: dict[str, int], more: dict[str, int]) -> None:
    for consumer, tasks in more.items():
        totals[consumer] = totals.get(consumer, 0) + tasks


def _summaries(connection: Connection) -> Select[tuple[object, ...]]:
    now = database_now(connection.dialect.name)
    contents = {"headers", "key", "payload", "traceback"}
    columns = [column for column in PARKED.c if column.name not in contents]
    is_claimed = func.coalesce(PARKED.c.lease_until > now, False)
    return select(*columns, is_claimed.label("is_claimed"))


def _place(after: str) -> tuple[float, str]:
    last_at, _, key = after.partition(",")
    return float.fromhex(last_at), key
