"""Rows of a query that a worker has in hand. Runs in workers and the foreground."""

from __future__ import annotations

import copy
import operator
from collections.abc import Callable, Container, Sequence
from typing import Any, NamedTuple

from consumerd.errors import UndecodableError
from consumerd.model.task import Task, TaskId
from consumerd.sources.identities import one_by_one
from consumerd.sources.query.content import copy_of


class Row(NamedTuple):
    """A row to handle.

    offset: its place in what the query returned.
    attempts, first_at: of those that were made before, where it waited in the parking store.
    is_parked: the parking store has an entry of this very task.
    copy: what is kept of it for people, where that was made before the handler may change it.
    is_kept: it is made of the copy in the parking store, and not given by the query.
    """

    offset: int
    record: object
    id: TaskId
    attempts: int = 0
    first_at: float | None = None
    is_parked: bool = False
    copy: bytes | None = None
    is_kept: bool = False


def as_given(record: object) -> object:
    """The record as the query gave it."""
    if isinstance(record, UndecodableError):
        raise record
    return record


def one_of_each(rows: Sequence[Row], limit: int, in_hand: Container[TaskId]) -> tuple[list[Row], list[Row]]:
    """The first rows to handle, no two of one id, and the rest: there a second one waits until the first is done."""
    taken: dict[TaskId, Row] = {}
    rest = []
    for row in rows:
        if len(taken) < limit and row.id not in taken and row.id not in in_hand:
            taken[row.id] = row
        else:
            rest.append(row)
    return list(taken.values()), rest


def _copied(record: dict[Any, Any]) -> dict[Any, Any]:  # of any columns
    is_nested = any(isinstance(value, dict | list | set) for value in record.values())
    return copy.deepcopy(record) if is_nested else record.copy()


class QueryBatch:
    """Rows with their offsets, of the query's one shard.

    is_given_again: whether the query gives these rows again while they wait, so that no copy need be kept of them.
    ended: rows that ended with a transaction of their handler, by offset; whether it is known how.
    losses: how often the worker had lost what it owned when they were taken; None where no other gets them anyway.
    """

    shard = 0
    offset: Callable[[Row], int] = staticmethod(operator.itemgetter(0))
    payload: Callable[[Row], object] = staticmethod(operator.itemgetter(1))
    decode: Callable[[object], object] = staticmethod(as_given)

    def __init__(self, source: str, rows: Sequence[Row], *, is_given_again: bool, losses: int | None) -> None:
        self.source = source
        self.raws = rows
        self._kept = {row.offset: _copied(row.record) for row in rows if type(row.record) is dict}
        """Of what handlers may change."""
        self._is_given_again = is_given_again
        self.ended: dict[int, bool] = {}
        self._settled: list[range] = []
        self.losses = losses

    def settle(self, start: int, stop: int) -> Sequence[Row]:
        """The rows from `start` to `stop`, which are settled: the query may give them again from now on."""
        self._settled.append(range(start, stop))
        return self.raws[start:stop]

    def has(self, task: Task) -> bool:
        """Whether the task is of this batch, and not settled."""
        return any(
            row.offset == task.offset and row.id == task.id and not any(index in rows for rows in self._settled)
            for index, row in enumerate(self.raws)
        )

    def identities(self) -> bytes:
        """The ids as they are."""
        return one_by_one({row.offset: row.id for row in self.raws})

    def task(self, index: int) -> Task:
        """The task at `index`; its payload is a copy of the row."""
        row = self.raws[index]
        return Task(
            id=row.id,
            offset=row.offset,
            source=self.source,
            shard=self.shard,
            position=row.offset,
            payload=copy_of(self._kept.get(row.offset, row.record)) if row.copy is None else row.copy,
            attempts=row.attempts,
            first_at=row.first_at,
            is_given_again=self._is_given_again,
        )
