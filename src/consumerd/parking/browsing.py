"""What people do with parked rows: count, list, show, retry, discard. One step each within the caller's transaction.

What may concern millions of rows is done span by span (`store.spans`), each in a transaction of its own.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, delete, false, func, or_, select, update

from consumerd.database.dialects import database_now, takes_unicode
from consumerd.model.parked import ParkedState, ParkedTask
from consumerd.model.task import TaskId
from consumerd.parking.claims import read_tasks, starts_with
from consumerd.parking.filters import ParkedFilter
from consumerd.parking.records import handle_of, original, storable
from consumerd.parking.schema import KEY_CHARACTERS, PARKED, PARTS
from consumerd.parking.spans import Span

SHORTEST_HANDLE = 4
ROWS_LOOKED_AT = 5_000
"""So many rows a statement may compare with a text that a person looks for: in less than a second."""

_HANDLE = re.compile(f"[0-9a-f]{{{SHORTEST_HANDLE},{KEY_CHARACTERS}}}")
_SHORT = re.compile(f"[0-9a-f]{{1,{SHORTEST_HANDLE - 1}}}")
_DECIDABLE = (ParkedState.WAITING.value, ParkedState.DEAD.value)
"""A suspect is no person's to decide: its task still is in its source."""


Changed = dict[str, int]
"""How many tasks, by consumer."""

Among = Span | Sequence[str]
"""Where rows are chosen: in a span of the store, or among these keys."""


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
    """Some rows of a list, or none, newest failure first. `after` continues it; None at its end."""

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
    """At most `limit` rows, from where `after`, of an earlier page, says. ValueError for an `after` of nobody's.

    No more than `ROWS_LOOKED_AT` are looked at: a page may have fewer rows than `limit`, or none, and not be the last.
    """
    last = connection.execute(_behind(select(PARKED.c.last_at, PARKED.c.id), after).offset(ROWS_LOOKED_AT).limit(1))
    until = last.first()
    found = connection.execute(listed(connection, chosen, after, until).limit(limit)).all()
    goes_on = found[-1] if len(found) == limit else until
    place = None if goes_on is None else f"{float(goes_on.last_at).hex()},{goes_on.id}"
    return Page(tuple(map(_summary, found)), place)


def listed(
    connection: Connection, chosen: ParkedFilter, after: str | None, until: Row[Any] | None
) -> Select[Any]:  # a row of two columns, and the list's own
    """The chosen rows, newest failure first, behind the place that `after` names, up to the row `until`."""
    query = _behind(_summaries(connection).where(chosen.condition(connection)), after)
    if until is None:
        return query
    return query.where(
        PARKED.c.last_at >= until.last_at, or_(PARKED.c.last_at > until.last_at, PARKED.c.id >= until.id)
    )


def _behind(query: Select[Any], after: str | None) -> Select[Any]:  # of any columns
    """The same, newest failure first, behind the place. No row constructor: MySQL and MariaDB use no index for one."""
    if after is not None:
        last_at, key = _place(after)
        query = query.where(PARKED.c.last_at <= last_at, or_(PARKED.c.last_at < last_at, PARKED.c.id < key))
    return query.order_by(PARKED.c.last_at.desc(), PARKED.c.id.desc())


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


def retry(connection: Connection, chosen: ParkedFilter, among: Among) -> Changed:
    """Make dead and waiting tasks due now, their attempts kept, their crashes forgotten."""
    condition = _decidable(connection, chosen, among)
    changed = _counted(connection, condition)
    if changed:
        now = database_now(connection.dialect.name)
        due = update(PARKED).values(state=ParkedState.WAITING.value, due_at=now, crashes=0)
        connection.execute(due.where(condition))
    return changed


def discard(connection: Connection, chosen: ParkedFilter, among: Among) -> Changed:
    """Delete dead and waiting tasks for good."""
    condition = _decidable(connection, chosen, among)
    gone = _counted(connection, condition)
    if gone:
        connection.execute(delete(PARTS).where(_within(PARTS.c.id, among), PARTS.c.id.in_(_with_parts(condition))))
        connection.execute(delete(PARKED).where(condition))
    return gone


def count(connection: Connection, chosen: ParkedFilter, among: Among) -> Changed:
    """How many tasks a retry or discard would change."""
    return _counted(connection, _decidable(connection, chosen, among))


def span_of(connection: Connection, after: str, rows: int) -> Span:
    """The next so many rows behind a key, all that are left where they are fewer."""
    keys = select(PARKED.c.id).where(PARKED.c.id > after).order_by(PARKED.c.id)
    return Span(after, connection.execute(keys.offset(rows - 1).limit(1)).scalar())


def _decidable(connection: Connection, chosen: ParkedFilter, among: Among) -> ColumnElement[bool]:
    """What may be decided of the chosen rows. The rows are found by their keys and nothing else.

    An optimizer that has no current statistics would prefer an index on the consumer, and read most of the table at
    each step: from it the condition's columns are hidden.
    """
    condition = and_(chosen.condition(connection), PARKED.c.state.in_(_DECIDABLE))
    return and_(_within(PARKED.c.id, among), func.coalesce(condition, false()))


def _within(key: ColumnElement[str], among: Among) -> ColumnElement[bool]:
    return among.holds(key) if isinstance(among, Span) else key.in_(among)


def _with_parts(condition: ColumnElement[bool]) -> Select[tuple[str]]:
    return select(PARKED.c.id).where(condition, PARKED.c.parts > 0)


def _counted(connection: Connection, condition: ColumnElement[bool]) -> Changed:
    query = select(PARKED.c.consumer, func.count().label("tasks")).where(condition).group_by(PARKED.c.consumer)
    return {row.consumer: row.tasks for row in connection.execute(query)}


def _summaries(connection: Connection) -> Select[tuple[object, ...]]:
    now = database_now(connection.dialect.name)
    contents = {"headers", "key", "payload", "traceback"}
    columns = [column for column in PARKED.c if column.name not in contents]
    is_claimed = func.coalesce(PARKED.c.lease_until > now, False)
    return select(*columns, is_claimed.label("is_claimed"))


def _place(after: str) -> tuple[float, str]:
    last_at, _, key = after.partition(",")
    return float.fromhex(last_at), key
