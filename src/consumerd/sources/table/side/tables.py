"""The SQL that needs both tables: the users', which has the rows, and the one beside it, which has the claims.

Both are joined by their key, never by what a driver makes of it: keys that a collation takes for the same are the same.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from sqlalchemy import Connection

from consumerd.database.claims import MOST_KEYS, ClaimedRow, Claims
from consumerd.database.sql import Statement
from consumerd.sources.table.options import TableOptions

Key = tuple[object, ...]
"""A value for each column of the key."""

_CONTENT = """
SELECT {taken_key}, {content} FROM (SELECT {key_as_taken} FROM {table} WHERE {among}) AS consumerd_taken
JOIN {content_table} ON {is_taken} WHERE ({content_where})"""

_UNKNOWN = """
FROM {content_table} WHERE {{among_these}} AND {has_key} AND ({content_where})
AND NOT EXISTS (SELECT 1 FROM {table} WHERE {same_key})"""
_TAKE_IN = (
    f"INSERT INTO {{table}} ({{key}}, {{state}}, {{due}}) SELECT {{key}}, {{waiting}}, :now {_UNKNOWN} {{unless_there}}"
)
_IS_DUE = (
    f"SELECT count(*) FROM ({{looks}} UNION ALL SELECT * FROM (SELECT 1 AS one {_UNKNOWN} LIMIT 1) AS fresh) AS looks"
)
_COUNT = f"SELECT count(*) {_UNKNOWN}"
_GONE = """
SELECT {key} FROM {table} WHERE {{among_these}} AND {state} <> {claimed}
AND NOT EXISTS (SELECT 1 FROM {content_table} WHERE {same_key}) LIMIT :limit"""
_FORGET = "DELETE FROM {table} WHERE {among} AND {state} <> {claimed}"

_END = "SELECT {key} FROM {content_table} WHERE {{among_these}} AND {has_key} ORDER BY {key} LIMIT 1 OFFSET :rows"
_BACK = "SELECT {key} FROM {content_table} WHERE {{among_these}} ORDER BY {key_backwards} LIMIT 1 OFFSET :rows"
_LAST = "SELECT {key} FROM {table} ORDER BY {key_backwards} LIMIT 1"
_DONE_FROM = "SELECT {key} FROM {table} WHERE {state} = {done} AND {due} >= :since ORDER BY {due} LIMIT 1"
_DONE_TIMES = "SELECT min({due}), max({due}) FROM {table} WHERE {state} = {done}"


class SideTable:
    """A users' table and the claims on its rows. Each method is one step within the caller's transaction.

    A piece of the tables is the rows whose keys lie after one, and up to another; None: from the first on, to the last.
    """

    def __init__(self, options: TableOptions, claims: Claims, dialect: str) -> None:
        self._claims = claims
        self._width = len(options.id_column)
        self._dialect = dialect
        self._of_pieces: dict[tuple[str, bool, bool], Statement] = {}
        self._last, self._done_times = claims.write(_LAST), claims.write(_DONE_TIMES)
        self._done_from = claims.write(_DONE_FROM)

    def with_content(self, connection: Connection, rows: Sequence[ClaimedRow]) -> list[ClaimedRow]:
        """Claimed rows with their content, which follows what the claim gave; those that have none any more left out.

        Such a row was deleted, or the condition does not hold of it any more.
        """
        found: dict[Key, Sequence[Any]] = {}
        for start in range(0, len(rows), MOST_KEYS):
            keys = [self._claims.key_of(row) for row in rows[start : start + MOST_KEYS]]
            for row in self._claims.run_for(connection, _CONTENT, keys).fetchall():
                found[tuple(row[: self._width])] = row[self._width :]
        return [(*row, *content) for row in rows if (content := found.get(tuple(row[: self._width]))) is not None]

    def is_due(self, connection: Connection, after: Key | None) -> bool:
        """Whether a row can be claimed, or taken in of those after that one."""
        statement = self._of(_IS_DUE, after, None)
        return bool(self._run(connection, statement, after, None).fetchone()[0])

    def take_in(self, connection: Connection, after: Key | None, end: Key | None) -> int:
        """Make the rows of a piece known that are not, as waiting ones; how many."""
        return int(self._run(connection, self._of(_TAKE_IN, after, end), after, end).rowcount)

    def count_unknown(self, connection: Connection, after: Key | None, end: Key | None) -> int:
        """How many rows of a piece are not known."""
        return int(self._run(connection, self._of(_COUNT, after, end), after, end).fetchone()[0])

    def forget_gone(self, connection: Connection, after: Key | None, end: Key | None) -> int:
        """Forget what is known of rows of a piece that are not there any more, MOST_KEYS at most; how many."""
        gone = self._run(connection, self._of(_GONE, after, end), after, end, limit=MOST_KEYS).fetchall()
        if gone:
            self._claims.run_for(connection, _FORGET, [self._claims.key_of(row) for row in gone])
        return len(gone)

    def end_of(self, connection: Connection, after: Key | None, rows: int) -> Key | None:
        """The last key of a piece of so many rows; None where there are not so many."""
        return _key(self._run(connection, self._of(_END, after, None), after, None, rows=rows - 1).fetchone())

    def last_known(self, connection: Connection) -> Key | None:
        """The highest key that was taken in."""
        return _key(self._claims.run(connection, self._last).fetchone())

    def before(self, connection: Connection, end: Key, rows: int) -> Key | None:
        """The key that lies so many rows before that one; None where there are not so many."""
        return _key(self._run(connection, self._of(_BACK, None, end), None, end, rows=rows).fetchone())

    def anywhere(self, connection: Connection, part: float) -> Key | None:
        """The key of the row that was done after this part of those that are; None where none is."""
        first, last = self._claims.run(connection, self._done_times).fetchone()
        if first is None:
            return None
        since = first + (last - first) * part
        return _key(self._claims.run(connection, self._done_from, since=since).fetchone())

    def _of(self, template: str, after: Key | None, end: Key | None) -> Statement:
        """The statement on a piece."""
        form = template, after is not None, end is not None
        if form not in self._of_pieces:
            conditions = [self._beyond(">", "after")] if form[1] else []
            conditions += [self._beyond("<=", "end")] if form[2] else []
            given = template.replace("{{among_these}}", " AND ".join(conditions) or "1 = 1")
            self._of_pieces[form] = self._claims.write(given, looks=self._claims.looks.one_of_each)
        return self._of_pieces[form]

    def _beyond(self, than: str, name: str) -> str:
        """That a key is greater, or not.

        MySQL and MariaDB use an index for this only where it is spelt out, the others where it is not.
        """
        columns = [f"{{key_{place}}}" for place in range(self._width)]
        values = [f":{name}_{place}" for place in range(self._width)]
        if self._width == 1 or self._dialect != "mysql":
            return f"({', '.join(columns)}) {than} ({', '.join(values)})"
        ways = []
        for place in range(self._width):
            same = [f"{column} = {value}" for column, value in zip(columns[:place], values, strict=False)]
            sign = than if place == self._width - 1 else than[0]
            ways.append(" AND ".join([*same, f"{columns[place]} {sign} {values[place]}"]))
        return f"({' OR '.join(ways)})"

    def _run(
        self, connection: Connection, statement: Statement, after: Key | None, end: Key | None, **values: object
    ) -> Any:  # a cursor, or the like
        bounds = {f"after_{place}": part for place, part in enumerate(after or ())}
        bounds |= {f"end_{place}": part for place, part in enumerate(end or ())}
        return self._claims.run(connection, statement, **bounds, **values)


def _key(row: Sequence[object] | None) -> Key | None:
    return None if row is None else tuple(row)
