"""How rows to claim are looked for: the statements, written when a claim of their kind is made first."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace

from consumerd.database.claimed_table import ClaimedTable, Free, in_turn, marks_of
from consumerd.database.sql import Statement, quoted

_LOOK = """
SELECT {gives} FROM {table} {hint} WHERE {is_free} AND {condition}
ORDER BY {order_of_free} LIMIT :limit {skip_locked}"""
_PEEK = "SELECT {gives} FROM {table} {hint} WHERE {is_free} AND {condition} ORDER BY {order_of_free} LIMIT :limit"
_QUICK = {
    "sqlite": (
        """SELECT * FROM (
SELECT _rowid_ FROM {table} WHERE {is_free} AND {condition} ORDER BY {order_of_free} LIMIT :limit)""",
        "UPDATE {table} SET {taken} WHERE _rowid_ IN ({looks} LIMIT :limit) RETURNING {gives}",
    ),
    "postgresql": (
        f"({_LOOK})",
        """WITH {looks} UPDATE {table} AS claimed SET {taken} FROM ({chosen} LIMIT :limit) AS chosen
WHERE {is_chosen} RETURNING chosen.*""",
    ),
}
"""Where a claim can be one statement: how it looks for rows, and how it takes them."""

_ONE_FREE = """
SELECT * FROM (SELECT 1 AS one FROM {table} {hint} WHERE {is_free} AND {condition} ORDER BY {order_of_free} LIMIT 1)
AS look"""


@dataclass(frozen=True, slots=True)
class Claiming:
    """How rows are claimed.

    looks: the statements that choose what a claim takes, one after the other; they are taken afterwards.
    quick: what chooses and takes at once; None where the database has no such statement.
    """

    looks: list[Statement]
    quick: Statement | None


@dataclass(frozen=True, slots=True)
class Kind:
    """What a claim is of.

    is_untried: of rows that were never tried.
    has_since: of those that are due since a time.
    has_lapsed: before these, of rows whose claim has ended.
    turn: for each column by which rows take turns, whether it is NULL; None: of rows with any values.
    """

    is_untried: bool = False
    has_since: bool = False
    has_lapsed: bool = True
    turn: tuple[bool, ...] | None = None


ANY = Kind()


class Looks:
    """The statements of claims on one table, in one dialect.

    one_of_each: finds one row of each kind that can be claimed, in SQL.
    is_due: counts whether a row can be claimed now.
    """

    def __init__(
        self, table: ClaimedTable, dialect: str, parts: Mapping[str, str], write: Callable[..., Statement]
    ) -> None:
        """parts, write: as the engine of claims has them."""
        self._dialect = dialect
        self._parts = parts
        self._write = write
        self._marks = marks_of(table)
        self._key = [quoted(dialect, column) for column in table.key]
        self._columns = len(table.key) + len(table.gives)
        self._claiming: dict[Kind, Claiming] = {}
        self.one_of_each = " UNION ALL ".join(self._looking(_ONE_FREE, each) for each in self._free(ANY))
        self.is_due = write("SELECT count(*) FROM ({looks}) AS looks", looks=self.one_of_each)

    def claiming(self, kind: Kind = ANY) -> Claiming:
        """The statements of a claim of this kind."""
        found = self._claiming.get(kind)
        if found is None:
            found = self._claiming[kind] = self._written(kind)
        return found

    def peeking(self, kind: Kind = ANY) -> list[Statement]:
        """The statements that choose the same rows, in the same order, and lock none of them."""
        return [self._write("{sql}", sql=self._looking(_PEEK, each)) for each in self._free(kind)]

    def _written(self, kind: Kind) -> Claiming:
        free = list(self._free(kind))
        looks = [self._write("{sql}", sql=self._looking(_LOOK, each)) for each in free]
        if self._dialect not in _QUICK:
            return Claiming(looks, None)
        look, take = _QUICK[self._dialect]
        found = [self._looking(look, each) for each in free]
        if self._dialect == "sqlite":
            return Claiming(looks, self._write(take, looks=" UNION ALL ".join(found)))
        columns = ", ".join(f"c{number}" for number in range(self._columns))
        quick = self._write(
            take,
            looks=", ".join(f"look{number} ({columns}) AS MATERIALIZED {each}" for number, each in enumerate(found)),
            chosen=" UNION ALL ".join(f"SELECT * FROM look{number}" for number in range(len(found))),
            is_chosen=" AND ".join(f"claimed.{column} = chosen.c{place}" for place, column in enumerate(self._key)),
        )
        return Claiming(looks, quick)

    def _free(self, kind: Kind) -> Iterator[Free]:
        """Which rows may be claimed, those first that come first."""
        if self._marks.lapsed is not None and kind.has_lapsed:
            yield self._marks.lapsed
        waiting = self._marks.waiting
        if kind.turn is not None:
            values = [None if is_null else f":turn_{number}" for number, is_null in enumerate(kind.turn)]
            turn = in_turn(self._dialect, values, ":since" * kind.has_since)
            waiting = Free(f"{waiting.condition} AND {turn.condition}", turn.order, turn.hint)
        elif kind.has_since:
            waiting = replace(waiting, condition=waiting.condition + " AND {behind}")
        yield replace(waiting, condition=waiting.condition + " AND {untried}" * kind.is_untried)

    def _looking(self, look: str, free: Free) -> str:
        """A statement that looks for such rows, its names filled in."""
        is_free, order = free.condition.format(**self._parts), free.order.format(**self._parts)
        parts = {**self._parts, "hint": self._parts[free.hint], "is_free": is_free, "order_of_free": order}
        return look.format(**parts)
