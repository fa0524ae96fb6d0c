"""How far a claimed table is behind."""

from __future__ import annotations

from sqlalchemy import Connection

from consumerd.sources.contract import ShardLag
from consumerd.sources.table.statements import Statements


def measure(connection: Connection, sql: Statements, now: float) -> ShardLag:
    """Count what is due or claimed, by the index alone; deferred rows do not wait yet.

    position: how many rows were ever finished, reckoned from the last row's number, so that no row must be read.
    """
    row = connection.exec_driver_sql(sql.lag, (now, now)).one()
    due, claimed, oldest_due, unfinished, last_rowid = row
    oldest_s = None if oldest_due is None else max(0.0, now - oldest_due)
    return ShardLag(shard=0, tasks=due + claimed, oldest_s=oldest_s, position=(last_rowid or 0) - unfinished)
