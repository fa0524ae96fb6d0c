"""How far a claimed table is behind, and which of its rows nobody can ever claim. Runs in workers and in probes.

A probe changes nothing: it makes no claim, takes no lock, and leaves no file behind.
"""

from __future__ import annotations

import math
import sqlite3
from dataclasses import replace
from decimal import Decimal
from numbers import Real

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError

from consumerd.clock import ahead_s, monotonic, wall
from consumerd.database.causes import cause_of, may_pass
from consumerd.database.sql import quoted
from consumerd.errors import SourceAwayError, SourceRefusedError
from consumerd.sources.contract import ShardLag
from consumerd.sources.table.opening import Opening, connected
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.shape import Shape, find_shape
from consumerd.sources.table.side.intake import unknown_rows
from consumerd.sources.table.side.tables import SideTable
from consumerd.sources.table.statements import Statements
from consumerd.sources.table.unclaimable import FAR_S, MOST_LOOKS, complaint_of, look_for

MOST_COUNTED = 100_000
"""A look counts so many rows of a kind at most: to count millions would cost a server more than the tasks do."""

_ROWS = "SELECT 1 AS one FROM {{table}} {{hint}} WHERE {0} AND {{condition}}"
_COUNTED = f"(SELECT count(*) FROM ({_ROWS} LIMIT {MOST_COUNTED}) AS {{1}})"
_FIRST = "(SELECT {{due}} FROM {{table}} {{hint}} WHERE {0} AND {{condition}} ORDER BY {{due}} LIMIT 1)"
_IS_DUE, _IS_CLAIMED = "{state} = {pending} AND {due} <= :now", "{state} = {claimed} AND {due} IS NOT NULL"
_IS_LATER = f"{{state}} = {{pending}} AND {{due}} > :now AND {{due}} <= :now + {FAR_S}"

_LAG = f"""
SELECT :now, {_COUNTED.format(_IS_DUE, "due")}, {_COUNTED.format(_IS_CLAIMED, "held")},
       {_COUNTED.format(_IS_LATER, "later")}, :now - {_FIRST.format(_IS_DUE)}, {_FIRST.format(_IS_DUE)},
       {_FIRST.format(_IS_CLAIMED)}, (SELECT max({{due}}) FROM {{table}} WHERE {{state}} = {{done}}),
       (SELECT max({{due}}) FROM {{table}} WHERE {{state}} = {{dead}})"""


_KEYLESS = f"""
SELECT count(*) FROM (SELECT 1 AS one FROM {{content_table}} WHERE {{column}} IS NULL AND ({{content_where}})
LIMIT {MOST_COUNTED}) AS found"""


def probe(options: TableOptions) -> tuple[ShardLag, ...]:
    """The lag of the table. SourceRefusedError where it cannot be read, or is not such a table; SourceAwayError where
    its server does not run, or has no room: it may be up later.
    """
    opening = Opening(options)
    if not options.is_server and not options.path.exists():
        is_ours = options.columns is None and not options.is_beside
        make = "make it (consumerd table CONFIG TARGET --create)" if is_ours else "make it, with its table"
        raise SourceRefusedError(f"there is no {opening.place}: {make}, or correct `database`")
    try:
        with connected(options) as connection:
            shape = find_shape(connection, options, opening.place)
            sql = Statements(options, shape, None)
            lag = TableLag(options, shape, sql).measure(connection, looks=MOST_LOOKS)
            if not options.is_beside:
                return (lag,)
            side = SideTable(options, sql.claims, shape.dialect)
            return (replace(lag, tasks=lag.tasks + unknown_rows(connection, side, monotonic)),)
    except (DBAPIError, sqlite3.Error) as error:
        kind = SourceAwayError if may_pass(error) else SourceRefusedError
        raise kind(f"the {opening.place} cannot be read: {cause_of(error)}") from error


class TableLag:
    """Counts what waits in a table, and what nobody can ever claim."""

    def __init__(self, options: TableOptions, shape: Shape, sql: Statements) -> None:
        self._options = options
        self._unclaimable = look_for(options, shape, sql.claims)
        self._claims = sql.claims
        self._lag = sql.claims.write(_LAG)
        names = {name: quoted(shape.dialect, name) for name in shape.null_keys}
        self._keyless = {name: sql.claims.write(_KEYLESS, column=column) for name, column in names.items()}

    def measure(self, connection: Connection, looks: int = 1) -> ShardLag:
        """Count what is due or claimed, and what is due later, by the index alone, up to MOST_COUNTED each.

        looks: how many pieces of the table are looked at for rows that nobody can ever claim.
        position, oldest_s: of times that are numbers and finite.
        position: the time of what was finished last and of what is due longest, in milliseconds: it moves when
        anything does.
        is_blocked: all that waits is claimed, and no lease of it is over: nobody can have it now.
        """
        for _ in range(looks):
            if not self._unclaimable.look(connection):
                break
        told = complaint_of(self._options.claimed_table, self._unclaimable.found())
        asked_at = wall()
        row = self._claims.run(connection, self._lag).fetchone()
        now, due, claimed, later, oldest_s, first_due, first_lease, *finished = row
        return ShardLag(
            shard=0,
            tasks=due + claimed,
            oldest_s=None if (oldest := _finite(oldest_s)) is None else max(0.0, oldest),
            position=sum(int(time * 1000) for time in map(_finite, (first_due, *finished)) if time is not None),
            later=later,
            is_blocked=not due and (ends := _finite(first_lease)) is not None and ends > now,
            clock_ahead_s=ahead_s(now, asked_at, wall()),
            complaint="; ".join(filter(None, (told, self._without_key(connection, is_whole=looks > 1)))),
        )

    def _without_key(self, connection: Connection, *, is_whole: bool) -> str:
        """How many rows have no key, and no claim beside them. is_whole: also by columns that no index finds."""
        first = self._options.id_column[0]
        asked = {name: statement for name, statement in self._keyless.items() if is_whole or name == first}
        counts = [
            (f"without {name}", self._claims.run(connection, statement).fetchone()[0], "")
            for name, statement in asked.items()
        ]
        return complaint_of(self._options.table, counts)


def _finite(value: object) -> float | None:
    """A time in seconds; None where it is none: PostgreSQL knows infinite ones, and a SQLite column holds anything."""
    if isinstance(value, Real | Decimal) and math.isfinite(value):
        return float(value)
    return None
