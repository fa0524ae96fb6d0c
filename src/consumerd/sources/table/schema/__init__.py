"""A claimed table: made, and filled. For users, the demo and tests."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any

import orjson
from sqlalchemy import Connection

from consumerd.database.sql import Statement, quoted, quoted_table, quoted_text, run, run_many, written
from consumerd.sources.table.bell import ring
from consumerd.sources.table.listening import CHANNEL
from consumerd.sources.table.opening import Opening
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.schema.changes import changes, make_in_file

_ENQUEUE = "INSERT INTO {table} ({payload}, {state}, {due}) VALUES (:payload, {pending}, :now)"

_TELLING = f"""CREATE OR REPLACE FUNCTION {CHANNEL}_tell() RETURNS trigger LANGUAGE plpgsql AS
$$BEGIN PERFORM pg_notify('{CHANNEL}', TG_TABLE_NAME); RETURN NULL; END$$"""
_TRIGGER = f"""CREATE TRIGGER {CHANNEL}_tell AFTER INSERT ON {{table}}
FOR EACH STATEMENT EXECUTE FUNCTION {CHANNEL}_tell()"""
_TELL = written("SELECT pg_notify(:channel, :name)", {}, "postgresql", is_clock_given=False)


def create_table(database: str, table: str = "tasks") -> None:
    """Make the table and its index, with the default columns, where they are missing; a SQLite file, too.

    database: a path, `sqlite:///PATH`, or the URL of a server. Raises SourceError where it cannot be written.
    """
    _make(TableOptions(database=database, table=table))


def create_claims_table(database: str, table: str, claims_table: str, id_column: str | Sequence[str] = "id") -> None:
    """Make the table that has the claims on the rows of `table`, with the default columns, and its index, if missing.

    id_column: the key of `table`. Raises SourceAwayError where it cannot be written.
    """
    key = (id_column,) if isinstance(id_column, str) else tuple(id_column)
    _make(TableOptions(database=database, table=table, claims_table=claims_table, id_column=key, columns=("*",)))


def _make(options: TableOptions) -> None:
    if options.is_server:
        changes(options, is_made=True)
    else:
        make_in_file(Opening(options), options, is_created=True)


def enqueue(database: str, records: Iterable[object], table: str = "tasks") -> int:
    """Add one pending row for each record, as JSON, all in one transaction; how many.

    A record that is `bytes` is taken as the payload itself. Raises SourceAwayError, and then nothing was added.
    """
    payloads = [record if isinstance(record, bytes) else orjson.dumps(record) for record in records]

    def insert(connection: Connection, statement: Statement) -> None:
        run_many(connection, statement, statement.rows(payload=payloads))

    if payloads:
        _add(TableOptions(database=database, table=table), insert, is_created=True)
    return len(payloads)


def insert_each(
    options: TableOptions, payloads: Sequence[bytes | str], check: Callable[[Connection, object], object]
) -> list[object]:
    """Add one pending row for each payload, all in one transaction; their keys, None where the database tells none.

    check: is called with the key of each new row within it; if it raises, nothing is added. Raises as `enqueue` does.
    """
    keys: list[object] = []

    def insert(connection: Connection, statement: Statement) -> None:
        keys.clear()  # the transaction may be tried again
        for payload in payloads:
            added = run(connection, statement, payload=payload)
            keys.append(_key_of(added, connection.dialect.name, len(options.id_column)))
        for key in keys:
            check(connection, key)

    _add(options, insert, tells_keys=True)
    return keys


def _add(
    options: TableOptions,
    insert: Callable[[Connection, Statement], None],
    *,
    is_created: bool = False,
    tells_keys: bool = False,
) -> None:
    """Have rows inserted, and workers told. is_created: a file that is not there is made."""

    def write(connection: Connection) -> None:
        insert(connection, _written(_ENQUEUE, options, connection.dialect.name, tells_keys=tells_keys))
        if connection.dialect.name == "postgresql":
            run(connection, _TELL, channel=CHANNEL, name=options.table.rpartition(".")[2])

    opening = Opening(options)
    opened = opening.database(is_created=is_created)
    try:
        opened.write(write)
    finally:
        opened.close()
        opening.close()
    ring(options)


def _key_of(added: Any, dialect: str, width: int) -> object:  # a cursor, or the like
    """The key of the row that was added."""
    if dialect == "mysql":  # MySQL has no RETURNING
        return (added.lastrowid or None) if width == 1 else None
    row = added.fetchone()
    return row[0] if width == 1 else tuple(row)


def wake(database: str, table: str = "tasks") -> None:
    """Have the pools of this host that work on the table look at it: for whoever adds rows by statements of their own.

    It connects to nothing, and never fails. Those of other hosts look within their `poll_interval`, unless PostgreSQL
    tells them.
    """
    ring(TableOptions(database=database, table=table))


def telling(table: str = "tasks") -> tuple[str, ...]:
    """The statements by which PostgreSQL tells, from then on, of rows that any program inserts into the table."""
    return _TELLING, _TRIGGER.format(table=quoted_table("postgresql", table))


def _written(template: str, options: TableOptions, dialect: str, *, tells_keys: bool) -> Statement:
    names = {"payload": options.payload_column, "state": options.state_column, "due": options.due_column}
    parts = {part: quoted(dialect, name) for part, name in names.items()}
    parts |= {
        "table": quoted_table(dialect, options.table),
        "pending": quoted_text(dialect, options.states.pending),
        "key": ", ".join(quoted(dialect, column) for column in options.id_column),
    }
    returning = " RETURNING {key}" * (tells_keys and dialect != "mysql")
    return written(template + returning, parts, dialect, is_clock_given=False)
