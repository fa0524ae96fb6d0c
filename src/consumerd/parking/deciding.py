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
from consumerd.parking.parked import IS_SKIPPED
from consumerd.parking.schema import PARKED, PARTS

ResultT = TypeVar("ResultT")

FIRST_ROWS, MOST_ROWS = 100, 5_000
LONGEST_STEP_S = 0.5

Changed = dict[str, int]
"""How many tasks, by consumer."""

Among = Callable[[ColumnElement[str]], ColumnElement[bool]]
"""Whether a key is one of those among which rows are chosen."""

Act = Callable[[Connection, ColumnElement[bool], Among], object]
"""Does something to the rows of a condition, whose keys are among these."""


def count(connection: Connection, condition: ColumnElement[bool], among: Among) -> None:
    """Only have them counted."""


def retry(connection: Connection, condition: ColumnElement[bool], among: Among) -> None:
    """Make tasks due now, their attempts kept, their crashes forgotten."""
    now = database_now(connection.dialect.name)
    due = update(PARKED).values(state=ParkedState.WAITING.value, due_at=now, crashes=0)
    connection.execute(due.where(condition))


def discard(connection: Connection, condition: ColumnElement[bool], among: Among) -> None:
    """Delete tasks for good."""
    with_parts = select(PARKED.c.id).where(condition, PARKED.c.parts > 0)
    connection.execute(delete(PARTS).where(among(PARTS.c.id), PARTS.c.id.in_(with_parts)))
    connection.execute(delete(PARKED).where(condition))


def in_steps(transact: Transact, act: Act, chosen: ParkedFilter, keys: Sequence[str] | None) -> Iterator[Changed]:
    """Do it to the chosen tasks of these keys that are dead or waiting, in one transaction; with None to all chosen,
    in several.
    """

    def done(connection: Connection, among: Among) -> Changed:
        condition = _decidable(connection, chosen, among)
        query = select(PARKED.c.consumer, func.count().label("tasks")).where(condition).group_by(PARKED.c.consumer)
        changed = {row.consumer: row.tasks for row in connection.execute(query)}
        if changed:
            act(connection, condition, among)
        return changed

    def step(after: str, rows: int) -> tuple[Changed, str | None]:
        def within(connection: Connection) -> tuple[Changed, str | None]:
            following = select(PARKED.c.id).where(PARKED.c.id > after).order_by(PARKED.c.id)
            last = connection.execute(following.offset(rows - 1).limit(1)).scalar()
            below = [] if last is None else [last]
            return done(connection, lambda key: and_(key > after, *(key <= end for end in below))), last

        ended: tuple[Changed, str | None] = transact(within)
        return ended

    if keys is None:
        yield from walk(step)
    else:
        yield transact(lambda connection: done(connection, lambda key: key.in_(keys)))


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
    """The chosen rows but for suspects, whose tasks still are in their source. They are found by their keys alone.

    An optimizer that has no current statistics would prefer an index on the consumer, and read most of the table at
    each step: from it the condition's columns are hidden.
    """
    condition = and_(chosen.condition(connection), IS_SKIPPED)
    return and_(among(PARKED.c.id), func.coalesce(condition, false()))
