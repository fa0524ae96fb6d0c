"""The source that claims rows of a SQLite table. Runs in workers and the foreground.

What was handled is settled in the transaction that claims the next batch: one commit a batch, one wait for the disk.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar, cast

from sqlalchemy import Connection

from consumerd import events
from consumerd.database.claims import ClaimedRow, Lease
from consumerd.database.embedded import EmbeddedDatabase, EmbeddedFile
from consumerd.database.lock import FileLock
from consumerd.errors import SourceAwayError, SourceRefusedError
from consumerd.model.task import TaskId
from consumerd.sources.contract import Batch, Settlement, ShardLag, SourceContext
from consumerd.sources.decoding import decode_json, limited, quick_decode
from consumerd.sources.table import TRAITS
from consumerd.sources.table.batch import TableBatch
from consumerd.sources.table.lag import TableLag
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.schema import check_table
from consumerd.sources.table.settling import Settled, Settling
from consumerd.sources.table.statements import Statements

ResultT = TypeVar("ResultT")

FIRST_PAUSE_S = 0.01
LONGEST_PAUSE_S = 0.1
RENEWED_AFTER = 1 / 3
"""The part of a lease after which it is renewed."""
TRUSTED_FOR = 0.8
"""The part of a lease after which no task is started any more."""
CLOSING_WAIT_S = 1.0


class TableSource:
    """Claims, settles, renews. `tick` and `lag` have a connection of their own; `_turn` keeps them apart."""

    traits = TRAITS
    has_answered = True

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._lock: FileLock | None = None
        self._live: list[TableBatch] = []
        self._noted: list[Settled] = []
        self._claim_number = 0
        self._is_busy = True
        self._had_retries = False

    # The loop's thread

    def open(self, context: SourceContext) -> None:
        self._context = context
        self._options = cast("TableOptions", context.options)
        self._sql = Statements(self._options, context.clock.wall)
        self._claims = self._sql.claims
        self._lag = TableLag(self._options.table, self._sql)
        self._settling = Settling(self._sql, context, self._noted)
        self._own_tokens = f"{context.lease_owner}/" if context.member is None else f"{context.member}#"
        if not self._options.path.exists():
            raise SourceRefusedError(f"there is no database {self._options.path}: make it, or correct `database`")
        self._lock = self._lock or FileLock(self._options.lock_path)  # the one of this process, however often it opens
        own = EmbeddedFile(self._options.path, prepare=self._make_ready)
        self._database = EmbeddedDatabase(own, self._lock, self._away)
        self._keepers = EmbeddedDatabase(EmbeddedFile(self._options.path), self._lock, self._away)
        self._database.read(lambda connection: None)

    def fetch(self, limit: int, timeout_s: float) -> Batch | None:
        clock = self._context.clock
        deadline = clock.monotonic() + timeout_s
        pause = FIRST_PAUSE_S
        while True:
            batch = self._claim(min(limit, self._options.batch_size))
            left = deadline - clock.monotonic()
            if batch is not None or left <= 0:
                return batch
            asleep_since = clock.monotonic()
            self._context.worker.wait(min(pause, left))
            if clock.monotonic() - asleep_since < min(pause, left) / 2:
                return None  # an interrupt: the loop wants to look at it
            pause = min(pause * 2, LONGEST_PAUSE_S)

    def settle(self, settlements: Sequence[Settlement], *, is_due: bool) -> None:
        for settlement in settlements:
            self._settling.note(settlement)
        if is_due:
            self._settle_now()

    def finish_parked(self, task_id: TaskId) -> None:
        self._settling.note_resolved(task_id.removeprefix(f"{self._options.table}:"))
        self._settle_now()

    def unsettled(self) -> int:
        return sum(batch.unsettled for batch in self._live)

    def keeps(self, batch: Batch) -> bool:
        claimed = cast("TableBatch", batch)
        age = self._context.clock.monotonic() - claimed.leased_at
        if age >= self._options.lease * TRUSTED_FOR:
            claimed.is_lost = True  # for good: what the loop has forgotten of it must not be renewed
        return not claimed.is_lost

    def settles(self, batch: Batch) -> bool:
        return not cast("TableBatch", batch).is_lost

    def decode(self, payload: bytes) -> object:
        return decode_json(payload)

    def release(self, batch: Batch, start: int) -> None:
        claimed = cast("TableBatch", batch)
        if start == len(claimed.raws):
            return
        self._settling.note_free(claimed, start)
        self._settle_now()

    def close(self, deadline: float) -> None:
        self._settle_now()
        self._live.clear()
        wait_s = min(CLOSING_WAIT_S, max(0.0, deadline - self._context.clock.monotonic()))
        try:
            self._database.write(self._give_back)
        except SourceAwayError as error:
            self._context.emit(events.release_failed(error=str(error), then="the lease runs out"))
        self._database.close()
        if self._turn.acquire(timeout=wait_s):
            self._keepers.close()
            self._turn.release()

    # The keeper's thread

    def tick(self) -> None:
        """Renew what is claimed, once a third of the lease is over."""
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

    def lag(self) -> tuple[ShardLag, ...]:
        return (self._keepers.read(lambda connection: self._lag.measure(connection, self._context.clock.wall())),)

    # Steps

    def _claim(self, limit: int) -> TableBatch | None:
        """Settle what is noted and claim, in one transaction; nothing is written where there is neither."""
        self._drop_lost()
        if limit <= 0:
            self._settle_now()
            return None
        if self._settling.is_empty and not self._is_busy and not self._database.read(self._claims.is_due):
            return None
        with self._turn:
            started = self._context.clock.monotonic()
            batch = self._settle(lambda connection: self._take(connection, limit))
            self._is_busy = batch is not None
            if batch is not None:
                batch.leased_at = started
                self._live.append(batch)
        return batch

    def _take(self, connection: Connection, limit: int) -> TableBatch | None:
        self._claim_number += 1
        lease = Lease(f"{self._context.lease_owner}/{self._claim_number}", self._options.lease)
        rows: Sequence[ClaimedRow] = []
        if self._had_retries:  # now it is the turn of those that were never tried
            rows = self._claims.claim(connection, lease, limit, is_untried=True)
            self._had_retries = False
        if not rows:
            rows = self._claims.claim(connection, lease, limit)
            self._had_retries = any(attempts for *_, attempts, _ in rows)
        if not rows:
            return None
        ids, payloads, attempts, firsts = zip(*rows, strict=True)
        raws = list(zip(range(len(rows)), ids, payloads, attempts, firsts, strict=True))
        limit_bytes = self._context.payload_limit_bytes
        is_small = max(map(len, payloads)) <= limit_bytes
        decode = quick_decode if is_small else limited(quick_decode, limit_bytes)
        return TableBatch(self._options.table, lease.owner, raws, decode)

    def _settle_now(self) -> None:
        """Write what is noted. Where that fails it stays noted, and the next fetch says that the source is away."""
        if self._settling.is_empty:
            return
        with self._turn:
            try:
                self._settle(lambda connection: None)
            except SourceAwayError as error:
                self._context.emit(events.settling_failed(error=str(error), unsettled=self.unsettled()))

    def _settle(self, step: Callable[[Connection], ResultT]) -> ResultT:
        """Write what is noted, and run `step`, in one transaction."""
        result = self._settling.write(self._database, step)
        self._live = [batch for batch in self._live if batch.unsettled > 0]
        return result

    def _drop_lost(self) -> None:
        """The loop has left the batches that were lost: what is still ours of them goes back."""
        if not any(batch.is_lost for batch in self._live):
            return
        self._settle_now()
        with self._turn:
            self._live = [batch for batch in self._live if not batch.is_lost]
            self._database.write(self._give_back)

    def _renew(self, connection: Connection, now: float) -> None:
        for batch in self._live:
            renewed = self._claims.renew(connection, Lease(batch.token, self._options.lease))
            batch.is_lost = batch.is_lost or renewed < batch.unsettled
            if not batch.is_lost:
                batch.leased_at = now

    def _make_ready(self, connection: Connection) -> None:
        check_table(connection, self._options)
        self._give_back(connection)

    def _give_back(self, connection: Connection) -> None:
        """Free what this slot's earlier processes had claimed, and what a broken transaction left behind."""
        self._claims.release(connection, self._own_tokens, [batch.token for batch in self._live])

    def _away(self, cause: str) -> SourceAwayError:
        return SourceAwayError(f"the database {self._options.path} is away: {cause}")
