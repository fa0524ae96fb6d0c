"""How the database of a claimed table is opened: a SQLite file, or a server. Runs in workers and in probes."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from urllib.parse import quote

from sqlalchemy import URL, Connection, NullPool, create_engine

from consumerd.database.database import Database
from consumerd.database.embedded import EmbeddedDatabase, EmbeddedFile
from consumerd.database.lock import FileLock
from consumerd.database.server import ServerDatabase
from consumerd.database.urls import connect_arguments, driver_needed, own_connect_arguments, read_url, shown
from consumerd.errors import SourceAwayError, SourceRefusedError
from consumerd.sources.table.options import TableOptions

LOCK_WAIT_S = 2
"""A row that somebody else has locked is waited for so long; then it is settled by itself, later, and others go on."""


class Opening:
    """Opens as many databases as one process needs on one table; those on a file share its lock.

    place: where it is, in words without secrets.
    lock: of a file; None on a server.
    """

    def __init__(self, options: TableOptions) -> None:
        self._options = options
        self.place = f"database {shown(read_url(options.database, 'database')) if options.is_server else options.path}"
        self.lock = None if options.is_server else FileLock(options.lock_path)

    def database(self, prepare: Callable[[Connection], None] | None = None, *, is_created: bool = False) -> Database:
        """For whole transactions. prepare: runs on what was opened. is_created: a file that is not there is made.

        SourceRefusedError where a file is not there.
        """
        if self.lock is None:
            url = read_url(self._options.database, "database")
            return ServerDatabase(url, self._away, prepare, is_kept=True, lock_wait_s=LOCK_WAIT_S)
        if not is_created and not self._options.path.exists():
            raise SourceRefusedError(f"there is no {self.place}: make it, or correct `database`")
        path = self._options.path
        file = EmbeddedFile(path, is_created=True, journal="wal") if is_created else EmbeddedFile(path, prepare=prepare)
        return EmbeddedDatabase(file, self.lock, self._away)

    def quick_database(self) -> Database:
        """For single statements, which cost a server nothing besides."""
        if self.lock is None:
            url = read_url(self._options.database, "database")
            return ServerDatabase(url, self._away, is_kept=True, is_autocommit=True, lock_wait_s=LOCK_WAIT_S)
        return EmbeddedDatabase(EmbeddedFile(self._options.path), self.lock, self._away)

    def _away(self, cause: str) -> SourceAwayError:
        return SourceAwayError(f"the {self.place} is away: {cause}")

    def close(self) -> None:
        """Close the lock of a file; the databases are closed by whoever has them."""
        if self.lock is not None:
            self.lock.close()


@contextmanager
def away_while(*, is_in_use: bool) -> Iterator[None]:
    """A table that cannot be claimed from is away while somebody has rows of it: they are handled already, or soon, and
    with the worker it would be lost that they were.
    """
    try:
        yield
    except SourceRefusedError as error:
        if not is_in_use:
            raise
        raise SourceAwayError(str(error)) from error


@contextmanager
def connected(options: TableOptions, *, is_patient: bool = False) -> Iterator[Connection]:
    """A connection that ends with its block, and to a file can only read.

    is_patient: each statement is a transaction, and may take as long as it takes.
    """
    if options.is_server:
        url = read_url(options.database, "database")
        arguments = own_connect_arguments(url) if is_patient else connect_arguments(url)
    else:
        query = {"mode": "ro", "uri": "true"}
        url = URL.create("sqlite+pysqlite", database=f"file:{quote(str(options.path))}", query=query)
        arguments = {}
    more = {"isolation_level": "AUTOCOMMIT"} if is_patient else {}
    with driver_needed(url):
        engine = create_engine(url, poolclass=NullPool, connect_args=arguments, **more)
    try:
        with engine.connect() as connection:
            yield connection
    finally:
        engine.dispose()
