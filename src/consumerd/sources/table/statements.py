"""The SQL of a claimed table, besides its claims.

A row's `due_at` is when it may next be claimed: while it is pending, when its time has come; while it is claimed, when
its lease has run out. Once it is finished it is when that was, so that one index, (state, due_at), tells what is next,
what was last, and what is old. `lease` is the token of the claim that has the row, `<member>#<generation>/<number>`;
what settles must still have it.
"""

from __future__ import annotations

from collections.abc import Callable

from consumerd.database.claimed_table import ClaimedTable
from consumerd.database.claims import Claims
from consumerd.database.sql import literal, opaque, quoted, quoted_text
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.shape import Shape

_FINISHED = "{{state}} = {{{state}}}, {{due}} = :now, {{token}} = NULL, {{settled}} = :now"
_DEFERRED = """
{state} = {pending}, {due} = :now + :after, {token} = NULL, {attempts} = :attempts,
{first} = coalesce({first}, :now - :age)"""

_RESOLVE = "UPDATE {{table}} SET {{state}} = {{done}}, {{due}} = :now, {{settled}} = :now WHERE {0}"
_DELETE_DEAD = "DELETE FROM {{table}} WHERE {0}"
_OF_A_DEAD_ROW = "{among} AND {state} = {dead}"

_OLD = """
SELECT {key} FROM {table} {hint} WHERE {state} = {done} AND {due} < :now - :seconds ORDER BY {due} LIMIT :limit"""
_WAITED_SINCE = "CASE WHEN {state} = {waiting} THEN {due} END"


_ATTEMPTS = {
    "sqlite": "CASE WHEN typeof({attempts}) = 'integer' THEN {attempts} ELSE 0 END",
    "mysql": "coalesce({attempts}, 0)",
    "postgresql": "coalesce({attempts}, 0)",
}
"""In SQLite a column of numbers may hold anything."""

MOST_ATTEMPTS = 2**31 - 2
"""As many are written at most, and counted: one more fits a column of four bytes, too."""


class Statements:
    """The SQL of one table, as its options name it and as it was found.

    claims: who has which rows; a claim gives a row's key, attempts, seconds since the first attempt, since
    when it was due where nobody had claimed it, and content.
    done, dead, defer: settle claimed rows.
    free: gives claimed rows back, as due as they were.
    old: finds rows that have been done for so long; forget: deletes them, for `Claims.run_for`.
    resolve: a dead row is done after all; for `Claims.run_for`.
    """

    def __init__(self, options: TableOptions, shape: Shape, now: Callable[[], float] | None) -> None:
        """now: the clock of a database in this process; None: a server's own."""
        self.claims = claims = Claims(_claimed(options, shape), shape.dialect, now)
        is_kept = options.done == "keep"
        self.done = claims.settlement(_FINISHED.format(state="done")) if is_kept else claims.delete
        self.dead = claims.settlement(_FINISHED.format(state="dead"))
        self.defer = claims.settlement(_DEFERRED)
        self.free = claims.settlement("{state} = {pending}, {due} = :since, {token} = NULL")
        self.old, self.forget = claims.write(_OLD), "DELETE FROM {table} WHERE {among} AND {state} = {done}"
        self.resolve = (_RESOLVE if is_kept else _DELETE_DEAD).format(_OF_A_DEAD_ROW)


def _claimed(options: TableOptions, shape: Shape) -> ClaimedTable:
    dialect = shape.dialect
    attempts = _ATTEMPTS[dialect]
    content = {f"content_{number}": sql for number, sql in enumerate(shape.content)}
    return ClaimedTable(
        table=options.table,
        key=options.id_column,
        state=options.state_column,
        waiting=options.states.pending,
        claimed=options.states.claimed,
        due=options.due_column,
        token=options.lease_column,
        index=shape.index,
        gives=(attempts, ":now - {first}", _WAITED_SINCE, *(f"{{{name}}}" for name in content)),
        condition="{has_key} AND ({where})" if options.where else "{has_key}",
        order="{due}, {key}" if shape.is_ordered else "{due}",
        untried=f"{attempts} = 0",
        more={
            "payload": options.payload_column,
            "attempts": options.attempts_column,
            "first": options.first_column,
            "settled": options.settled_column,
        },
        texts={
            **content,
            "where": opaque(literal(dialect, options.where or "1 = 1")),
            "key_part": quoted(dialect, options.id_column[0]),
            "pending": quoted_text(dialect, options.states.pending),
            "done": quoted_text(dialect, options.states.done),
            "dead": quoted_text(dialect, options.states.dead),
        },
    )
