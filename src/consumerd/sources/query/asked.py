"""What people ask of a query: whether it gives a row now, and which rows come next. Runs in probes.

The user's `get_next_batch` is called for it, unless it claims what it returns: nobody would handle those rows.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any

from consumerd.errors import ConsumerdError, QueryFailedError, UsageError
from consumerd.model.failure import one_line
from consumerd.model.task import TaskId
from consumerd.sources.askable import AskContext, Message, TaskState, Upcoming, Whereabouts
from consumerd.sources.query.content import copy_of, digest_of
from consumerd.sources.query.reading import rows_in

MOST_READ = 100_000
"""An answer may be an iterator without an end."""


class AskedQuery:
    """One query, asked by an instance of its class that has all of the keys."""

    def __init__(self, context: AskContext) -> None:
        self._context = context

    def where(self, task: str) -> Whereabouts:
        """By what the query gives now. What it does not give, nobody but the user's own tables can tell of."""
        task_id = TaskId(task if task.startswith(f"{self._context.name}:") else f"{self._context.name}:{task}")
        if why := self._refusal():
            return Whereabouts(TaskState.UNKNOWN, f"it is not parked, and the query was not asked: {why}", (task_id,))
        read = 0
        for read, (found, _) in enumerate(self._rows(), 1):
            if found == task_id:
                told = f"get_next_batch gives it now, as row {read} of what it returns"
                return Whereabouts(TaskState.PENDING, told, (task_id,), {"before": read - 1})
        told = (
            f"it is not parked, and not among the {read} rows that get_next_batch gives now: it is done, or is marked "
            "otherwise, or its LIMIT leaves it for later; your own table tells which"
        )
        return Whereabouts(TaskState.UNKNOWN, told, (task_id,), {"rows": read})

    def peek(self, limit: int) -> Sequence[Upcoming]:
        """The first rows that it gives now, of all workers."""
        if why := self._refusal():
            raise UsageError(f"the query of {self._context.name} is not asked: {why}")
        start = f"{self._context.name}:"
        rows = islice(self._rows(), limit)
        return [Upcoming(found.removeprefix(start), found, copy_of(record)) for found, record in rows]

    def send(self, messages: Sequence[Message]) -> Sequence[str | None]:
        """A query reads what its user's own programs write."""
        raise UsageError(
            f"{self._context.name} takes its tasks from get_next_batch, and only you know what makes it return one: "
            "insert the row into your own table"
        )

    def _refusal(self) -> str:
        """Why the query is not called; empty where it may be."""
        claims = self._context.options.claims
        if claims:
            return "with `claims = true` it takes the rows that it returns, and nobody would handle them"
        if claims is None and not self._context.may_call:
            return (
                "nobody has said whether get_next_batch claims the rows that it returns: set `claims = false` where it "
                "only reads, or call it now all the same with --call"
            )
        return ""

    def _rows(self) -> Iterator[tuple[TaskId, object]]:
        """The ids and records of the rows that the query gives. QueryFailedError where the user's code raises."""
        with self._context.consumer() as consumer:
            try:
                for record in islice(rows_in(consumer.get_next_batch()), MOST_READ):
                    yield self._named(consumer, record), record
            except ConsumerdError:
                raise
            except Exception as error:
                raise QueryFailedError(f"get_next_batch, or task_id, raised {one_line(error)}") from error

    def _named(self, consumer: Any, record: object) -> TaskId:  # the user's class, known by its hooks
        name = consumer.task_id(record)
        return TaskId(f"{self._context.name}:{name if name is not None else f'~{digest_of(record)}'}")
