"""Rows that nobody can ever claim, whatever the time is: counted for `check` and `status`."""

from __future__ import annotations

from sqlalchemy import Connection

from consumerd.sources.table.statements import FAR_S, Statements

ROWS_A_LOOK = 50_000
"""A look reads so many rows at most: a table may keep millions that are done."""


class UnclaimableRows:
    """What is known of them. Each look reads one window of row numbers, and the next look the next window."""

    def __init__(self, table: str, sql: Statements) -> None:
        self._table = table
        self._sql = sql
        self._last_rowid = 0
        self._found: dict[int, list[tuple[str, int, object]]] = {}  # by window: why, how many, the id of one

    def look(self, connection: Connection, now: float) -> bool:
        """Read the next window; false where it was the last one, after which the first follows."""
        first = connection.exec_driver_sql(self._sql.next_rowid, (self._last_rowid,)).scalar()
        window = None if first is None else (first - 1) // ROWS_A_LOOK
        seen_to = self._last_rowid // ROWS_A_LOOK
        gone = [each for each in self._found if each >= seen_to and (window is None or each <= window)]
        for each in gone:
            del self._found[each]
        if window is None:
            self._last_rowid = 0
            return False
        start, self._last_rowid = window * ROWS_A_LOOK, (window + 1) * ROWS_A_LOOK
        query = (now + FAR_S, start, self._last_rowid)
        rows = connection.exec_driver_sql(self._sql.unclaimable, query).all()
        self._found[window] = [(row[0], row[1], row[2]) for row in rows]
        return True

    @property
    def complaint(self) -> str:
        """How many they are and why, in one sentence; empty where there is none."""
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
