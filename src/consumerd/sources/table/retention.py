"""Deletes rows that have been done for long enough, so that a table does not grow for ever. Runs in workers.

The worker that measures the lag does it, beside that: in steps that hold few locks, for a moment each time.
"""

from __future__ import annotations

from collections.abc import Callable

from sqlalchemy import Connection

from consumerd.database.claims import MOST_KEYS
from consumerd.database.database import Database
from consumerd.sources.table.statements import Statements

LONGEST_S = 0.5
"""So long it deletes each time."""


def delete_old(database: Database, sql: Statements, retention_s: float, now: Callable[[], float]) -> int:
    """Delete what has been done for `retention_s` seconds, as far as the time allows; how many rows."""
    until, deleted, found = now() + LONGEST_S, 0, MOST_KEYS

    def step(connection: Connection) -> int:
        claims = sql.claims
        rows = claims.run(connection, sql.old, seconds=retention_s, limit=MOST_KEYS).fetchall()
        if rows:
            claims.change(connection, sql.forget, [claims.key_of(row) for row in rows])
        return len(rows)

    while found == MOST_KEYS and now() < until:
        found = database.write(step)
        deleted += found
    return deleted
