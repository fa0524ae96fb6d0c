"""The transactions in which handlers of a query write, and in which its rows are marked. Runs in workers.

Who marks a row is its handler, or the hook `mark_done` at the end. It is the fence where it says that it found no row
to mark: then somebody else has done the task, and all is rolled back.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from functools import partial
from pathlib import Path

from sqlalchemy import URL, Connection

from consumerd import events
from consumerd.database.lock import FileLock
from consumerd.errors import CommitUnknownError, TaskLostError
from consumerd.model.contract import is_overridden
from consumerd.model.task import Task
from consumerd.sources.contract import SourceContext
from consumerd.sources.query.batch import QueryBatch, Row
from consumerd.sources.transactions import Transactions


class RowTransactions:
    """Of the rows that one worker has in hand. The loop's thread calls it."""

    def __init__(self, context: SourceContext) -> None:
        self._context = context
        self._marks = is_overridden(type(context.consumer), "mark_done")
        self._transactions = Transactions(context.engine, _lock_of(context.engine().url))

    @contextmanager
    def of(self, batch: QueryBatch, task: Task) -> Iterator[Connection]:
        """For the handler of this task of the batch."""
        row = next(row for row in batch.raws if row.offset == task.offset)
        if row.offset in batch.ended:
            raise RuntimeError("the task has ended with its first self.transaction(): write all in that one")
        try:
            settle = partial(self._mark, row)
            with self._transactions.begin(settle) as connection:
                yield connection
        except TaskLostError as error:
            batch.ended[row.offset] = True
            self._context.emit(events.lease_lost(task=row.id, then=str(error)))
            raise
        except CommitUnknownError as error:
            batch.ended[row.offset] = False
            advice = "its row tells: the query gives it again if it is not done"
            self._context.emit(events.settling_failed(error=f"{row.id}: {error}; {advice}", unsettled=1))
            raise
        batch.ended[row.offset] = True

    def _mark(self, row: Row, connection: Connection) -> None:
        if not self._marks:
            return
        marked: object = self._context.consumer.mark_done(row.record, connection)
        if isinstance(marked, int) and not marked:
            raise TaskLostError("mark_done found no row to mark: somebody else has; what its handler wrote is undone")


def _lock_of(url: URL) -> FileLock | None:
    """By which the writers of a SQLite file stand in a line, as those of a claimed table do."""
    if url.get_backend_name() != "sqlite" or url.database in (None, "", ":memory:"):
        return None
    file = Path(str(url.database)).absolute()
    return FileLock(file.with_name(f"{file.name}.lock"))
