"""What people see of parked rows: a list of them, one of them whole.

Each function but `pages` is one step within the caller's transaction.
"""

from __future__ import annotations

import re
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from sqlalchemy import ColumnElement, Connection, Row, Select, and_, exists, func, literal, or_, select, true

from consumerd.database.database import Transact
from consumerd.database.dialects import database_now, takes_unicode
from consumerd.model.parked import ParkedState, ParkedTask
from consumerd.parking.claims import read_tasks
from consumerd.parking.people.json_path import Where
from consumerd.parking.people.looking_into import looked_into
from consumerd.parking.records import handle_of, storable, values_of
from consumerd.parking.schema import KEY_CHARACTERS, PARKED, PARTS

SHORTEST_HANDLE = 4
PAGE_ROWS = 100
ROWS_LOOKED_AT = 5_000
"""So many rows a statement may compare with a text that a person looks for: in less than a second."""
RECORDS_LOOKED_INTO = 1_000
"""So many records are read for one page, and compared with a condition on their JSON."""

_HANDLE = re.compile(f"[0-9a-f]{{{SHORTEST_HANDLE},{KEY_CHARACTERS}}}")
_SHORT = re.compile(f"[0-9a-f]{{1,{SHORTEST_HANDLE - 1}}}")
_LISTED = [
    *("consumer", "task_id", "source", "shard", "position", "offset", "state", "due_at", "attempts", "crashes"),
    *("first_at", "last_at", "error", "size_bytes"),
]

Place = tuple[float, str]
"""When a row failed last, and its key."""


@dataclass(frozen=True, slots=True)
class ParkedFilter:
    """Which rows are meant; what is None excludes none.

    target: a group or `group/name`.
    state: waiting, dead or suspect.
    consumers: full names, one of which is the row's.
    error: a part of the error, whatever its case.
    text: a part of the task id, the error or the traceback, whatever its case, or of the payload.
    since, until: the last attempt was at or after, and before, these times; seconds since the epoch.
    where: what has to stand at a path in the record's JSON. `condition` leaves it out, since no SQL says it alike on
    all databases: who uses that has to look into the records himself.
    """

    target: str | None = None
    state: ParkedState | None = None
    consumers: tuple[str, ...] | None = None
    error: str | None = None
    text: str | None = None
    since: float | None = None
    until: float | None = None
    where: Where | None = None

    def condition(self, connection: Connection) -> ColumnElement[bool]:
        """The same as a condition on `PARKED`, in this connection's database."""
        conditions: list[ColumnElement[bool]] = [true()]
        if self.state is not None:
            conditions.append(PARKED.c.state == self.state.value)
        if self.target is not None:
            in_group = starts_with(PARKED.c.consumer, f"{self.target}/")
            conditions.append(or_(PARKED.c.consumer == self.target, in_group))
        if self.consumers is not None:
            conditions.append(PARKED.c.consumer.in_(self.consumers))
        if self.error is not None:
            conditions.append(_holds(PARKED.c.error, self.error, connection))
        if self.text is not None:
            conditions.append(_mentions(self.text, connection))
        if self.since is not None:
            conditions.append(PARKED.c.last_at >= self.since)
        if self.until is not None:
            conditions.append(PARKED.c.last_at < self.until)
        return and_(*conditions)


EVERY = ParkedFilter()


Item = dict[str, object]
"""A row of the list: its `handle`, which people type, whether it `is_claimed` now, and everything but its contents."""


def pages(read: Transact, chosen: ParkedFilter, limit: int | None) -> Iterator[tuple[Item, ...]]:
    """The first chosen rows, newest failure first; None: all. Each page is a transaction.

    No more than `ROWS_LOOKED_AT` are looked at for a page, nor more than `RECORDS_LOOKED_INTO` where records are
    compared: it may have few rows, or none, and not be the last.
    """
    for rows in walked(read, chosen, limit, PAGE_ROWS):
        yield tuple(map(_item, rows))


def walked(
    read: Transact, chosen: ParkedFilter, limit: int | None, page_rows: int
) -> Iterator[Sequence[Row[Any]]]:  # rows of `listed`
    """The same as rows of the list, so many a page."""
    left = sys.maxsize if limit is None else limit
    place: Place | None = None
    while left > 0:
        rows, place = read(partial(_page, chosen=chosen, limit=min(left, page_rows), after=place))
        yield rows
        left = 0 if place is None else left - len(rows)


