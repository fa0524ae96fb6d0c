"""What people decide of parked rows: to retry them, or to discard them, which may concern millions of rows.

So many are gone through in the order of their keys, in steps of less than a second, each a transaction of its own. A
step is so many rows, not a part of the range of keys: keys need not be spread over it evenly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import TypeVar

from sqlalchemy import ColumnElement, Connection, and_, delete, false, func, select, update

from consumerd.clock import monotonic
from consumerd.database.database import Transact
from consumerd.database.dialects import database_now
from consumerd.errors import StoreAwayError
from consumerd.model.parked import ParkedState
from consumerd.parking.browsing import ParkedFilter
from consumerd.parking.schema import PARKED, PARTS

ResultT = TypeVar("ResultT")

FIRST_ROWS, MOST_ROWS = 100, 5_000
LONGEST_STEP_S = 0.5

_DECIDABLE = (ParkedState.WAITING.value, ParkedState.DEAD.value)
"""A suspect is no person's to decide: its task still is in its source."""

Changed = dict[str, int]
"""How many tasks, by consumer."""

Among = Callable[[ColumnElement[str]], ColumnElement[bool]]
"""Whether a key is one of those among which rows are chosen."""


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
        with_parts = select(PARKED.c.id).where(condition, PARKED.c.parts > 0)
        connection.execute(delete(PARTS).where(among(PARTS.c.id), PARTS.c.id.in_(with_parts)))
        connection.execute(delete(PARKED).where(condition))
    return gone


def count(connection: Connection, chosen: ParkedFilter, among: Among) -> Changed:
    """How many tasks a retry or discard would change."""
    return _counted(connection, _decidable(connection, chosen, among))


def in_steps(
    transact: Transact,
    change: Callable[[Connection, ParkedFilter, Among], Changed],
    chosen: ParkedFilter,
    keys: Sequence[str] | None,
) -> Iterator[Changed]:
    """Run `change` on the rows of these keys, in one transaction; with None on all rows, in several."""

    def step(after: str, rows: int) -> tuple[Changed, str | None]:
        def within(connection: Connection) -> tuple[Changed, str | None]:
            following = select(PARKED.c.id).where(PARKED.c.id > after).order_by(PARKED.c.id)
            last = connection.execute(following.offset(rows - 1).limit(1)).scalar()
            below = [] if last is None else [last]
            return change(connection, chosen, lambda key: and_(key > after, *(key <= end for end in below))), last

        done: tuple[Changed, str | None] = transact(within)
        return done

    if keys is None:
        yield from walk(step)
    else:
        yield transact(lambda connection: change(connection, chosen, lambda key: key.in_(keys)))


def walk(
    step: Callable[[str, int], tuple[ResultT, str | None]], now: Callable[[], float] = monotonic
) -> Iterator[ResultT]:
    """The results of `step` on the next so many rows behind a key; it says their last key, or None for the end.

    How many follows from how long a step takes. One that failed is done again with fewer rows, since the server may
    have become too slow for so many; StoreAwayError where it fails with the fewest.
    """
    after: str | None = ""
    rows = FIRST_ROWS
    while after is not None:
        began = now()
        try:
            result, after = step(after, rows)
        except StoreAwayError:
            if rows <= FIRST_ROWS:
                raise
            rows = max(rows // 4, FIRST_ROWS)
            continue
        took_s = now() - began
        if took_s > LONGEST_STEP_S:
            rows = max(rows // 2, 1)
        elif took_s < LONGEST_STEP_S / 2:
            rows = min(rows * 2, MOST_ROWS)
        yield result


def _decidable(connection: Connection, chosen: ParkedFilter, among: Among) -> ColumnElement[bool]:
    """What may be decided of the chosen rows. The rows are found by their keys and nothing else.

    An optimizer that has no current statistics would prefer an index on the consumer, and read most of the table at
    each step: from it the condition's columns are hidden.
    """
    condition = and_(chosen.condition(connection), PARKED.c.state.in_(_DECIDABLE))
    return and_(among(PARKED.c.id), func.coalesce(condition, false()))


def _counted(connection: Connection, condition: ColumnElement[bool]) -> Changed:
    query = select(PARKED.c.consumer, func.count().label("tasks")).where(condition).group_by(PARKED.c.consumer)
    return {row.consumer: row.tasks for row in connection.execute(query)}
