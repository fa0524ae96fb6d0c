"""How far a claimed table is behind."""

from __future__ import annotations

from sqlalchemy import Connection

from consumerd.sources.contract import ShardLag
from consumerd.sources.table.statements import FAR_S, Statements
from consumerd.sources.table.unclaimable import UnclaimableRows


def measure(connection: Connection, sql: Statements, unclaimable: UnclaimableRows, now: float) -> ShardLag:
    """Count what is due or claimed, and what is due later, by the index alone.

    position: how many rows were ever finished, reckoned from the last row's number, so that no row must be read.
    """
    row = connection.exec_driver_sql(sql.lag, (now, now, now, now, now + FAR_S)).one()
    due, claimed, oldest_due, unfinished, last_rowid, later = row
    oldest_s = None if oldest_due is None else max(0.0, now - oldest_due)
    position = (last_rowid or 0) - unfinished
    return ShardLag(0, due + claimed, oldest_s, position, later=later, complaint=unclaimable.complaint)
