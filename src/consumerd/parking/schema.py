"""The tables of the parking store, and how they come to be: at first use, by 64 processes at once if it must be.

The key of a row is a hash of its consumer and task id: task ids may be of any length, a key of MySQL may not.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress

from sqlalchemy import (
    BigInteger,
    Column,
    Connection,
    Double,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    delete,
    false,
    insert,
    inspect,
    select,
    update,
)
from sqlalchemy.exc import ProgrammingError
from sqlalchemy.schema import CreateTable
from sqlalchemy.types import TypeEngine

from consumerd.database.causes import NotReadyError
from consumerd.database.dialects import schema_lock

_NOWHERE = "parked_that_is_nowhere"

KEY_CHARACTERS = 32
CONSUMER_CHARACTERS = 129
SOURCE_CHARACTERS = 500
OWNER_CHARACTERS = 255
EDITION_CHARACTERS = 500

_LONGBLOB_BYTES, _MEDIUMTEXT_BYTES = 2**32 - 1, 2**24 - 1
"""By the longest content MySQL and MariaDB choose the type."""

_MYSQL = {
    "mysql_engine": "InnoDB",
    "mysql_charset": "utf8mb4",
    "mysql_collate": "utf8mb4_bin",
    "mysql_row_format": "DYNAMIC",
}

METADATA = MetaData()


def _name(length: int) -> TypeEngine[str]:
    """Text that is compared byte by byte on every database, so that a prefix is a range of its index."""
    return String(length).with_variant(String(length, collation="C"), "postgresql")


def _bytes() -> TypeEngine[bytes]:
    return LargeBinary().with_variant(LargeBinary(_LONGBLOB_BYTES), "mysql")


def _text() -> TypeEngine[str]:
    return Text().with_variant(Text(_MEDIUMTEXT_BYTES), "mysql")


PARKED = Table(
    "parked",
    METADATA,
    Column("id", _name(KEY_CHARACTERS), primary_key=True),
    Column("consumer", _name(CONSUMER_CHARACTERS), nullable=False),
    Column("task_id", _text(), nullable=False),
    Column("source", _name(SOURCE_CHARACTERS), nullable=False),
    Column("shard", Integer, nullable=False),
    Column("position", BigInteger, nullable=False),
    Column("offset", BigInteger, nullable=False),
    Column("state", String(8), nullable=False),
    Column("due_at", Double),
    Column("attempts", Integer, nullable=False),
    Column("crashes", Integer, nullable=False),
    Column("first_at", Double, nullable=False),
    Column("last_at", Double, nullable=False),
    Column("error", _text(), nullable=False),
    Column("traceback", _text(), nullable=False),
    Column("log", _text()),
    Column("headers", _bytes()),
    Column("key", _bytes()),
    Column("payload", _bytes()),
    Column("size_bytes", BigInteger, nullable=False),
    Column("parts", Integer, nullable=False),
    Column("lease_token", _name(OWNER_CHARACTERS)),
    Column("lease_until", Double),
    Index("ix_parked_due", "consumer", "state", "due_at"),
    Index("ix_parked_position", "consumer", "source", "shard", "position"),
    Index("ix_parked_lease", "lease_token"),
    Index("ix_parked_last", "last_at"),
)
"""Times are seconds since the epoch. `parts`: how many rows of `parked_part` hold what is too long for this one."""

PARTS = Table(
    "parked_part",
    METADATA,
    Column("id", _name(KEY_CHARACTERS), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("content", _bytes(), nullable=False),
)
"""Long contents, cut: a server refuses a statement of more than `max_allowed_packet`, 16 MiB on MariaDB."""

DIVISIONS = Table(
    "parked_division",
    METADATA,
    Column("consumer", _name(CONSUMER_CHARACTERS), primary_key=True),
    Column("content", _text(), nullable=False),
)
"""How the workers of a consumer divide its keys: `model.division`. How hosts share a limit: `limits.parts`; its row is
called `limit NAME`, as no consumer is.
"""

SCHEDULES = Table(
    "parked_schedule",
    METADATA,
    Column("consumer", _name(CONSUMER_CHARACTERS), primary_key=True),
    Column("edition", String(EDITION_CHARACTERS), nullable=False),
    Column("next_at", Double, nullable=False),
    Column("judged_at", Double, nullable=False),
    Column("last_at", Double),
    Column("took_s", Double),
    Column("finished", BigInteger, nullable=False),
    Column("missed", BigInteger, nullable=False),
    Column("skipped", BigInteger, nullable=False),
)
"""A schedule: when it comes next, and when that was found; when the last run was due, how long one took, how many
there were.
"""

TICKS = Table(
    "parked_tick",
    METADATA,
    Column("id", _name(KEY_CHARACTERS), primary_key=True),
    Column("consumer", _name(CONSUMER_CHARACTERS), nullable=False),
    Column("task_id", String(OWNER_CHARACTERS), nullable=False),
    Column("state", String(8), nullable=False),
    Column("scheduled_at", Double, nullable=False),
    Column("due_at", Double, nullable=False),
    Column("record", _bytes(), nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("first_at", Double),
    Column("starts", Integer, nullable=False),
    Column("began_at", Double),
    Column("done", Double),
    Column("total", Double),
    Column("noted_at", Double),
    Column("lease_token", _name(OWNER_CHARACTERS)),
    Column("lease_until", Double),
    Index("ix_parked_tick_due", "consumer", "state", "due_at"),
    Index("ix_parked_tick_lease", "lease_token"),
)
"""A run of a schedule that is not done: it waits, or a worker has it. `starts`: how often it has been begun."""

SCHEMA = Table("parked_schema", METADATA, Column("version", Integer, primary_key=True, autoincrement=False))


Migration = Callable[[Connection], None]


def _add_divisions(connection: Connection) -> None:
    """To version 2, and to version 4: a version 2 that was never released had another table."""
    _create_table(connection, DIVISIONS)


def _add_schedules(connection: Connection) -> None:
    """To version 3."""
    for table in (SCHEDULES, TICKS):
        _create_table(connection, table)
        _create_indexes(connection, table)


def _add_log(connection: Connection) -> None:
    """To version 5."""
    if "log" not in {column["name"] for column in inspect(connection).get_columns(PARKED.name)}:
        kind = PARKED.c.log.type.compile(connection.dialect)
        connection.exec_driver_sql(f"ALTER TABLE {PARKED.name} ADD COLUMN log {kind}")


MIGRATIONS: tuple[Migration, ...] = (_add_divisions, _add_schedules, _add_divisions, _add_log)
"""The first brings tables of version 1 to version 2, and so on; the tables above are as after the last.

