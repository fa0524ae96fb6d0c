"""What became of a table's rows and is not written yet. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import repeat
from typing import TypeVar, cast

from sqlalchemy import Connection

from consumerd import events
from consumerd.database.database import Database
from consumerd.database.sql import Statement
from consumerd.model.outcome import Dead, Done, Expired, Retry, Skipped
from consumerd.sources.contract import Settlement, SourceContext
from consumerd.sources.identities import values_of
from consumerd.sources.table.batch import TableBatch
from consumerd.sources.table.statements import Statements

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Settled:
    """Rows to be written with one statement: of one batch, or, with None, of no claim."""

    batch: TableBatch | None
    statement: Statement
    rows: list[tuple[object, ...]]


class Settling:
    """Notes outcomes, and writes them together. The loop's thread alone calls it."""

    def __init__(self, sql: Statements, context: SourceContext, noted: list[Settled]) -> None:
        """noted: what the same source has noted before it was opened anew."""
        self._sql = sql
        self._context = context
        self._noted = noted
        self._is_doubtful = False

    @property
    def is_empty(self) -> bool:
        """Whether nothing is noted."""
        return not self._noted

    def note(self, settlement: Settlement) -> None:
        """Rows had this outcome."""
        batch = cast("TableBatch", settlement.batch)
        start, stop = settlement.start, settlement.stop
        match settlement.outcome:
            case Done():
                self._note(batch, start, stop, self._sql.done)
            case Dead() | Expired() | Skipped():
                self._note(batch, start, stop, self._sql.dead)
            case Retry(after=after):
                task = settlement.task or batch.task(start)
                first = task.first_at or self._context.clock.wall()
                self._note(batch, start, stop, self._sql.defer, after=after, attempts=task.attempts, first=first)

    def note_free(self, batch: TableBatch, start: int) -> None:
        """The rows from `start` on were never started: anybody may have them."""
        self._note(batch, start, len(batch.raws), self._sql.claims.free)

    def note_resolved(self, row_id: str) -> None:
        """A dead row, by its id as text, is done after all."""
        text, number, content = values_of(row_id)
        rows = self._sql.resolve.rows(now=[self._context.clock.wall()], text=[text], number=[number], content=[content])
        self._noted.append(Settled(None, self._sql.resolve, rows))

    def write(self, database: Database, step: Callable[[Connection], ResultT]) -> ResultT:
        """Run `step` in the transaction that writes all that is noted, which is forgotten when that is committed."""

        def settled(connection: Connection) -> ResultT:
            self._write(connection)
            return step(connection)

        try:
            result = database.write(settled)
        except BaseException:
            self._is_doubtful = True
            raise
        for each in self._noted:
            if each.batch is not None:
                each.batch.unsettled -= len(each.rows)
        self._noted.clear()
        self._is_doubtful = False
        return result

    def _note(self, batch: TableBatch, start: int, stop: int, statement: Statement, **values: object) -> None:
        same = {"now": self._context.clock.wall(), "token": batch.token, **values}
        columns = {name: repeat(value) for name, value in same.items()}
        self._noted.append(Settled(batch, statement, statement.rows(key=batch.keys(start, stop), **columns)))

    def _write(self, connection: Connection) -> None:
        """Write all, and tell of rows that were not ours any more, unless an earlier try may have written them."""
        missing, others = 0, 0
        for each in self._noted:
            written = self._sql.claims.settle(connection, each.statement, each.rows)
            if each.batch is not None and written < len(each.rows):
                missing += len(each.rows) - written
                key = each.statement.names.index("key")
                others += sum(self._sql.claims.is_claimed(connection, row[key]) for row in each.rows)
        if missing and not self._is_doubtful:
            self._context.emit(events.lease_lost(tasks=missing, then=_fate(missing, others)))


def _fate(missing: int, others: int) -> str:
    """What became of rows that are ours no more, so many of which others have claimed."""
    if others >= missing:
        return "another worker has them by now"
    gone = "they were done by another worker, changed or deleted meanwhile"
    return f"another worker has {others} of them by now; of the rest: {gone}" if others else gone
