"""A claimed table: made, and filled. For users, the demo and tests."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

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
    options = TableOptions(database=database, table=table)
    payloads = [record if isinstance(record, bytes) else orjson.dumps(record) for record in records]

    def insert(connection: Connection) -> None:
        statement = _written(_ENQUEUE, options, connection.dialect.name)
        run_many(connection, statement, statement.rows(payload=payloads))
        if connection.dialect.name == "postgresql":
            run(connection, _TELL, channel=CHANNEL, name=options.table.rpartition(".")[2])

    if payloads:
        opening = Opening(options)
        opened = opening.database(is_created=True)
        try:
            opened.write(insert)
        finally:
            opened.close()
            opening.close()
        ring(options)
    return len(payloads)


def wake(database: str, table: str = "tasks") -> None:
    """Have the pools of this host that work on the table look at it: for whoever adds rows by statements of their own.

    It connects to nothing, and never fails. Those of other hosts look within their `poll_interval`, unless PostgreSQL
    tells them.
    """
    ring(TableOptions(database=database, table=table))


def telling(table: str = "tasks") -> tuple[str, ...]:
    """The statements by which PostgreSQL tells, from then on, of rows that any program inserts into the table."""
    return _TELLING, _TRIGGER.format(table=quoted_table("postgresql", table))


def _written(template: str, options: TableOptions, dialect: str) -> Statement:
    names = {"payload": options.payload_column, "state": options.state_column, "due": options.due_column}
    parts = {part: quoted(dialect, name) for part, name in names.items()}
    parts |= {
        "table": quoted_table(dialect, options.table),
        "pending": quoted_text(dialect, options.states.pending),
    }
    return written(template, parts, dialect, is_clock_given=False)
