"""The source that claims rows of a table. Runs in workers and the foreground.

What was handled is settled in the transaction that claims the next batch: one commit a batch, one wait for the disk.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import TypeVar, cast

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from consumerd import events
from consumerd.database.causes import is_locked, words_of
from consumerd.database.claims import Lease
from consumerd.database.database import Database
from consumerd.errors import SourceAwayError, SourceRefusedError
from consumerd.model.task import Task, TaskId
from consumerd.sources.abilities import RENEWED_AFTER, TRUSTED_FOR, RowNow
from consumerd.sources.contract import Batch, Settlement, ShardLag, SourceContext
from consumerd.sources.decoding import decode_json
from consumerd.sources.records import decode_record
from consumerd.sources.table import TRAITS
from consumerd.sources.table.batch import TableBatch
from consumerd.sources.table.bell import Bell
from consumerd.sources.table.claiming import Claiming
from consumerd.sources.table.lag import TableLag
from consumerd.sources.table.listening import Listening
from consumerd.sources.table.opening import Opening, away_while
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.parked import ParkedRows
from consumerd.sources.table.retention import Upkeep
from consumerd.sources.table.rounds import Rounds
from consumerd.sources.table.settling import Settling
from consumerd.sources.table.shape import UNKNOWN, find_shape
from consumerd.sources.table.side.intake import Intake, Sweep
from consumerd.sources.table.side.tables import SideTable
from consumerd.sources.table.statements import Statements
from consumerd.sources.table.transactions import RowTransactions

ResultT = TypeVar("ResultT")

CLOSING_WAIT_S = 1.0
UPKEEP_EVERY_S = 10.0


class TableSource:
    """Claims, settles, renews. `tick` and `lag` have a connection of their own; `_turn` keeps them apart.

    The loop's thread has two on a server: for transactions, and for what is one statement.
    """

    traits = TRAITS
    has_answered = True

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._opening: Opening | None = None
        self._shape = UNKNOWN
        self._live: list[TableBatch] = []
        self._numbers = itertools.count(1)
        self._upkeep_at = 0.0

    # The loop's thread

    def open(self, context: SourceContext) -> None:
        self._context = context
        self._options = cast("TableOptions", context.options)
        self._own_tokens = f"{context.lease_owner}/" if context.member is None else f"{context.member}#"
        if self._opening is None:  # once a process, however often it opens
            self._opening = Opening(self._options)
            self._bell = Bell(self._options, context.member and context.member.rpartition(".")[0])
            self._listening = Listening(self._options, context, self._opening, self._bell)
            self._settling = Settling(context)
        self._shape = UNKNOWN
        self._database = self._opening.database(self._make_ready)
        self._keepers = self._opening.quick_database()
        self._quick = self._opening.quick_database() if self._options.is_server else self._database
        self._rounds = Rounds(self._options, context, self._database, self._quick, self._bell)
        self._transactions = RowTransactions(
            context, self._settling, lambda: self._live, self.keeps, self._opening.lock
        )
        self._database.read(lambda connection: None)

    def fetch(self, limit: int, timeout_s: float) -> Batch | None:
        deadline = self._context.clock.monotonic() + timeout_s
        outstanding = self.unsettled() if limit <= 0 else 0
        while True:
            batch = self._claim(min(limit, self._options.batch_size))
            left_s = deadline - self._context.clock.monotonic()
            if batch is not None or left_s <= 0 or self.unsettled() < outstanding:
                return batch  # of what was outstanding, some is settled: there may be room again
            if not self._rounds.wait(left_s, is_full=limit <= 0):
                return None  # an interrupt: the loop wants to look at it

    def look_now(self) -> None:
        self._rounds.begin()

    def settle(self, settlements: Sequence[Settlement], *, is_due: bool) -> None:
        for settlement in settlements:
            self._settling.note(settlement)
        if is_due:
            self._settle_now()

    def finish_parked(self, task_id: TaskId) -> None:
        self._transactions.forget(task_id)
        self._settling.note_resolved(self._parked.keys_of(task_id))
        self._settle_now()

    def parked_rows(self, ids: Sequence[TaskId]) -> Mapping[TaskId, RowNow]:
        return self._database.read(lambda connection: self._parked.look(connection, ids))

    def due_between(self, batch: Batch) -> tuple[float, float] | None:
        return cast("TableBatch", batch).due_between

    def transaction(self, task: Task) -> AbstractContextManager[Connection]:
        return self._transactions.of(task, self._parked.keys_of)

    def is_settled(self, task: Task) -> bool:
        return self._transactions.have_settled(task)

    def unsettled(self) -> int:
        """What is kept aside counts: all of it comes again when this worker ends."""
        return sum(batch.unsettled for batch in self._live)

    def keeps(self, batch: Batch) -> bool:
        claimed = cast("TableBatch", batch)
        age = self._context.clock.monotonic() - claimed.leased_at
        claimed.is_lost |= age >= self._options.lease * TRUSTED_FOR  # for good: what the loop forgot is not renewed
        return not claimed.is_lost

    def settles(self, batch: Batch) -> bool:
        return not cast("TableBatch", batch).is_lost

    def drop(self, batch: Batch, start: int, stop: int) -> None:
        """Nothing is to be done: all that is left of a lost batch goes back once the loop has left it."""

    def decode(self, payload: bytes) -> object:
        return decode_record(payload) if self._shape.names else decode_json(payload)

    def release(self, batch: Batch, not_begun: Sequence[int]) -> None:
        claimed = cast("TableBatch", batch)
        claimed.is_left = True
        if not_begun:
            self._settling.note_free(claimed, not_begun)
            self._settle_now()
            self._claiming.begin_anew()

    def close(self, deadline: float) -> None:
        try:
            self._settle_now()
            self._settling.refused.forget(self._live)
            self._live.clear()
            self._database.write(self._give_back)
        except (SourceAwayError, SourceRefusedError) as error:
            self._context.emit(events.release_failed(error=str(error), then="the lease runs out"))
        for each in (self._listening, self._bell, self._database, self._quick):
            each.close()
        wait_s = min(CLOSING_WAIT_S, max(0.0, deadline - self._context.clock.monotonic()))
        if self._turn.acquire(timeout=wait_s):
            self._keepers.close()
            self._turn.release()

    # The keeper's thread

    def tick(self) -> None:
        """Renew what is claimed, once a third of the lease is over."""
        if self._context.member is None and self._context.clock.monotonic() >= self._upkeep_at:
            self._upkeep_at = self._context.clock.monotonic() + UPKEEP_EVERY_S
            self._upkeep.go(self._keepers)  # nobody measures the lag of whoever runs alone
        with self._turn:
            now = self._context.clock.monotonic()
            oldest = min((batch.leased_at for batch in self._live), default=now)
            if now - oldest < self._options.lease * RENEWED_AFTER:
                return
            try:
                self._keepers.write(lambda connection: self._renew(connection, now))
            finally:
                if not all(map(self.keeps, self._live)):
                    self._context.worker.interrupt()

    def listen(self, *, is_wanted: bool) -> None:
        self._listening.be(is_wanted, lambda connection: self._is_due(connection))

    def lag(self) -> tuple[ShardLag, ...]:
        measured = self._keepers.read(self._lag.measure)
        self._upkeep.go(self._keepers)
        return (measured,)

    # Steps

    def _claim(self, limit: int) -> TableBatch | None:
        """Settle what is noted and claim, in one transaction; nothing is written where there is neither."""
        self._drop_lost()
        if limit <= 0:
            self._settle_noted()
            return None
        was_idle = self._rounds.is_idle
        if was_idle and not self._rounds.find(self._claiming.is_due):
            return None  # what is noted is settled when that is due, or with the next claim
        with self._turn:
            started = self._context.clock.monotonic()
            batch = self._settle(lambda connection: self._claiming.take(connection, limit))
            if batch is not None:
                batch.leased_at = started
                self._live.append(batch)
        self._rounds.note(has_found=batch is not None)
        if batch is not None and was_idle and len(batch.raws) == limit:
            self._context.emit(events.work_found(tasks=limit))
        return batch

    def _settle_now(self) -> None:
        """Write what is noted. Where that fails it stays noted, and the next fetch says that the source is away."""
        try:
            self._settle_noted()
        except SourceAwayError as error:
            if (unsettled := self.unsettled()) or self._settling.marks_parked:  # else what is noted was lost
                self._context.emit(events.settling_failed(error=str(error), unsettled=unsettled))

    def _settle_noted(self) -> None:
        if self._settling.is_empty:
            return
        with self._turn:
            self._settle(lambda connection: None, self._quick if self._settling.is_one_statement else None)

    def _settle(self, step: Callable[[Connection], ResultT], database: Database | None = None) -> ResultT:
        """Write what is noted, and run `step`, in one transaction."""
        result = self._settling.write(database or self._database, step)
        self._forget_settled()
        return result

    def _forget_settled(self) -> None:
        self._live = [batch for batch in self._live if batch.unsettled > 0 or batch.is_lost]

    def _drop_lost(self) -> None:
        """What is still ours of batches that were lost goes back, once the loop has left them: till then tasks run."""
        self._forget_settled()
        lost = [batch for batch in self._live if batch.is_lost and batch.is_left]
        if not lost:
            return
        self._settle_now()
        with self._turn:
            self._settling.refused.forget(lost)
            self._live = [batch for batch in self._live if batch not in lost]
            self._database.write(self._give_back)

    def _renew(self, connection: Connection, now: float) -> None:
        for batch in self._live:
            lease = Lease(batch.token, self._options.lease)
            renewed = self._claims.renew_among(connection, lease, batch.keys(0, len(batch.raws)))
            batch.is_lost = batch.is_lost or renewed < batch.unsettled - len(batch.apart)
            if not batch.is_lost:
                batch.leased_at = now

    def _make_ready(self, connection: Connection) -> None:
        """Look at the table as it is now: it may have been made anew since it was opened before.

        What this slot's earlier processes had claimed, or a broken transaction, is claimed before all others.
        """
        with away_while(is_in_use=bool(self._live)):
            shape = find_shape(connection, self._options, cast("Opening", self._opening).place)
        if shape != self._shape:
            self._shape = shape
            sql = Statements(self._options, shape, None if self._options.is_server else self._context.clock.wall)
            self._sql, self._claims = sql, sql.claims
            side = SideTable(self._options, sql.claims, shape.dialect) if self._options.is_beside else None
            sweep = None if side is None else Sweep(side, self._context.clock.monotonic)
            self._upkeep = Upkeep(self._context, self._options, sql, sweep)
            self._is_due = sql.claims.is_due if side is None else Intake(side, self._context.clock.monotonic).is_due
            self._parked = ParkedRows(self._options, shape, sql.claims, side)
            self._claiming = Claiming(self._context, shape, sql.claims, side, self._numbers)
            self._lag = TableLag(self._options, shape, sql)
            self._settling.sql = sql
        self._unless_locked(connection, self._claims.end)

    def _give_back(self, connection: Connection) -> None:
        """Free what is left of this worker's claims, but for those in hand."""
        self._unless_locked(connection, self._claims.release)

    def _unless_locked(self, connection: Connection, give_up: Callable[[Connection, str, Sequence[str]], int]) -> None:
        """Give up this slot's claims, but for those in hand. Where others have locked a row, the leases run out."""
        tokens = [batch.token for batch in self._live]
        if not self._options.is_server:
            give_up(connection, self._own_tokens, tokens)
            return
        try:
            with connection.begin_nested():
                give_up(connection, self._own_tokens, tokens)
        except DBAPIError as error:
            if not is_locked(error):
                raise
            self._context.emit(events.release_failed(error=words_of(error), then="the lease runs out"))
