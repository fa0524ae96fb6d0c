"""Rows that are claimed: one worker has a row for a while, under a token, and what settles it must still have that.

One engine for every table and dialect. It compares times by the database's clock, never by a worker's, and leaves
locked rows out, so that claimers do not wait for each other. Each method is one step within the caller's transaction.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from operator import itemgetter
from typing import Any, cast

from sqlalchemy import Connection

from consumerd.database.causes import NotReadyError
from consumerd.database.claimed_table import ClaimedTable, marks_of, parts_of
from consumerd.database.dialects import BY_INDEX
from consumerd.database.looks import Kind, Looks
from consumerd.database.sql import Statement, quoted, run, written

ClaimedRow = Sequence[Any]  # columns of any type
"""What a claim gives of a row, its key first."""

Steps = str | tuple[str, ...]
"""What is done to some rows: a statement with `{among}` in its condition, or several, of which the last one counts."""

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
class Place:
    """Where a row stands among those that wait: when it was due, and its key."""

    due: float
    key: object

    def given(self) -> dict[str, object]:
        """As the statements ask for it."""
        key = self.key if isinstance(self.key, tuple) else (self.key,)
        return {"since": self.due, **{f"after_{place}": part for place, part in enumerate(key)}}


_TAKE = "UPDATE {table} SET {taken} WHERE {among}"
_RENEW = "UPDATE {table} SET {taken} WHERE {is_held} AND {token} = :token"
_RENEW_AMONG = f"{_RENEW} AND {{among}}"
_IS_OWNERS = "{is_held} AND {token_bytes} >= :first AND {token_bytes} < :end"
_OF_OWNER = f"SELECT {{key}} FROM {{table}} WHERE {_IS_OWNERS}"
_RELEASE = f"UPDATE {{table}} SET {{freed}} WHERE {{among}} AND {_IS_OWNERS}"
_END = f"UPDATE {{table}} SET {{ended}} WHERE {{among}} AND {_IS_OWNERS}"
_HELD_AMONG = "SELECT count(*) FROM {table} WHERE {among} AND {is_held}"
_IS_OWNED = "SELECT 1 FROM {table} WHERE {among} AND {token} = :token {lock}"


class Claims:
    """The claims on one table, in one dialect. A key is a value, or where it has several columns a tuple of values.

    looks: how rows to claim are looked for.
    key_of: the key of a row that was claimed.
    free, delete: what gives back the claim on a row, and what deletes the row, for `settle`.
    """

    def __init__(self, table: ClaimedTable, dialect: str, now: Callable[[], float] | None = None) -> None:
        """now: the clock of a database that runs in this process; else the database is asked."""
        self._now = now
        self._table = table.table
        self._dialect = dialect
        self._parts = parts_of(table, dialect)
        self._key = [quoted(dialect, column) for column in table.key]
        self.key_of: Callable[[ClaimedRow], object] = _first(len(table.key))
        self._for_keys: dict[tuple[str, int], Statement] = {}
        self.free, self.delete = self.settlement(marks_of(table).freed), self.settlement(None)
        self.looks = Looks(table, dialect, self._parts, self.write)
        self._renew = self.write(_RENEW)

    def write(self, template: str, **texts: str) -> Statement:
        """A statement on the table, whose names are the parts of the template. texts: more parts, which are SQL."""
        return written(template, {**self._parts, **texts}, self._dialect, is_clock_given=self._now is not None)

    def run(self, connection: Connection, statement: Statement, **values: object) -> Any:  # a cursor, or the like
        """Execute a statement once; `now` is known."""
        return run(connection, statement, now=self._now and self._now(), **values)

    def run_for(self, connection: Connection, template: str, keys: Sequence[object], **values: object) -> Any:
        """Execute once what has `{among}` in its condition, for these keys: at most MOST_KEYS, and at least one."""
        if self._dialect == "postgresql" and len(self._key) == 1:
            return self.run(connection, self._for(template, 0), keys=list(keys), **values)
        size = 1 << (len(keys) - 1).bit_length()  # so that few lengths are written; the last key fills up
        filled = [*keys, *([keys[-1]] * (size - len(keys)))]
        parts = filled if len(self._key) == 1 else [part for key in filled for part in cast("tuple[object, ...]", key)]
        numbered = dict(zip(_names(len(parts)), parts, strict=True))
        return self.run(connection, self._for(template, size), **numbered, **values)

    def _for(self, template: str, size: int) -> Statement:
        statement = self._for_keys.get((template, size))
        if statement is None:
            statement = self._for_keys[template, size] = self.write(template, among=self._among(size))
        return statement

    def claim(
        self,
        connection: Connection,
        lease: Lease,
        limit: int,
        *,
        is_untried: bool = False,
        since: Place | None = None,
        turn: Sequence[object] | None = None,
        has_lapsed: bool = True,
        fitting: Callable[[list[ClaimedRow]], list[ClaimedRow]] | None = None,
        **values: object,
    ) -> list[ClaimedRow]:
        """Claim at most `limit` rows that are due; key and what the table `gives` of each. Expired claims come first.

        In its transaction, `go_by_index` comes before.

        is_untried: take of the others only those that were never tried.
        since: take of the others only those that are due since then or later; where keys give an order to rows of one
        time, and none take turns, only those behind this one.
        turn: take of the others only those with these values in the columns by which rows take turns.
        has_lapsed: whether expired claims are looked for.
        fitting: chooses of what was found what is taken.
        values: what the table's condition asks for.
        """
        given = {"token": lease.owner, "seconds": lease.seconds, **values}
        given |= {} if since is None else since.given()
        given |= {f"turn_{number}": value for number, value in enumerate(turn or ())}
        nulls = None if turn is None else tuple(value is None for value in turn)
        claiming = self.looks.claiming(Kind(is_untried, since is not None, has_lapsed, nulls))
        if claiming.quick is not None and fitting is None:
            return list(self.run(connection, claiming.quick, limit=limit, **given).fetchall())
        rows: list[ClaimedRow] = []
        for look in claiming.looks:
            if (left := limit - len(rows)) > 0:
                rows += self.run(connection, look, limit=left, **given).fetchall()
        taken = rows if fitting is None else fitting(rows)
        self._take(connection, [self.key_of(row) for row in taken], given)
        return taken

    def go_by_index(self, connection: Connection) -> None:
        """Have the rest of the transaction look for rows by indexes alone."""
        if self._dialect in BY_INDEX:
            connection.exec_driver_sql(BY_INDEX[self._dialect])

    def _take(self, connection: Connection, keys: Sequence[object], given: Mapping[str, object]) -> None:
        """Claim rows that were chosen and locked. Where one is not found by its key, nobody could ever settle it."""
        taken = sum(self.run_for(connection, _TAKE, each, **given).rowcount for each in _pieces(keys))
        if taken != len(keys):
            raise NotReadyError(
                f"rows of {self._table} cannot be found by their key ({taken} of {len(keys)} were): "
                "make it of whole numbers or text"
            )

    def is_due(self, connection: Connection, **values: object) -> bool:
        """Whether a row can be claimed now."""
        return bool(self.run(connection, self.looks.is_due, **values).fetchone()[0])

    def renew(self, connection: Connection, lease: Lease) -> int:
        """Let all claims of this owner run from now on; how many there are. Quick where the token has an index."""
        return int(self.run(connection, self._renew, token=lease.owner, seconds=lease.seconds).rowcount)

    def renew_among(self, connection: Connection, lease: Lease, keys: Sequence[object]) -> int:
        """Let the owner's claims on these rows run from now on; how many there are."""
        given = {"token": lease.owner, "seconds": lease.seconds}
        return sum(self.run_for(connection, _RENEW_AMONG, each, **given).rowcount for each in _pieces(keys))

    def release(self, connection: Connection, start: str, spared: Sequence[str] = ()) -> int:
        """Give up all claims whose tokens start so, but for those that are spared; how many there were."""
        return self._for_tokens(connection, _RELEASE, start, spared)

    def end(self, connection: Connection, start: str, spared: Sequence[str] = ()) -> int:
        """Let all such claims end now, as if their time were over: whoever claims next gets their rows first."""
        return self._for_tokens(connection, _END, start, spared)

    def _for_tokens(self, connection: Connection, template: str, start: str, spared: Sequence[str]) -> int:
        """Looks first, which locks nothing: an UPDATE alone would wait in MariaDB for the rows of all other owners."""
        assert start
        span = {"first": start, "end": start[:-1] + chr(ord(start[-1]) + 1)}
        tokens = {f"token_{number}": token for number, token in enumerate(spared)}
        but = f" AND {{token}} NOT IN ({', '.join(f':{name}' for name in tokens)})" if tokens else ""
        look = self.write(f"{_OF_OWNER}{but}")
        keys = [self.key_of(row) for row in self.run(connection, look, **span, **tokens).fetchall()]
        return self.change(connection, f"{template}{but}", keys, **span, **tokens)

    def settlement(self, sets: str | None) -> str:
        """What settles claimed rows, for `settle`: it sets this in each, or with None deletes it."""
        act = "DELETE FROM {table}" if sets is None else f"UPDATE {{table}} SET {sets}"
        return f"{act} WHERE {{among}} AND {{token}} = :token"

    def settle(
        self, connection: Connection, settlement: Steps, keys: Sequence[object], token: str, **values: object
    ) -> int:
        """Settle these rows of one claim, with the same values for each; how many of them still had the token."""
        return self.change(connection, settlement, keys, token=token, **values)

    def change(self, connection: Connection, steps: Steps, keys: Sequence[object], **values: object) -> int:
        """Do this to rows, whoever has them; how many the last step changed."""
        *before, last = (steps,) if isinstance(steps, str) else steps
        changed = 0
        for each in _pieces(keys):
            for step in before:
                self.run_for(connection, step, each, **values).close()
            changed += self.run_for(connection, last, each, **values).rowcount
        return changed

    def claimed_among(self, connection: Connection, keys: Sequence[object]) -> int:
        """How many of these rows somebody has claimed."""
        return sum(self.run_for(connection, _HELD_AMONG, each).fetchone()[0] for each in _pieces(keys))

    def is_owned(self, connection: Connection, key: object, token: str) -> bool:
        """Whether the row still has the token; nobody takes it before the transaction has ended."""
        return self.run_for(connection, _IS_OWNED, [key], token=token).fetchone() is not None

    def _among(self, size: int) -> str:
        """A condition that holds of `size` keys, `:key_0` and so on; with 0 of the `:keys` of an array.

        Not by rows of values, `(a, b) IN …`: MySQL and MariaDB use no index for them.
        """
        columns = self._key
        if not size:
            return f"{columns[0]} = ANY(:keys)"
        if len(columns) == 1:
            return f"{columns[0]} IN ({', '.join(f':key_{number}' for number in range(size))})"
        rows = (
            " AND ".join(f"{column} = :key_{row * len(columns) + place}" for place, column in enumerate(columns))
            for row in range(size)
        )
        return f"({' OR '.join(f'({row})' for row in rows)})"


def _first(columns: int) -> Callable[[ClaimedRow], object]:
    """Gives the first of a row's values; of several columns a tuple of them."""
    return itemgetter(0) if columns == 1 else lambda row: tuple(row[:columns])


@cache
def _names(parts: int) -> tuple[str, ...]:
    return tuple(f"key_{number}" for number in range(parts))


def _pieces(keys: Sequence[object]) -> Iterable[Sequence[object]]:
    return (keys[start : start + MOST_KEYS] for start in range(0, len(keys), MOST_KEYS))
