"""What differs between SQLite, MySQL/MariaDB and PostgreSQL: the database's clock, the upsert, the lock on the schema.

Due times and leases are compared by the database's clock, never by the worker's. SQLAlchemy's dialect is imported where
a statement is made for it: each is some three megabytes, of which a process needs one.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import import_module
from typing import Any

from sqlalchemy import ColumnElement, Connection, Double, Insert, Table, func, literal_column, select

from consumerd.database.causes import NotReadyError

_SCHEMA_LOCK = 0x636F6E73  # any number that nobody else locks
_SCHEMA_LOCK_WAIT_S = 5

NOW = {
    "sqlite": "((julianday('now') - 2440587.5) * 86400.0)",
    "mysql": "(TIMESTAMPDIFF(MICROSECOND, '1970-01-01', UTC_TIMESTAMP(6)) / 1e6)",
    "postgresql": "CAST(EXTRACT(EPOCH FROM statement_timestamp()) AS DOUBLE PRECISION)",
}
"""The database's clock: seconds since the epoch, whatever the session's time zone.

It is constant within a statement, so that an index can be used.
"""

AS_BYTES = {"sqlite": "{}", "mysql": "CAST({} AS BINARY)", "postgresql": '{} COLLATE "C"'}
"""A column of text that is compared byte by byte, whatever collation its table has."""

BY_INDEX = {
    "postgresql": "SET LOCAL enable_seqscan = off; SET LOCAL enable_bitmapscan = off; SET LOCAL enable_sort = off; "
    "SET LOCAL enable_incremental_sort = off; SET LOCAL enable_hashjoin = off; SET LOCAL enable_mergejoin = off; "
    "SET LOCAL jit = off"
}
"""What a transaction that claims says first, where a database would go by its statistics: of a table that fills and
empties they say at any time that nearly nothing waits, and then it sorts all that does.
"""

END_IF_IDLE = {
    "mysql": "SET SESSION wait_timeout = 10",
    "postgresql": "SET LOCAL idle_in_transaction_session_timeout = '10s'",
}
"""What a transaction says first that holds a row for which others wait: so long it may be silent, then it is ended."""

SUPPORTED = frozenset(NOW)


def database_now(dialect: str) -> ColumnElement[float]:
    """The database's clock, in seconds since the epoch."""
    return literal_column(NOW[dialect], Double())


def takes_unicode(connection: Connection) -> bool:
    """Whether the database takes every Unicode character: our tables on MySQL do, some on PostgreSQL do not."""
    if connection.dialect.name != "postgresql":
        return True
    driver: Any = connection.connection.driver_connection  # psycopg's, which is imported where it is used
    return bool(driver.info.parameter_status("server_encoding") == "UTF8")


def upsert(
    dialect: str, table: Table, values: Mapping[str, Any], *, replaces: bool = True
) -> Insert:  # SQL expressions or parameters
    """An INSERT that replaces every named column of a row that is there already, or with False leaves that as it is.

    The key is the table's own.
    """
    insert = import_module(f"sqlalchemy.dialects.{dialect}").insert(table).values(values)
    keys = [column.name for column in table.primary_key]
    replaced = [name for name in values if name not in keys] if replaces else []
    made: Insert
    if dialect == "mysql":
        made = insert.on_duplicate_key_update({name: insert.inserted[name] for name in replaced or keys})
    elif replaced:
        made = insert.on_conflict_do_update(
            index_elements=keys, set_={name: insert.excluded[name] for name in replaced}
        )
    else:
        made = insert.on_conflict_do_nothing()
    return made


@contextmanager
def schema_lock(connection: Connection) -> Iterator[None]:
    """One process at a time changes the schema. SQLite needs none: its write transaction is such a lock."""
    match connection.dialect.name:
        case "mysql":
            with _mysql_lock(connection):
                yield
        case "postgresql":
            connection.execute(select(func.pg_advisory_xact_lock(_SCHEMA_LOCK)))
            yield
        case _:
            yield


@contextmanager
def _mysql_lock(connection: Connection) -> Iterator[None]:
    name = func.concat("consumerd.", func.database())
    if connection.execute(select(func.get_lock(name, _SCHEMA_LOCK_WAIT_S))).scalar() != 1:
        raise NotReadyError("another process has been making its tables for too long")
    try:
        yield
        connection.exec_driver_sql("COMMIT")  # as its changes of tables did: who takes the lock next sees all of it
    finally:
        connection.execute(select(func.release_lock(name)))
