"""Rows that are claimed: one worker has a row for a while, under a token, and what settles it must still have that.

One engine for every table and dialect. It compares times by the database's clock, never by a worker's, and leaves
locked rows out, so that claimers do not wait for each other. Each method is one step within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from sqlalchemy import Connection

from consumerd.database.sql import Statement, quoted, run, run_many, written

ClaimedRow = Sequence[Any]  # columns of any type
"""What a claim gives of a row, the key first."""


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

    table: its name.
    key: tells a row; unique. A row without one is never claimed.
    state: what a row is.
    waiting: the state of a row that may be claimed.
    due: when a row that waits may be claimed.
    token: whose claim has the row; NULL where nobody's has.
    until: when that claim ends. Empty where the table has no column for it: then `due` says it, too.
    claimed: the state of a claimed row, where `due` says when its claim ends; else a claim leaves the state alone.
    index: the index on state and due; MySQL and MariaDB are told to use it, since where the choice is sorted, the first
    claimer locks every candidate.
    gives: what a claim gives of each row, in SQL with `{part}` for names; the key first.
    condition: what else must hold of a row, in the same SQL.
    untried: what holds of a row that was never tried, for claims of such rows alone.
    more: names of further parts.
    """

    table: str
    key: str
    state: str
    waiting: str
    due: str
    token: str
    until: str = ""
    claimed: str = ""
    index: str = ""
    gives: str = "{key}"
    condition: str = "{key} IS NOT NULL"
    untried: str = "1 = 1"
    more: Mapping[str, str] = field(default_factory=dict)


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
SELECT {gives} FROM {table} {hint} WHERE {is_free} AND {condition} ORDER BY {due} LIMIT :limit {skip_locked}"""
_TAKE = "UPDATE {table} SET {taken} WHERE {key} IN ({keys})"

_QUICK_LOOK = """
SELECT * FROM (SELECT rowid FROM {table} WHERE {is_free} AND {condition} ORDER BY {due} LIMIT :limit)"""
_QUICK_CLAIM = "UPDATE {table} SET {taken} WHERE rowid IN ({looks} LIMIT :limit) RETURNING {gives}"

_ONE_FREE = "SELECT * FROM (SELECT 1 AS one FROM {table} WHERE {is_free} AND {condition} LIMIT 1) AS look"
_RENEW = "UPDATE {table} SET {taken} WHERE {is_held} AND {token} = :token"
_RELEASE = "UPDATE {table} SET {freed} WHERE {is_held} AND {token} >= :first AND {token} < :end"
_IS_CLAIMED = "SELECT 1 FROM {table} WHERE {key} = :key AND {is_held}"
_IS_OWNED = "SELECT 1 FROM {table} WHERE {key} = :key AND {token} = :token {lock}"


class Claims:
    """The claims on one table, in one dialect.

    candidates: the statements that choose what a claim takes, one after the other; of the second list for claims of
    what was never tried.
    quick: SQLite's own in their place, which choose and take at once.
    free, delete: the statements that give back the claim on a row, and that delete the row, for `settle`.
    """

    def __init__(self, table: ClaimedTable, dialect: str, now: Callable[[], float] | None = None) -> None:
        """now: the clock of a database that runs in this process; else the database is asked."""
        self._now = now
        self._dialect = dialect
        marks = _IN_UNTIL if table.until else _IN_DUE
        self._parts = parts = _parts(table, marks, dialect)
        free = [each.format(**parts) for each in marks.is_free]
        choices = (free, [*free[:-1], f"{free[-1]} AND {parts['untried']}"])
        self.candidates = [[self.write(_CANDIDATES, is_free=each) for each in choice] for choice in choices]
        looks = [self._joined(_QUICK_LOOK, choice) for choice in choices if dialect == "sqlite"]
        self.quick = [self.write(_QUICK_CLAIM, looks=each) for each in looks]
        self.free, self.delete = self.settlement(marks.freed), self.settlement(None)
        self._is_due = self.write("SELECT count(*) FROM ({looks}) AS looks", looks=self._joined(_ONE_FREE, free))
        self._renew, self._is_claimed, self._is_owned = map(self.write, (_RENEW, _IS_CLAIMED, _IS_OWNED))

    def write(self, template: str, **texts: str) -> Statement:
        """A statement on the table, whose names are the parts of the template. texts: more parts, which are SQL."""
        return written(template, {**self._parts, **texts}, self._dialect, is_clock_given=self._now is not None)

    def run(self, connection: Connection, statement: Statement, **values: object) -> Any:  # a cursor, or the like
        """Execute a statement once; `now` is known."""
        return run(connection, statement, now=self._now and self._now(), **values)

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
        if taken:
            keys = {f"key_{number}": row[0] for number, row in enumerate(taken)}
            self.run(connection, self.write(_TAKE, keys=_listed(keys)), **given, **keys)
        return taken

    def is_due(self, connection: Connection, **values: object) -> bool:
        """Whether a row can be claimed now."""
        return bool(self.run(connection, self._is_due, **values).fetchone()[0])

    def renew(self, connection: Connection, lease: Lease) -> int:
        """Let all claims of this owner run from now on; how many there are."""
        return int(self.run(connection, self._renew, token=lease.owner, seconds=lease.seconds).rowcount)

    def release(self, connection: Connection, start: str, spared: Sequence[str] = ()) -> int:
        """Give up all claims whose tokens start so, but for those that are spared; how many there were."""
        assert start
        tokens = {f"token_{number}": token for number, token in enumerate(spared)}
        release = self.write(_RELEASE + (f" AND {{token}} NOT IN ({_listed(tokens)})" if tokens else ""))
        end = start[:-1] + chr(ord(start[-1]) + 1)
        return int(self.run(connection, release, first=start, end=end, **tokens).rowcount)

    def settlement(self, sets: str | None) -> Statement:
        """The statement that settles a claimed row, for `settle`: it sets this, or with None deletes the row."""
        act = "DELETE FROM {table}" if sets is None else f"UPDATE {{table}} SET {sets}"
        return self.write(f"{act} WHERE {{key}} = :key AND {{token}} = :token")

    def settle(self, connection: Connection, statement: Statement, rows: list[tuple[object, ...]]) -> int:
        """Settle rows by the statement's parameters for each; how many of them still had the token."""
        return run_many(connection, statement, rows)

    def is_claimed(self, connection: Connection, key: object) -> bool:
        """Whether somebody has the row."""
        return self.run(connection, self._is_claimed, key=key).fetchone() is not None

    def is_owned(self, connection: Connection, key: object, token: str) -> bool:
        """Whether the row still has the token; nobody takes it before the transaction has ended."""
        return self.run(connection, self._is_owned, key=key, token=token).fetchone() is not None

    def _joined(self, look: str, conditions: Sequence[str]) -> str:
        return " UNION ALL ".join(look.format(**self._parts, is_free=each) for each in conditions)


def _listed(names: Iterable[str]) -> str:
    return ", ".join(f":{name}" for name in names)


def _parts(table: ClaimedTable, marks: _Marks, dialect: str) -> dict[str, str]:
    """The parts of statements: the table's names, and the SQL that is made of them."""
    names = {"table": table.table, "key": table.key, "state": table.state, "due": table.due, "token": table.token}
    names |= {"until": table.until, **table.more}
    parts = {part: quoted(dialect, name) for part, name in names.items()}
    parts |= {"waiting": f"'{table.waiting}'", "claimed": f"'{table.claimed}'"}
    parts |= {name: getattr(marks, name).format(**parts) for name in ("taken", "freed", "is_held")}
    parts |= {name: getattr(table, name).format(**parts) for name in ("gives", "condition", "untried")}
    lock = "" if dialect == "sqlite" else "FOR UPDATE"
    hint = f"FORCE INDEX ({table.index})" if dialect == "mysql" and table.index else ""
    return parts | {"lock": lock, "skip_locked": lock and f"{lock} SKIP LOCKED", "hint": hint}