def _page(
    connection: Connection, *, chosen: ParkedFilter, limit: int, after: Place | None
) -> tuple[Sequence[Row[Any]], Place | None]:  # rows of `listed`
    """Some rows, and the place behind which the others are; None where there are no others."""
    looked_at = _behind(select(PARKED.c.last_at, PARKED.c.id), after).offset(ROWS_LOOKED_AT).limit(1)
    until = connection.execute(looked_at).first()
    most = limit if chosen.where is None else RECORDS_LOOKED_INTO
    found = connection.execute(listed(connection, chosen, after, until).limit(most)).all()
    goes_on = found[-1] if len(found) == most else until
    if chosen.where is not None:
        keys, looked = looked_into(connection, [(row.id, row.size_bytes) for row in found], chosen.where, limit)
        goes_on = found[looked - 1] if looked < len(found) else goes_on
        among = frozenset(keys)
        found = [row for row in found if row.id in among]
    return found, None if goes_on is None else (goes_on.last_at, goes_on.id)


def listed(
    connection: Connection, chosen: ParkedFilter, after: Place | None, until: Row[Any] | None
) -> Select[Any]:  # a row of two columns, and the list's own
    """The chosen rows, newest failure first, behind a place, up to the row `until`."""
    is_claimed = func.coalesce(PARKED.c.lease_until > database_now(connection.dialect.name), False)
    columns = select(PARKED.c.id, *(PARKED.c[name] for name in _LISTED), is_claimed.label("is_claimed"))
    query = _behind(columns.where(chosen.condition(connection)), after)
    if until is None:
        return query
    return query.where(
        PARKED.c.last_at >= until.last_at, or_(PARKED.c.last_at > until.last_at, PARKED.c.id >= until.id)
    )


def _behind(query: Select[Any], after: Place | None) -> Select[Any]:  # of any columns
    """The same, newest failure first, behind the place. No row constructor: MySQL and MariaDB use no index for one."""
    if after is not None:
        last_at, key = after
        query = query.where(PARKED.c.last_at <= last_at, or_(PARKED.c.last_at < last_at, PARKED.c.id < key))
    return query.order_by(PARKED.c.last_at.desc(), PARKED.c.id.desc())


def _item(row: Row[Any]) -> Item:  # a row of `listed`
    return {"handle": handle_of(row.id), **values_of(row, _LISTED), "is_claimed": bool(row.is_claimed)}


def find(connection: Connection, reference: str, target: str | None = None) -> tuple[ParkedTask, ...]:
    """What a handle, the start of one, or a task id means, whole: nothing, one, or two where it is not unique."""
    return read_tasks(connection, keys_of(connection, reference, ParkedFilter(target)))


def keys_of(connection: Connection, reference: str, chosen: ParkedFilter = EVERY) -> tuple[str, ...]:
    """The chosen rows that `reference` means, by handle, or else by task id; two at most are looked for."""
    query = select(PARKED.c.id).where(chosen.condition(connection)).order_by(PARKED.c.id).limit(2)
    keys: list[str] = []
    if _HANDLE.fullmatch(reference.lower()):
        keys = list(connection.execute(query.where(starts_with(PARKED.c.id, reference.lower()))).scalars())
    task_id = storable(reference, is_unicode=takes_unicode(connection))
    return tuple(keys or connection.execute(query.where(PARKED.c.task_id == task_id)).scalars())


def is_too_short(reference: str) -> bool:
    """Whether `reference` is the start of a handle, but too little of one to be looked for."""
    return _SHORT.fullmatch(reference.lower()) is not None


def starts_with(column: ColumnElement[Any], prefix: str) -> ColumnElement[bool]:  # a column of any text type
    """Whether the column's text starts with `prefix`, as a range that an index knows."""
    return and_(column >= prefix, column < prefix[:-1] + chr(ord(prefix[-1]) + 1))


def _mentions(text: str, connection: Connection) -> ColumnElement[bool]:
    content = text.encode("utf-8", "surrogatepass")
    in_parts = exists().where(PARTS.c.id == PARKED.c.id, _contains(PARTS.c.content, content, connection.dialect.name))
    columns = (PARKED.c.task_id, PARKED.c.error, PARKED.c.traceback)
    in_texts = [_holds(column, text, connection) for column in columns]
    return or_(*in_texts, func.coalesce(_contains(PARKED.c.payload, content, connection.dialect.name), False), in_parts)


def _holds(column: ColumnElement[str], text: str, connection: Connection) -> ColumnElement[bool]:
    return column.icontains(storable(text, is_unicode=takes_unicode(connection)), autoescape=True)


def _contains(column: ColumnElement[bytes], content: bytes, dialect: str) -> ColumnElement[bool]:
    if dialect == "sqlite":
        return func.instr(column, content) > 0
    return func.position(literal(content).op("IN")(column)) > 0
