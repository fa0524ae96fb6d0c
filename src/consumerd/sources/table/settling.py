"""What became of a table's rows and is not written yet. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar, cast

from sqlalchemy import Connection

from consumerd import events
from consumerd.database.claims import MOST_KEYS
from consumerd.database.database import Database
from consumerd.model.outcome import Dead, Done, Expired, Retry, Skipped
from consumerd.sources.contract import Settlement, SourceContext
from consumerd.sources.table.batch import TableBatch
from consumerd.sources.table.statements import Statements

ResultT = TypeVar("ResultT")


@dataclass(frozen=True, slots=True)
class Settled:
    """Rows to be settled with one statement.

    batch: whose claim they are of; None for dead rows, which nobody has claimed.
    settlement: as the engine of claims wrote it.
    values: the same for each row.
    """

    batch: TableBatch | None
    settlement: str
    keys: Sequence[object]
    values: Mapping[str, object]


class Settling:
    """Notes outcomes, and writes them together. The loop's thread alone calls it."""

    def __init__(self, sql: Statements, context: SourceContext, noted: list[Settled]) -> None:
        """noted: what the same source has noted before it was opened anew."""
        self._sql = sql
        self._context = context
        self._noted = noted
        self._is_doubtful = False

    @property
    def is_one_statement(self) -> bool:
        """Whether all that is noted is written by one statement, which needs no transaction."""
        return len(self._noted) == 1 and len(self._noted[0].keys) <= MOST_KEYS

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
                age_s = 0.0 if task.first_at is None else self._context.clock.wall() - task.first_at
                self._note(batch, start, stop, self._sql.defer, after=after, attempts=task.attempts, age=age_s)

    def note_free(self, batch: TableBatch, start: int) -> None:
        """The rows from `start` on were never started: anybody may have them."""
        stop = len(batch.raws)
        if batch.due_since is None:
            self._note(batch, start, stop, self._sql.claims.free)
        else:
            self._note(batch, start, stop, self._sql.free, since=batch.due_since)

    def note_resolved(self, keys: Sequence[object]) -> None:
        """A dead row is done after all; its key is one of these."""
        if keys:
            self._noted.append(Settled(None, self._sql.resolve, keys, {}))

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
                each.batch.unsettled -= len(each.keys)
        self._noted.clear()
        self._is_doubtful = False
        return result

    def _note(self, batch: TableBatch, start: int, stop: int, settlement: str, **values: object) -> None:
        self._noted.append(Settled(batch, settlement, batch.keys(start, stop), values))

    def _write(self, connection: Connection) -> None:
        """Write all, and tell of rows that were not ours any more, unless an earlier try may have written them."""
        claims = self._sql.claims
        missing, others = 0, 0
        for each in self._noted:
            if each.batch is None:
                claims.run_for(connection, each.settlement, each.keys, **each.values)
                continue
            written = claims.settle(connection, each.settlement, each.keys, each.batch.token, **each.values)
            if written < len(each.keys):
                missing += len(each.keys) - written
                others += claims.claimed_among(connection, each.keys)
        if missing and not self._is_doubtful:
            self._context.emit(events.lease_lost(tasks=missing, then=_fate(missing, others)))


def _fate(missing: int, others: int) -> str:
    """What became of rows that are ours no more, so many of which others have claimed."""
    if others >= missing:
        return "another worker has them by now"
    gone = "they were done by another worker, changed or deleted meanwhile"
    return f"another worker has {others} of them by now; of the rest: {gone}" if others else gone
