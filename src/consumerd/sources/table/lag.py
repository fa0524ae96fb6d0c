"""How far a claimed table is behind, and which of its rows nobody can ever claim. Runs in workers and in probes.

A probe changes nothing: it makes no claim, takes no lock, and leaves no file behind.
"""

from __future__ import annotations

import sqlite3
from urllib.parse import quote

from sqlalchemy import URL, Connection, create_engine
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from consumerd.clock import wall
from consumerd.database.causes import cause_of
from consumerd.database.sql import run
from consumerd.errors import SourceRefusedError
from consumerd.sources.contract import ShardLag
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.schema import check_table
from consumerd.sources.table.statements import Statements

ROWS_A_LOOK = 50_000
"""A look reads so many rows at most: a table may keep millions that are done."""
MOST_LOOKS = 20
"""A probe looks at a million rows for some that can never be claimed; more would take too long."""


def probe(options: TableOptions) -> tuple[ShardLag, ...]:
    """The lag of the table. SourceRefusedError where it cannot be read, or is not such a table."""
    if not options.path.exists():
        raise SourceRefusedError(f"there is no database {options.path}: make it, or correct `database`")
    url = URL.create(
        "sqlite+pysqlite", database=f"file:{quote(str(options.path))}", query={"mode": "ro", "uri": "true"}
    )
    engine = create_engine(url, poolclass=NullPool)
    try:
        with engine.connect() as connection:
            check_table(connection, options)
            lag, now = TableLag(options.table, Statements(options)), wall()
            for _ in range(MOST_LOOKS - 1):
                if not lag.look(connection, now):
                    break
            return (lag.measure(connection, now),)
    except (DBAPIError, sqlite3.Error) as error:
        raise SourceRefusedError(f"the database {options.path} cannot be read: {cause_of(error)}") from error
    finally:
        engine.dispose()


class TableLag:
    """Counts what waits in a table, and what nobody can ever claim, whatever the time is.

    For the latter each look reads one window of row numbers, and the next look the next window.
    """

    def __init__(self, table: str, sql: Statements) -> None:
        self._table = table
        self._sql = sql
        self._last_rowid = 0
        self._found: dict[int, list[tuple[str, int, object]]] = {}  # by window: why, how many, the id of one

    def measure(self, connection: Connection, now: float) -> ShardLag:
        """Count what is due or claimed, and what is due later, by the index alone; and look at one more window.

        position: how many rows were ever finished, reckoned from the last row's number, so that no row must be read.
        """
        self.look(connection, now)
        row = run(connection, self._sql.lag, now=now).fetchone()
        due, claimed, oldest_due, unfinished, last_rowid, later = row
        oldest_s = None if oldest_due is None else max(0.0, now - oldest_due)
        position = (last_rowid or 0) - unfinished
        return ShardLag(0, due + claimed, oldest_s, position, later=later, complaint=self.complaint)

    def look(self, connection: Connection, now: float) -> bool:
        """Read the next window; false where it was the last one, after which the first follows."""
        (first,) = run(connection, self._sql.next_rowid, rowid=self._last_rowid).fetchone()
        window = None if first is None else (first - 1) // ROWS_A_LOOK
        seen_to = self._last_rowid // ROWS_A_LOOK
        for gone in [each for each in self._found if each >= seen_to and (window is None or each <= window)]:
            del self._found[gone]
        if window is None:
            self._last_rowid = 0
            return False
        start, self._last_rowid = window * ROWS_A_LOOK, (window + 1) * ROWS_A_LOOK
        counted = run(connection, self._sql.unclaimable, now=now, after=start, last=self._last_rowid)
        self._found[window] = counted.fetchall()
        return True

    @property
    def complaint(self) -> str:
        """How many can never be claimed and why, in one sentence; empty where there is none."""
        whys: dict[str, tuple[int, object]] = {}
        for why, rows, example in (each for window in self._found.values() for each in window):
            before, first = whys.get(why, (0, example))
            whys[why] = (before + rows, first)
        total = sum(rows for rows, _ in whys.values())
        if not total:
            return ""
        told = ", ".join(
            f"{rows} {why}" + ("" if example is None else f" (id {example})")
            for why, (rows, example) in sorted(whys.items())
        )
        return f"{total} {'row' if total == 1 else 'rows'} of {self._table} can never be claimed: {told}"
