"""The engine of a consumer's own database: what its code gets as `self.database`. Runs in workers."""

from __future__ import annotations

from urllib.parse import unquote

from sqlalchemy import URL, Engine, QueuePool, create_engine, event

from consumerd.database.urls import driver_needed, own_connect_arguments, read_url
from consumerd.errors import UsageError
from consumerd.model.shards import Shard

KEY = "database"
_FILE = "sqlite:///"

CONNECTIONS_IN_RESERVE = 4
"""One connection is kept for each task that runs at once. Where more are used, such as a cursor that is read while
tasks are handled, they are closed when they are given back."""
LONGEST_WAIT_S = 5.0
RENEWED_AFTER_S = 1800

IN_MEMORY = {"pool_size": 1, "max_overflow": 0, "pool_timeout": LONGEST_WAIT_S}
"""Such a database is in one connection, which is kept: threads take turns."""


def open_engine(database: object, *, kept: int = 1) -> Engine:
    """The engine for what the key `database` holds: the URL of a server, or a SQLite file. It connects to nothing yet.

    kept: how many connections stay open once they were used.

    A connection is tested before it is used, and renewed after half an hour. On a server it is READ COMMITTED, so that
    a query sees new rows. UsageError where the key holds no such thing; MissingExtraError without the driver.
    """
    if not isinstance(database, str) or not database:
        raise UsageError(
            f"self.database needs the key `{KEY}` in `configs`: the URL of a server, such as "
            "mysql://user:password@host/database or postgresql://…, or the path of a SQLite file"
        )
    if "://" not in database or database.startswith(_FILE):
        file = unquote(database.removeprefix(_FILE)) if database.startswith(_FILE) else database
        engine = create_engine(
            URL.create("sqlite+pysqlite", database=file),
            connect_args={"timeout": LONGEST_WAIT_S, "check_same_thread": False},
            poolclass=QueuePool,
            **(IN_MEMORY if file == ":memory:" else {"pool_size": kept, "max_overflow": CONNECTIONS_IN_RESERVE}),
        )
        event.listen(engine, "connect", lambda connection, _: Shard.teach(connection))
        return engine
    url = read_url(database, KEY)
    with driver_needed(url):
        return create_engine(
            url,
            isolation_level="READ COMMITTED",
            pool_size=kept,
            max_overflow=CONNECTIONS_IN_RESERVE,
            pool_timeout=LONGEST_WAIT_S,
            pool_pre_ping=True,
            pool_recycle=RENEWED_AFTER_S,
            connect_args=own_connect_arguments(url),
        )
