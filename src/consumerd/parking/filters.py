"""Which parked rows a person means: by consumer, state, error, text and time."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from sqlalchemy import ColumnElement, Connection, and_, exists, func, literal, or_, true

from consumerd.database.dialects import takes_unicode
from consumerd.model.parked import ParkedState
from consumerd.parking.records import storable
from consumerd.parking.schema import PARKED, PARTS


@dataclass(frozen=True, slots=True)
class ParkedFilter:
    """Which rows are meant; what is None excludes none.

    target: a group or `group/name`.
    state: waiting, dead or suspect.
    consumers: full names, one of which is the row's.
    error: a part of the error, whatever its case.
    text: a part of the task id, the error or the traceback, whatever its case, or of the payload.
    since, until: the last attempt was at or after, and before, these times; seconds since the epoch.
    """

    target: str | None = None
    state: ParkedState | None = None
    consumers: tuple[str, ...] | None = None
    error: str | None = None
    text: str | None = None
    since: float | None = None
    until: float | None = None

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
