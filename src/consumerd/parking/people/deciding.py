"""What people decide of parked rows: to retry them, or to discard them, which may concern millions of rows.

So many are gone through in the order of their keys, in steps of less than a second, each a transaction of its own. A
step is so many rows, not a part of the range of keys: keys need not be spread over it evenly.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TypeVar

from sqlalchemy import ColumnElement, Connection, and_, case, delete, false, func, select, update

from consumerd.clock import monotonic
from consumerd.database.claims import MOST_KEYS
from consumerd.database.database import Transact
from consumerd.database.dialects import database_now
from consumerd.errors import StoreAwayError
from consumerd.model.parked import ParkedState
from consumerd.parking.parked import IS_SKIPPED
from consumerd.parking.people.browsing import ParkedFilter
from consumerd.parking.people.looking_into import looked_into
from consumerd.parking.records import in_chunks
from consumerd.parking.schema import PARKED, PARTS

ResultT = TypeVar("ResultT")

FIRST_ROWS, MOST_ROWS = 100, 5_000
LONGEST_STEP_S = 0.5
EVENLY_S = 0.1
"""What is retried at a rate comes in parts of a tenth of a second."""

Changed = dict[str, int]
"""How many tasks, by consumer."""

Among = Callable[[ColumnElement[str]], ColumnElement[bool]]
"""Whether a key is one of those among which rows are chosen."""

Act = Callable[[Connection, ColumnElement[bool], Among, int], object]
"""Does something to the rows of a condition, whose keys are among these; so many were changed before them."""


def count(connection: Connection, condition: ColumnElement[bool], among: Among, before: int) -> None:
    """Only have them counted."""


def retry(connection: Connection, condition: ColumnElement[bool], among: Among, before: int) -> None:
    """Make tasks due now, their attempts kept, their crashes forgotten."""
    now = database_now(connection.dialect.name)
    due = update(PARKED).values(state=ParkedState.WAITING.value, due_at=now, crashes=0)
    connection.execute(due.where(condition))


def retry_at(rate: float) -> Act:
    """The same, but so many a second: each task is due when its turn comes, in no particular order; one that waits is
    never due later than it was.
    """
    at_once = min(max(1, int(rate * EVENLY_S)), MOST_KEYS)
    began: list[float] = []

    def spread(connection: Connection, condition: ColumnElement[bool], among: Among, before: int) -> None:
        if not began:
            began.append(float(connection.execute(select(database_now(connection.dialect.name))).scalar_one()))
        keys = list(connection.execute(select(PARKED.c.id).where(condition).order_by(PARKED.c.id)).scalars())
        for start in range(0, len(keys), at_once):
            turn = began[0] + (before + start) / rate
            is_sooner = (PARKED.c.state == ParkedState.WAITING.value) & (PARKED.c.due_at < turn)
            due_at = case((is_sooner, PARKED.c.due_at), else_=turn)
            due = update(PARKED).values(state=ParkedState.WAITING.value, due_at=due_at, crashes=0)
            connection.execute(due.where(PARKED.c.id.in_(keys[start : start + at_once])))

    return spread


def discard(connection: Connection, condition: ColumnElement[bool], among: Among, before: int) -> None:
    """Delete tasks for good."""
    with_parts = select(PARKED.c.id).where(condition, PARKED.c.parts > 0)
    connection.execute(delete(PARTS).where(among(PARTS.c.id), PARTS.c.id.in_(with_parts)))
    connection.execute(delete(PARKED).where(condition))


def in_steps(transact: Transact, act: Act, chosen: ParkedFilter, keys: Sequence[str] | None) -> Iterator[Changed]:
    """Do it to the chosen tasks of these keys that are dead or waiting, in one transaction; with None to all chosen,
    in several.
    """
    change, before = _Change(act, chosen), 0

    def step(after: str, rows: int) -> tuple[Changed, str | None]:
        nonlocal before
        ended: tuple[Changed, str | None] = transact(partial(change.step, after=after, rows=rows, before=before))
        before += sum(ended[0].values())
        return ended

    if keys is None:
        yield from walk(step)
    else:
        yield transact(partial(change.among, among=partial(_one_of, keys=keys), before=0))[0]


@dataclass(frozen=True, slots=True)
class _Change:
    """What is done to the chosen tasks. before: how many others had it done to them."""

    act: Act
    chosen: ParkedFilter

    def step(self, connection: Connection, *, after: str, rows: int, before: int) -> tuple[Changed, str | None]:
        """Do it among the next so many rows behind a key; and the last of these, None where nothing is behind them."""
        following = select(PARKED.c.id).where(PARKED.c.id > after).order_by(PARKED.c.id)
        last = connection.execute(following.offset(rows - 1).limit(1)).scalar()
        ends = [] if last is None else [last]
        changed, stopped_at = self.among(connection, partial(_between, after=after, ends=ends), before)
        return changed, last if stopped_at is None else stopped_at

    def among(self, connection: Connection, among: Among, before: int) -> tuple[Changed, str | None]:
        """Do it; and the key behind which records were not looked into, since there were too many for a transaction."""
        if self.chosen.where is None:
            return self._done(connection, among, before), None
        condition = _decidable(connection, self.chosen, among)
        rows = connection.execute(select(PARKED.c.id, PARKED.c.size_bytes).where(condition).order_by(PARKED.c.id))
        candidates = [(row.id, row.size_bytes) for row in rows]
        found, looked = looked_into(connection, candidates, self.chosen.where)
        changed: Counter[str] = Counter()
        for some in in_chunks(found):
            changed.update(self._done(connection, partial(_one_of, keys=some), before + changed.total()))
        return dict(changed), candidates[looked - 1][0] if looked < len(candidates) else None

    def _done(self, connection: Connection, among: Among, before: int) -> Changed:
        condition = _decidable(connection, self.chosen, among)
        query = select(PARKED.c.consumer, func.count().label("tasks")).where(condition).group_by(PARKED.c.consumer)
        changed = {row.consumer: row.tasks for row in connection.execute(query)}
        if changed:
            self.act(connection, condition, among, before)
        return changed


def _between(key: ColumnElement[str], after: str, ends: Sequence[str]) -> ColumnElement[bool]:
    return and_(key > after, *(key <= end for end in ends))


def _one_of(key: ColumnElement[str], keys: Sequence[str]) -> ColumnElement[bool]:
    return key.in_(keys)


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
