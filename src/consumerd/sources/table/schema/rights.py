"""Whether the user of a claimed table's database may do what its workers do. Runs in probes."""

from __future__ import annotations

from collections.abc import Iterator

from sqlalchemy import Connection

from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.shape import Shape
from consumerd.sources.table.statements import Statements

_WRITTEN = ("state", "due", "token", "attempts", "first", "settled")


def check_rights(connection: Connection, options: TableOptions, shape: Shape) -> None:
    """Have a server plan what workers execute, which takes the same rights; its error where one of them is missing."""
    claims = Statements(options, shape, None).claims
    for statement in _statements(options) if options.is_server else ():
        claims.run(connection, claims.write(f"EXPLAIN {statement}")).close()


def _statements(options: TableOptions) -> Iterator[str]:
    sets = ", ".join(f"{{{part}}} = {{{part}}}" for part in _WRITTEN)
    yield f"UPDATE {{table}} SET {sets} WHERE {{has_key}}"
    content = "{table}"
    if options.is_beside:
        content = "{content_table}"
        yield "INSERT INTO {table} ({key}) SELECT {key} FROM {content_table} WHERE {has_key}"
        yield "DELETE FROM {table} WHERE {has_key}"
    if options.done != "keep" or options.retention is not None:
        yield f"DELETE FROM {content} WHERE {{has_key}}"
    if options.done_table is not None:
        yield f"INSERT INTO {{done_table}} ({{moved}}) {{overriding}} SELECT {{moved}} FROM {content} WHERE {{has_key}}"
