"""Rows that are claimed: one worker has a row for a while, under a token, and what settles it must still have that.

One engine for every table and dialect. It compares times by the database's clock, never by a worker's, and leaves
locked rows out, so that claimers do not wait for each other. Each method is one step within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, cast

from sqlalchemy import Connection

from consumerd.database.dialects import AS_BYTES
from consumerd.database.sql import Statement, quoted, quoted_table, quoted_text, run, written

ClaimedRow = Sequence[Any]  # columns of any type
"""What a claim gives of a row; the columns of its key come first."""

MOST_KEYS = 512
"""A statement names so many rows at most."""


@dataclass(frozen=True, slots=True)
class Lease:
    """Who claims, and for how long.

    owner: the token of the claim; its start, `<member>#<generation>`, is one process.
    seconds: how long nobody else gets the row, from the claim or its last renewal on.
    """

    owner: str
    seconds: float


@dataclass(frozen=True, slots=True)
class ClaimedTable:
    """A table whose rows are claimed, and which of its columns say so. All names are as the table has them.

    table: its name; on servers perhaps `schema.name`.
    key: the columns that tell a row; unique together. A row without one of them is never claimed.
    state: what a row is.
    waiting: the state of a row that may be claimed.
    due: when a row that waits may be claimed.
    token: whose claim has the row; NULL where nobody's has.
    until: when that claim ends. Empty where the table has no column for it: then `due` says it, too.
    claimed: the state of a claimed row, where `due` says when its claim ends; else a claim leaves the state alone.
    index: the index on state and due; MySQL and MariaDB are told to use it, since where the choice is sorted, the first
    claimer locks every candidate.
    gives: what a claim gives of each row, in SQL with `{part}` for names; the columns of the key first.
    condition: what else must hold of a row, in the same SQL.
    untried: what holds of a row that was never tried, for claims of such rows alone.
    order: in which order rows that are due are claimed; an index must give it.
    more: further parts that are columns.
    texts: further parts that are SQL.
    """

    table: str
    key: tuple[str, ...]
    state: str
    waiting: str
    due: str
    token: str
    until: str = ""
    claimed: str = ""
    index: str = ""
    gives: str = "{key}"
    condition: str = "{has_key}"
    untried: str = "1 = 1"
    order: str = "{due}"
    more: Mapping[str, str] = field(default_factory=dict)
    texts: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Marks:
    """How a claim is written into a row.

    taken: what a claim sets.
    freed: what is set where a claim is given back.
    is_held: what holds of a row that somebody has claimed.
    is_free: what holds of rows that may be claimed; those of the first condition come first.
    """

    taken: str
    freed: str
    is_held: str
    is_free: tuple[str, ...]


_IN_UNTIL = _Marks(
    taken="{until} = :now + :seconds, {token} = :token",
    freed="{until} = NULL, {token} = NULL",
    is_held="{token} IS NOT NULL",
    is_free=("{state} = {waiting} AND {due} <= :now AND ({until} IS NULL OR {until} <= :now)",),
)
_IN_DUE = _Marks(
    taken="{state} = {claimed}, {due} = :now + :seconds, {token} = :token",
    freed="{state} = {waiting}, {due} = :now, {token} = NULL",
    is_held="{state} = {claimed} AND {due} IS NOT NULL",
    is_free=("{state} = {claimed} AND {due} <= :now", "{state} = {waiting} AND {due} <= :now"),
)

_CANDIDATES = """
SELECT {gives} FROM {table} {hint} WHERE {is_free} AND {condition} ORDER BY {order} LIMIT :limit {skip_locked}"""
_TAKE = "UPDATE {table} SET {taken} WHERE {among}"

_QUICK_LOOK = """
SELECT * FROM (SELECT rowid FROM {table} WHERE {is_free} AND {condition} ORDER BY {order} LIMIT :limit)"""
_QUICK_CLAIM = "UPDATE {table} SET {taken} WHERE rowid IN ({looks} LIMIT :limit) RETURNING {gives}"

_ONE_FREE = "SELECT * FROM (SELECT 1 AS one FROM {table} {hint} WHERE {is_free} AND {condition} LIMIT 1) AS look"
_RENEW = "UPDATE {table} SET {taken} WHERE {is_held} AND {token} = :token"
_RENEW_AMONG = f"{_RENEW} AND {{among}}"
_RELEASE = "UPDATE {table} SET {freed} WHERE {is_held} AND {token_bytes} >= :first AND {token_bytes} < :end"
_HELD_AMONG = "SELECT count(*) FROM {table} WHERE {among} AND {is_held}"
_IS_OWNED = "SELECT 1 FROM {table} WHERE {among} AND {token} = :token {lock}"


class Claims:
    """The claims on one table, in one dialect. A key is a value, or where it has several columns a tuple of values.

    candidates: the statements that choose what a claim takes, one after the other; of the second list for claims of
    what was never tried.
    quick: SQLite's own in their place, which choose and take at once.
    free, delete: what gives back the claim on a row, and what deletes the row, for `settle`.
    """

    def __init__(self, table: ClaimedTable, dialect: str, now: Callable[[], float] | None = None) -> None:
        """now: the clock of a database that runs in this process; else the database is asked."""
        self._now = now
        self._dialect = dialect
        marks = _IN_UNTIL if table.until else _IN_DUE
        self._parts = parts = _parts(table, marks, dialect)
        self._key = [quoted(dialect, column) for column in table.key]
        self._for_keys: dict[tuple[str, int], Statement] = {}
        free = [each.format(**parts) for each in marks.is_free]
        choices = (free, [*free[:-1], f"{free[-1]} AND {parts['untried']}"])
        self.candidates = [[self.write(_CANDIDATES, is_free=each) for each in choice] for choice in choices]
        looks = [self._joined(_QUICK_LOOK, choice) for choice in choices if dialect == "sqlite"]
        self.quick = [self.write(_QUICK_CLAIM, looks=each) for each in looks]
        self.free, self.delete = self.settlement(marks.freed), self.settlement(None)
        self._is_due = self.write("SELECT count(*) FROM ({looks}) AS looks", looks=self._joined(_ONE_FREE, free))
        self._renew, self._release = self.write(_RENEW), self.write(_RELEASE)

    def write(self, template: str, **texts: str) -> Statement:
        """A statement on the table, whose names are the parts of the template. texts: more parts, which are SQL."""
        return written(template, {**self._parts, **texts}, self._dialect, is_clock_given=self._now is not None)

    def run(self, connection: Connection, statement: Statement, **values: object) -> Any:  # a cursor, or the like
        """Execute a statement once; `now` is known."""
        return run(connection, statement, now=self._now and self._now(), **values)

    def run_for(self, connection: Connection, template: str, keys: Sequence[object], **values: object) -> Any:
        """Execute once what has `{among}` in its condition, for these keys: at most MOST_KEYS, and at least one."""
        size = 1 << (len(keys) - 1).bit_length()  # so that few lengths are written; the last key fills up
        statement = self._for_keys.get((template, size))
        if statement is None:
            statement = self._for_keys[template, size] = self.write(template, among=self._among(size))
        filled = [*keys, *([keys[-1]] * (size - len(keys)))]
        parts = filled if len(self._key) == 1 else [part for key in filled for part in cast("tuple[object, ...]", key)]
        return self.run(connection, statement, **{f"key_{number}": part for number, part in enumerate(parts)}, **values)

    def key_of(self, row: ClaimedRow) -> object:
        """The key of a row that was claimed."""
        return row[0] if len(self._key) == 1 else tuple(row[: len(self._key)])

    def claim(
        self,
        connection: Connection,
        lease: Lease,
        limit: int,
        *,
        is_untried: bool = False,
        fitting: Callable[[list[ClaimedRow]], list[ClaimedRow]] | None = None,
        **values: object,
    ) -> list[ClaimedRow]:
        """Claim at most `limit` rows that are due; what the table `gives` of each. Expired claims come first.

        is_untried: take of the others only those that were never tried.
        fitting: chooses of what was found what is taken.
        values: what the table's condition asks for.
        """
        given = {"token": lease.owner, "seconds": lease.seconds, **values}
        if self.quick and fitting is None:
            rows: list[ClaimedRow] = self.run(connection, self.quick[is_untried], limit=limit, **given).fetchall()
            return rows
        rows = []
        for candidates in self.candidates[is_untried]:
            if (left := limit - len(rows)) > 0:
                rows += self.run(connection, candidates, limit=left, **given).fetchall()
        taken = rows if fitting is None else fitting(rows)
        for keys in _pieces([self.key_of(row) for row in taken]):
            self.run_for(connection, _TAKE, keys, **given)
        return taken

    def is_due(self, connection: Connection, **values: object) -> bool:
        """Whether a row can be claimed now."""
        return bool(self.run(connection, self._is_due, **values).fetchone()[0])

    def renew(self, connection: Connection, lease: Lease) -> int:
        """Let all claims of this owner run from now on; how many there are. Quick where the token has an index."""
        return int(self.run(connection, self._renew, token=lease.owner, seconds=lease.seconds).rowcount)

    def renew_among(self, connection: Connection, lease: Lease, keys: Sequence[object]) -> int:
        """Let the owner's claims on these rows run from now on; how many there are."""
        given = {"token": lease.owner, "seconds": lease.seconds}
        return sum(self.run_for(connection, _RENEW_AMONG, each, **given).rowcount for each in _pieces(keys))

    def release(self, connection: Connection, start: str, spared: Sequence[str] = ()) -> int:
        """Give up all claims whose tokens start so, but for those that are spared; how many there were."""
        assert start
        tokens = {f"token_{number}": token for number, token in enumerate(spared)}
        names = ", ".join(f":{name}" for name in tokens)
        release = self.write(f"{_RELEASE} AND {{token}} NOT IN ({names})") if tokens else self._release
        end = start[:-1] + chr(ord(start[-1]) + 1)
        return int(self.run(connection, release, first=start, end=end, **tokens).rowcount)

    def settlement(self, sets: str | None) -> str:
        """What settles claimed rows, for `settle`: it sets this in each, or with None deletes it."""
        act = "DELETE FROM {table}" if sets is None else f"UPDATE {{table}} SET {sets}"
        return f"{act} WHERE {{among}} AND {{token}} = :token"

    def settle(
        self, connection: Connection, settlement: str, keys: Sequence[object], token: str, **values: object
    ) -> int:
        """Settle these rows of one claim, with the same values for each; how many of them still had the token."""
        pieces = _pieces(keys)
        return sum(self.run_for(connection, settlement, each, token=token, **values).rowcount for each in pieces)

    def claimed_among(self, connection: Connection, keys: Sequence[object]) -> int:
        """How many of these rows somebody has claimed."""
        return sum(self.run_for(connection, _HELD_AMONG, each).fetchone()[0] for each in _pieces(keys))

    def is_owned(self, connection: Connection, key: object, token: str) -> bool:
        """Whether the row still has the token; nobody takes it before the transaction has ended."""
        return self.run_for(connection, _IS_OWNED, [key], token=token).fetchone() is not None

    def _joined(self, look: str, conditions: Sequence[str]) -> str:
        return " UNION ALL ".join(look.format(**self._parts, is_free=each) for each in conditions)

    def _among(self, size: int) -> str:
        """A condition that holds of `size` keys, `:key_0` and so on.

        Not by rows of values, `(a, b) IN …`: MySQL and MariaDB use no index for them.
        """
        columns = self._key
        if len(columns) == 1:
            return f"{columns[0]} IN ({', '.join(f':key_{number}' for number in range(size))})"
        rows = (
            " AND ".join(f"{column} = :key_{row * len(columns) + place}" for place, column in enumerate(columns))
            for row in range(size)
        )
        return f"({' OR '.join(f'({row})' for row in rows)})"


