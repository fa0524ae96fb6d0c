"""What became of a table's rows and is not written yet. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from sqlalchemy import Connection

from consumerd import events
from consumerd.database.causes import is_refusal, remedied
from consumerd.database.claims import MOST_KEYS, Steps
from consumerd.database.database import Database
from consumerd.errors import SourceAwayError
from consumerd.model.outcome import Dead, Done, Expired, Retry, Skipped
from consumerd.model.runs import runs
from consumerd.sources.contract import Settlement, SourceContext
from consumerd.sources.table.batch import TableBatch, key_text
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.settled import Refused, Settled
from consumerd.sources.table.statements import MOST_ATTEMPTS, Statements

ResultT = TypeVar("ResultT")


class Settling:
    """Notes outcomes, and writes them together. The loop's thread alone calls it.

    What the database refuses for what it says, such as a row that others refer to and that is to be deleted, holds
    nothing else up: it is told, kept aside, and tried again by itself.

    sql: of the table as it was found last.
    refused: what the database refuses.
    """

    sql: Statements

    def __init__(self, context: SourceContext) -> None:
        self._context = context
        self._noted: list[Settled] = []
        self.refused = Refused(context.clock.monotonic)
        self._is_doubtful = self._is_stalled = False

    @property
    def is_one_statement(self) -> bool:
        """Whether all that is noted is written by one statement, which needs no transaction."""
        is_one = len(self._noted) == 1 and isinstance(self._noted[0].settlement, str)
        return is_one and len(self._noted[0].keys) <= MOST_KEYS

    @property
    def is_empty(self) -> bool:
        """Whether nothing is to be written now."""
        return not self._noted and not self.refused.is_due

    @property
    def marks_parked(self) -> bool:
        """Whether a dead row is to be marked as done after all, which nobody has claimed."""
        return any(each.batch is None for each in self._noted)

    def note(self, settlement: Settlement) -> None:
        """Rows had this outcome."""
        batch = cast("TableBatch", settlement.batch)
        start, stop = settlement.start, settlement.stop
        match settlement.outcome:
            case Done():
                self._note(batch, start, stop, self.sql.done)
            case Dead() | Expired() | Skipped():
                self._note(batch, start, stop, self.sql.dead)
            case Retry(after=after):
                task = settlement.task or batch.task(start)
                age_s = 0.0 if task.first_at is None else self._context.clock.wall() - task.first_at
                attempts = min(task.attempts, MOST_ATTEMPTS)
                self._note(batch, start, stop, self.sql.defer, after=after, attempts=attempts, age=age_s)

    def note_free(self, batch: TableBatch, indexes: Sequence[int]) -> None:
        """The rows at these indexes were never begun: anybody may have them."""
        for start, stop in runs(indexes):
            if batch.due_between is None:
                self._note(batch, start, stop, self.sql.claims.free)
            else:
                self._note(batch, start, stop, self.sql.free, since=batch.due_between[0])

    def note_resolved(self, keys: Sequence[object]) -> None:
        """A dead row is done after all; its key is one of these."""
        if keys:
            self._noted.append(Settled(None, self.sql.resolve, keys, {}))

    def settle_done(self, connection: Connection, batch: TableBatch, index: int) -> bool:
        """Within a handler's transaction, its row is done; whether it still was this worker's."""
        keys = batch.keys(index, index + 1)
        return self.sql.claims.settle(connection, self.sql.done, keys, batch.token) == 1

    def resolve(self, connection: Connection, keys: Sequence[object]) -> bool:
        """Within a handler's transaction, a dead row is done after all; whether it still was dead."""
        return self.sql.claims.change(connection, self.sql.resolve, keys) > 0

    def write(self, database: Database, step: Callable[[Connection], ResultT]) -> ResultT:
        """Run `step` in the transaction that writes all that is noted, which is forgotten when that is committed."""
        self.refused.try_again(lambda settled: self._is_taken(database, settled))
        if self._is_stalled and not self.refused.are_lasting:
            self._is_stalled = False
            self._context.emit(events.settling_went_on())
        try:
            result = self._transact(database, self._noted, step)
        except SourceAwayError as error:
            if not self._noted or not is_refusal(error.__cause__):
                raise
            self._write_apart(database)
            result = self._transact(database, [], step)
        self._noted.clear()
        self._is_doubtful = False
        return result

    def _write_apart(self, database: Database) -> None:
        """Write each by itself, and what is refused of several keys in halves, until what is refused stands alone."""
        while self._noted:
            first = self._noted[0]
            refusal = self._refusal(database, first)
            if refusal is not None and len(first.keys) > 1:
                self._noted[:1] = first.halves()
                continue
            del self._noted[0]
            if refusal is not None:
                self.refused.keep(first)
                error = self._told(first, refusal)
                self._context.emit(events.settling_failed(error=error, unsettled=self.refused.rows))

    def _is_taken(self, database: Database, settled: Settled) -> bool:
        """Whether what was refused before is written now. Where it is not, that stands until nothing is refused."""
        refusal = self._refusal(database, settled)
        if refusal is not None and not self._is_stalled:
            self._is_stalled = True
            self._context.emit(events.settling_stalled(error=self._told(settled, refusal)))
        return refusal is None

    def _refusal(self, database: Database, settled: Settled) -> BaseException | None:
        """Write it by itself: why the database refuses it, or None."""
        try:
            self._transact(database, [settled], lambda connection: None)
        except SourceAwayError as error:
            if not is_refusal(error.__cause__):
                raise
            return error.__cause__
        return None

    def _transact(
        self, database: Database, settled: Sequence[Settled], step: Callable[[Connection], ResultT]
    ) -> ResultT:
        def run(connection: Connection) -> ResultT:
            self._write(connection, settled)
            return step(connection)

        try:
            result = database.write(run)
        except BaseException as error:
            self._is_doubtful = self._is_doubtful or not is_refusal(error.__cause__)
            raise
        for each in settled:
            if each.batch is not None:
                each.batch.unsettled -= len(each.keys)
        return result

    def _told(self, settled: Settled, refusal: BaseException) -> str:
        row = f"{cast('TableOptions', self._context.options).table}:{key_text(settled.keys[0])}"
        return f"the database refuses to settle {row}: {remedied(refusal)}; it is tried again by itself"

    def _note(self, batch: TableBatch, start: int, stop: int, settlement: Steps, **values: object) -> None:
        if keys := batch.keys_to_settle(start, stop):
            self._noted.append(Settled(batch, settlement, keys, values))

    def _write(self, connection: Connection, settled: Sequence[Settled]) -> None:
        """Write these, and tell of rows that were not ours any more, unless an earlier try may have written them."""
        claims = self.sql.claims
        missing, others = 0, 0
        for each in settled:
            if each.batch is None:
                claims.change(connection, each.settlement, each.keys, **each.values)
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
