"""A claimed table: made, checked, and filled. For users, the demo and tests; the check runs in workers."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from itertools import repeat

import orjson
from sqlalchemy import Connection

from consumerd.clock import wall
from consumerd.database.embedded import EmbeddedDatabase, EmbeddedFile
from consumerd.database.lock import FileLock
from consumerd.database.sql import run, run_many
from consumerd.errors import SourceAwayError, SourceRefusedError
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.statements import Statements


def create_table(database: str, table: str = "tasks") -> None:
    """Make the table and its index, with the default columns, where they are missing; the file too.

    database: a path or `sqlite:///PATH`. Raises SourceAwayError where the file cannot be written.
    """
    options = TableOptions(database=database, table=table)
    sql = Statements(options)

    def create(connection: Connection) -> None:
        run(connection, sql.create)
        run(connection, sql.index)

    _write(options, create)


def enqueue(database: str, records: Iterable[object], table: str = "tasks") -> int:
    """Add one pending row for each record, as JSON, all in one transaction; how many.

    A record that is `bytes` is taken as the payload itself. Raises SourceAwayError, and then nothing was added.
    """
    options = TableOptions(database=database, table=table)
    payloads = [record if isinstance(record, bytes) else orjson.dumps(record) for record in records]
    insert = Statements(options).enqueue
    rows = insert.rows(payload=payloads, now=repeat(wall()))
    if rows:
        _write(options, lambda connection: run_many(connection, insert, rows))
    return len(rows)


def check_table(connection: Connection, options: TableOptions) -> None:
    """SourceRefusedError where it is not a table that can be claimed from, with what is to do."""
    name = f"the table {options.table} of {options.path}"
    found = connection.exec_driver_sql("SELECT name FROM pragma_table_info(?)", (options.table,)).scalars().all()
    if not found:
        raise SourceRefusedError(f"{name} does not exist: make it with consumerd.sources.table.schema.create_table")
    missing = [column for column in options.columns if column.lower() not in {there.lower() for there in found}]
    if missing:
        raise SourceRefusedError(f"{name} has no column {', '.join(missing)}: add it, or name another (…_column)")
    if not _is_unique(connection, options):
        raise SourceRefusedError(f"{name} has no unique index on {options.id_column}: make it the primary key")
    has_no_rowid = "SELECT wr FROM pragma_table_list(?)"
    if connection.exec_driver_sql(has_no_rowid, (options.table,)).scalar():
        raise SourceRefusedError(f"{name} is WITHOUT ROWID: make it anew without that")


def _write(options: TableOptions, step: Callable[[Connection], object]) -> None:
    lock = FileLock(options.lock_path)
    database = EmbeddedDatabase(
        EmbeddedFile(options.path, is_created=True, journal="wal"),
        lock,
        lambda cause: SourceAwayError(f"the database {options.path} is away: {cause}"),
    )
    try:
        database.write(step)
    finally:
        database.close()
        lock.close()


def _is_unique(connection: Connection, options: TableOptions) -> bool:
    """Whether the id alone is the primary key, or has a unique index of its own."""
    keys = "SELECT lower(name) FROM pragma_table_info(?) WHERE pk > 0"
    if connection.exec_driver_sql(keys, (options.table,)).scalars().all() == [options.id_column.lower()]:
        return True
    indexes = (
        "SELECT group_concat(lower(info.name)) FROM pragma_index_list(?) AS list, pragma_index_info(list.name) AS info "
        'WHERE list."unique" AND NOT list.partial GROUP BY list.name'
    )
    return options.id_column.lower() in connection.exec_driver_sql(indexes, (options.table,)).scalars().all()