def _pieces(keys: Sequence[object]) -> Iterable[Sequence[object]]:
    return (keys[start : start + MOST_KEYS] for start in range(0, len(keys), MOST_KEYS))


def _parts(table: ClaimedTable, marks: _Marks, dialect: str) -> dict[str, str]:
    """The parts of statements: the table's names, and the SQL that is made of them."""
    names = {"state": table.state, "due": table.due, "token": table.token, "until": table.until, **table.more}
    parts = {part: quoted(dialect, name) for part, name in names.items()} | {
        "table": quoted_table(dialect, table.table)
    }
    key = [quoted(dialect, column) for column in table.key]
    parts |= {"key": ", ".join(key), "has_key": " AND ".join(f"{column} IS NOT NULL" for column in key)}
    parts |= {name: quoted_text(dialect, getattr(table, name)) for name in ("waiting", "claimed")}
    parts |= table.texts
    parts |= {name: getattr(marks, name).format(**parts) for name in ("taken", "freed", "is_held")}
    parts |= {name: getattr(table, name).format(**parts) for name in ("gives", "condition", "untried", "order")}
    lock = "" if dialect == "sqlite" else "FOR UPDATE"
    hint = f"FORCE INDEX ({quoted(dialect, table.index)})" if dialect == "mysql" and table.index else ""
    token_bytes = AS_BYTES[dialect].format(parts["token"])
    return parts | {
        "lock": lock,
        "skip_locked": lock and f"{lock} SKIP LOCKED",
        "hint": hint,
        "token_bytes": token_bytes,
    }