Each may be run again after a process that died in it: MySQL and MariaDB commit what changes a table at once.
"""


def ensure_schema(connection: Connection, migrations: Sequence[Migration] = MIGRATIONS) -> None:
    """Make what is missing, and bring older tables to this version, within the caller's transaction."""
    newest = 1 + len(migrations)
    if _known_version(connection, newest) == newest:
        return
    with schema_lock(connection):
        version = _known_version(connection, newest)  # another process may have been quicker
        if version is None:
            _create(connection)
            connection.execute(insert(SCHEMA).values(version=newest))
            return
        for number in range(version, newest):
            migrations[number - 1](connection)
            connection.execute(update(SCHEMA).values(version=number + 1))


def check_rights(connection: Connection) -> None:
    """Do what takes the rights that a worker needs, and change nothing; an error of the database where one is missing.

    NotReadyError for tables of a newer version.
    """
    newest = 1 + len(MIGRATIONS)
    if _known_version(connection, newest) != newest:
        _check_creation(connection)
        return
    for table in (PARKED, PARTS, DIVISIONS, SCHEDULES, TICKS):
        nothing = select(table).where(false())
        connection.execute(nothing)
        connection.execute(insert(table).from_select(list(table.columns), nothing))
        connection.execute(update(table).where(false()).values({column: column for column in table.columns}))
        connection.execute(delete(table).where(false()))


def _check_creation(connection: Connection) -> None:
    """Make the tables and take them back. MySQL commits each: it is asked for what has no table to begin with."""
    if connection.dialect.name != "mysql":
        with schema_lock(connection), connection.begin_nested() as made:
            _create(connection)
            made.rollback()
        return
    for statement in (f"CREATE TABLE {SCHEMA.name} LIKE {_NOWHERE}", f"CREATE INDEX ix_nowhere ON {_NOWHERE} (id)"):
        with suppress(ProgrammingError):  # there is no such table; without the right, that is an OperationalError
            connection.exec_driver_sql(statement)


def _known_version(connection: Connection, newest: int) -> int | None:
    """The version of the tables, None where there are none. NotReadyError where nobody here knows it.

    SQLite is not inspected by SQLAlchemy: each process that opens the file asks it while all others wait for the lock.
    """
    if connection.dialect.name == "sqlite":
        tables = "SELECT count(*) FROM sqlite_master WHERE type = 'table' AND name = ?"
        is_there = bool(connection.exec_driver_sql(tables, (SCHEMA.name,)).scalar())
    else:
        is_there = inspect(connection).has_table(SCHEMA.name)
    version: int | None = (
        connection.exec_driver_sql(f"SELECT version FROM {SCHEMA.name}").scalar() if is_there else None
    )
    if version is not None and version > newest:
        raise NotReadyError(
            f"its tables have version {version}, and this consumerd knows version {newest}: update consumerd"
        )
    return version


def _create(connection: Connection) -> None:
    """Make the tables; each step may have been done before by a process that died half-way."""
    for table in METADATA.sorted_tables:
        _create_table(connection, table)
        _create_indexes(connection, table)


def _create_table(connection: Connection, table: Table) -> None:
    if connection.dialect.name == "mysql":
        table.dialect_kwargs.update(_MYSQL)  # here: a table that is made with them imports the dialect
    connection.execute(CreateTable(table, if_not_exists=True))


def _create_indexes(connection: Connection, table: Table) -> None:
    there = {index["name"] for index in inspect(connection).get_indexes(table.name)}
    for index in table.indexes:
        if index.name not in there:
            index.create(connection)
