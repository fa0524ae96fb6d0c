"""Deletes rows that have been done for long enough, so that a table does not grow for ever. Runs in workers.

The worker that measures the lag does it, beside that: in steps that hold few locks, for a moment each time.
"""

from __future__ import annotations

from sqlalchemy import Connection

from consumerd import events
from consumerd.database.causes import is_refusal, remedied
from consumerd.database.claims import MOST_KEYS
from consumerd.database.database import Database
from consumerd.errors import SourceAwayError
from consumerd.sources.contract import SourceContext
from consumerd.sources.table.batch import key_text
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.side.intake import Sweep
from consumerd.sources.table.statements import Statements

LONGEST_S = 0.5
"""So long it deletes each time."""
TELLS_EVERY_S = 3600.0
_DELETING, _SWEEPING = "deleting", "sweeping"


class Upkeep:
    """What one worker does for its whole pool. What fails of each step is told, once an hour, and tried again; nothing
    is raised.
    """

    def __init__(self, context: SourceContext, options: TableOptions, sql: Statements, sweep: Sweep | None) -> None:
        self._emit = context.emit
        self._now = context.clock.monotonic
        self._options = options
        self._sql = sql
        self._sweep = sweep
        self._tells_at = {_DELETING: 0.0, _SWEEPING: 0.0}
        self._limit = MOST_KEYS
        self._passed = 0
        self._first = ""

    def go(self, database: Database) -> None:
        """Delete what has been done for long enough, and go through the claims beside a table, for a moment."""
        deletes = {} if self._options.retention is None else {_DELETING: self._delete_old}
        sweeps = {} if self._sweep is None else {_SWEEPING: self._sweep.go}
        for name, step in (deletes | sweeps).items():
            try:
                step(database)
            except SourceAwayError as error:
                self._tell(name, str(error))

    def _delete_old(self, database: Database) -> None:
        """What the database refuses to delete, such as a row that others refer to, is passed by until the next round.

        To find it, fewer rows are deleted at once after each refusal.
        """
        until, is_through = self._now() + LONGEST_S, False
        while not is_through and self._now() < until:
            try:
                is_through = database.write(self._delete_some) < self._limit
            except SourceAwayError as error:
                if error.__cause__ is None or not is_refusal(error.__cause__):
                    raise
                self._narrow(error.__cause__)
            else:
                self._limit = min(2 * self._limit, MOST_KEYS)
        if is_through:
            self._limit, self._passed = MOST_KEYS, 0

    def _delete_some(self, connection: Connection) -> int:
        """Delete the rows that were done first, of those that are not passed by; how many."""
        claims, retention_s = self._sql.claims, self._options.retention
        found = claims.run(connection, self._sql.old, seconds=retention_s, limit=self._limit, passed=self._passed)
        keys = [claims.key_of(row) for row in found.fetchall()]
        if keys:
            self._first = key_text(keys[0])
            claims.change(connection, self._sql.forget, keys)
        return len(keys)

    def _narrow(self, refusal: BaseException) -> None:
        if self._limit > 1:
            self._limit //= 2
            return
        self._passed += 1
        row = f"{self._options.table}:{self._first}"
        self._tell(_DELETING, f"the database refuses to delete {row}, done for long enough: {remedied(refusal)}")

    def _tell(self, name: str, error: str) -> None:
        if self._now() >= self._tells_at[name]:
            self._tells_at[name] = self._now() + TELLS_EVERY_S
            self._emit(events.settling_failed(error=f"{error}; it is tried again by itself", unsettled=0))
