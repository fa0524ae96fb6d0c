"""The SQL of a claimed table, besides its claims.

A row's `due_at` is when it may next be claimed: while it is pending, when its time has come; while it is claimed, when
its lease has run out. Once it is finished it is when that was, so that one index, (state, due_at), tells what is next,
what was last, and what is old. `lease` is the token of the claim that has the row, `<member>#<generation>/<number>`;
what settles must still have it.
"""

from __future__ import annotations

from collections.abc import Callable

from consumerd.database.claimed_table import ClaimedTable
from consumerd.database.claims import Claims, Steps
from consumerd.database.sql import opaque, quoted, quoted_table, quoted_text
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.shape import Shape

_FINISHED = "{{state}} = {{{state}}}, {{due}} = :now, {{token}} = NULL, {{settled}} = :now"
_DEFERRED = """
{state} = {pending}, {due} = :now + :after, {token} = NULL, {attempts} = :attempts,
{first} = coalesce({first}, :now - :age)"""

_CLAIMED, _DEAD, _DONE = "{token} = :token", "{state} = {dead}", "{state} = {done}"
"""Whose rows are settled: those of a claim, dead ones, done ones."""
_LOCK, _DELETE = "SELECT 1 FROM {table} WHERE {among} AND %s {lock}", "DELETE FROM {table} WHERE {among} AND %s"
_KEEP = f"UPDATE {{table}} SET {_FINISHED.format(state='done')} WHERE {{among}} AND %s"
_MOVE = "INSERT INTO {done_table} ({moved}) {overriding} SELECT {as_done} FROM {table} WHERE {among} AND %s"
_FINISHING = {"keep": (_KEEP,), "delete": (_DELETE,), "move": (_LOCK, _MOVE, _DELETE)}
"""What becomes of finished rows. What is moved is locked first: a row that somebody else takes meanwhile stays."""

_IN_CONTENT = "{content_table} WHERE {among} AND EXISTS (SELECT 1 FROM {table} WHERE {same_key} AND %s)"
_DELETE_CONTENT = f"DELETE FROM {_IN_CONTENT}"
_MOVE_CONTENT = f"INSERT INTO {{done_table}} ({{moved}}) {{overriding}} SELECT {{moved}} FROM {_IN_CONTENT}"
_FINISHING_BESIDE = {
    "keep": (_KEEP,),
    "delete": (_LOCK, _DELETE_CONTENT, _DELETE),
    "move": (_LOCK, _MOVE_CONTENT, _DELETE_CONTENT, _DELETE),
}
"""The same where the claims stand beside the table."""

_OLD = """
SELECT {key} FROM {table} {hint} WHERE {state} = {done} AND {due} < :now - :seconds ORDER BY {due}
LIMIT :limit OFFSET :passed"""
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
    old: finds rows that have been done for so long; forget: deletes them, for `Claims.change`.
    resolve: a dead row is done after all; for `Claims.change`.
    """

    def __init__(self, options: TableOptions, shape: Shape, now: Callable[[], float] | None) -> None:
        """now: the clock of a database in this process; None: a server's own."""
        self.claims = claims = Claims(_claimed(options, shape), shape.dialect, now)
        done = options.done
        self.done, self.resolve = _finishing(options, done, _CLAIMED), _finishing(options, done, _DEAD)
        self.dead = claims.settlement(_FINISHED.format(state="dead"))
        self.defer = claims.settlement(_DEFERRED)
        self.free = claims.settlement("{state} = {pending}, {due} = :since, {token} = NULL")
        self.old, self.forget = claims.write(_OLD), _finishing(options, "delete", _DONE)


def _finishing(options: TableOptions, done: str, whose: str) -> Steps:
    finishing = _FINISHING_BESIDE if options.is_beside else _FINISHING
    steps = tuple(step % whose for step in finishing[done])
    return steps[0] if len(steps) == 1 else steps


def _claimed(options: TableOptions, shape: Shape) -> ClaimedTable:
    dialect = shape.dialect
    attempts = _ATTEMPTS[dialect]
    content = {} if options.is_beside else {f"content_{number}": sql for number, sql in enumerate(shape.content)}
    where = "" if options.is_beside else options.where
    return ClaimedTable(
        table=options.claimed_table,
        key=options.id_column,
        state=options.state_column,
        waiting=options.states.pending,
        claimed=options.states.claimed,
        due=options.due_column,
        token=options.lease_column,
        index=shape.index,
        turns=options.turn_columns,
        turn_index=shape.turn_index,
        gives=(attempts, ":now - {first}", _WAITED_SINCE, *(f"{{{name}}}" for name in content)),
        condition="{has_key} AND ({where})" if where else "{has_key}",
        is_ordered=shape.is_ordered,
        untried=f"{attempts} = 0",
        more={
            "payload": options.payload_column,
            "attempts": options.attempts_column,
            "first": options.first_column,
            "settled": options.settled_column,
        },
        texts={
            **content,
            **_moving(options, shape),
            **(_beside(options, shape) if options.is_beside else {}),
            "where": opaque(where or "1 = 1"),
            "pending": quoted_text(dialect, options.states.pending),
            "done": quoted_text(dialect, options.states.done),
            "dead": quoted_text(dialect, options.states.dead),
        },
    )


def _moving(options: TableOptions, shape: Shape) -> dict[str, str]:
    """Parts of what moves a row to another table, as it is when it is done."""
    if options.done_table is None:
        return {}
    when_done = {
        options.state_column.lower(): quoted_text(shape.dialect, options.states.done),
        options.due_column.lower(): ":now",
        options.settled_column.lower(): ":now",
        options.lease_column.lower(): "NULL",
    }
    columns = [(name, quoted(shape.dialect, name)) for name in shape.moved]
    return {
        "done_table": quoted_table(shape.dialect, options.done_table),
        "moved": ", ".join(column for _, column in columns),
        "as_done": ", ".join(when_done.get(name.lower(), column) for name, column in columns),
        "overriding": "OVERRIDING SYSTEM VALUE" if shape.dialect == "postgresql" else "",
    }


_UNLESS_THERE = {
    "sqlite": "ON CONFLICT DO NOTHING",
    "postgresql": "ON CONFLICT DO NOTHING",
    "mysql": "ON DUPLICATE KEY UPDATE {0} = {0}",
}


def _beside(options: TableOptions, shape: Shape) -> dict[str, str]:
    """Parts of what needs both the table and the one beside it that has its claims."""
    dialect = shape.dialect
    claims, content = quoted_table(dialect, options.claimed_table), quoted_table(dialect, options.table)
    key = [quoted(dialect, column) for column in options.id_column]
    taken = [f"consumerd_taken.consumerd_{place}" for place in range(len(key))]
    return {
        **{f"key_{place}": column for place, column in enumerate(key)},
        "content_table": content,
        "content": ", ".join(shape.content),
        "content_where": opaque(options.where or "1 = 1"),
        "same_key": " AND ".join(f"{claims}.{column} = {content}.{column}" for column in key),
        "key_backwards": ", ".join(f"{column} DESC" for column in key),
        "key_as_taken": ", ".join(f"{column} AS consumerd_{place}" for place, column in enumerate(key)),
        "taken_key": ", ".join(taken),
        "is_taken": " AND ".join(f"{each} = {content}.{column}" for each, column in zip(taken, key, strict=True)),
        "unless_there": _UNLESS_THERE[dialect].format(f"{claims}.{key[0]}"),
    }
