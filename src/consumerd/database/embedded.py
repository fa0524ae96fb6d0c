"""A SQLite file as a database that many processes write: every commit on the disk, the writers in a line."""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import NullPool

from consumerd.database.causes import NotReadyError, cause_of, is_of_content, words_of
from consumerd.database.database import Away
from consumerd.database.lock import FileLock
from consumerd.database.values import any_text

ResultT = TypeVar("ResultT")

LONGEST_WAIT_S = 5.0

_WRITING, _READING = "BEGIN IMMEDIATE", "BEGIN"
_UNREADABLE = "Could not decode to UTF-8"


@dataclass(frozen=True, slots=True)
class EmbeddedFile:
    """A SQLite file: its place, and how it is treated.

    is_created: make it, with mode 0600, where it is missing.
    journal: `wal` for speed; `persist` for what must outlive its disk's troubles, since a WAL's index is mapped into
    memory: where its page cannot be written any more (the file system went read-only, a full tmpfs), the kernel kills
    the process with SIGBUS instead of answering with an error. None: as the file's owner has set it.
    prepare: runs in a transaction on every new connection.
    """

    path: Path
    is_created: bool = False
    journal: Literal["wal", "persist"] | None = None
    prepare: Callable[[Connection], None] | None = None


class EmbeddedDatabase:
    """A `Database` on a SQLite file, for one thread. Those of one file and process share one `FileLock`.

    Errors are what `away` makes of a sentence. A file that was removed or replaced is noticed: SQLite itself would
    write on into what nobody will ever find.
    """

    def __init__(self, file: EmbeddedFile, lock: FileLock, away: Away) -> None:
        self._file = file
        self._lock = lock
        self._away = away
        self._identity: tuple[int, int] | None = None
        self._engine: Engine | None = None
        self._connection: Connection | None = None
        self._reads_any_text = False

    def write(self, step: Callable[[Connection], ResultT]) -> ResultT:
        """Run `step` under the file's lock and `BEGIN IMMEDIATE`, and commit."""
        return self._run(_WRITING, step, is_locked=True)

    def read(self, step: Callable[[Connection], ResultT]) -> ResultT:
        """Run `step` on one view of the file. The lock is taken to open it, and where readers hold up writers."""
        return self._run(_READING, step, is_locked=self._connection is None or self._file.journal == "persist")

    def rest(self) -> None:
        """Nothing: nobody else needs a file's connection."""

    def close(self) -> None:
        """Close the connection."""
        connection, engine = self._connection, self._engine
        self._connection = self._engine = self._identity = None
        if connection is not None:
            connection.invalidate()
            connection.close()
        if engine is not None:
            engine.dispose()

    def _run(self, begin: str, step: Callable[[Connection], ResultT], *, is_locked: bool) -> ResultT:
        try:
            engine = self._engine = self._engine or _engine(self._file.path)  # slow: not while others wait for the lock
            with self._locked() if is_locked else nullcontext():
                return _transact(self._opened(engine), begin, step)
        except (SQLAlchemyError, sqlite3.Error, OSError, NotReadyError) as error:
            if self._connection is not None and not self._reads_any_text and _UNREADABLE in words_of(error):
                self._reads_any_text = True  # slower, and needed by few files
                driver_of(self._connection).text_factory = any_text
                return self._run(begin, step, is_locked=is_locked)
            if not is_of_content(error):
                self.close()
                self._lock.close()
            raise self._away(cause_of(error)) from error

    @contextmanager
    def _locked(self) -> Iterator[None]:
        if not self._lock.acquire(LONGEST_WAIT_S):
            raise self._away(
                f"another process has held {self._lock.path} for {LONGEST_WAIT_S:g} s: see which one hangs"
            )
        try:
            yield
        finally:
            self._lock.release()

    def _opened(self, engine: Engine) -> Connection:
        """The connection; a new one where there is none, for which the lock is held."""
        if self._connection is not None:
            if self._identity != _identity(self._file.path):
                raise FileNotFoundError(2, "it was removed or replaced", str(self._file.path))
            return self._connection
        if self._file.is_created:
            _create(self._file.path)
        self._identity = _identity(self._file.path)
        connection = self._connection = engine.connect()
        try:
            self._make_ready(connection)
        except BaseException:
            self.close()
            raise
        return connection

    def _make_ready(self, connection: Connection) -> None:
        driver, journal = driver_of(connection), self._file.journal
        driver.execute("PRAGMA synchronous=FULL")
        driver.text_factory = any_text if self._reads_any_text else str
        driver.execute("PRAGMA mmap_size=0")
        if journal is not None and driver.execute("PRAGMA journal_mode").fetchone()[0] != journal:
            driver.execute(f"PRAGMA journal_mode={journal}")
        if self._file.prepare is not None:
            _transact(connection, _WRITING, self._file.prepare)


def driver_of(connection: Connection) -> sqlite3.Connection:
    """The driver's own connection, for statements that are run so often that SQLAlchemy's share of them counts."""
    driver: sqlite3.Connection | None = connection.connection.driver_connection
    assert driver is not None
    return driver


def _transact(connection: Connection, begin: str, step: Callable[[Connection], ResultT]) -> ResultT:
    """BEGIN and COMMIT go past SQLAlchemy where `step` did too: for small steps that is a good part of the cost."""
    driver = driver_of(connection)
    driver.execute(begin)
    try:
        result = step(connection)
        if connection.in_transaction():
            connection.commit()
        driver.commit()
    except BaseException:
        connection.rollback()
        driver.rollback()
        raise
    return result


def _engine(path: Path) -> Engine:
    """An engine whose driver leaves BEGIN to us; one thread at a time uses its connection, not always the same."""
    return create_engine(
        URL.create("sqlite+pysqlite", database=str(path)),
        connect_args={"timeout": LONGEST_WAIT_S, "isolation_level": None, "check_same_thread": False},
        poolclass=NullPool,
    )


def _identity(path: Path) -> tuple[int, int]:
    found = path.stat()
    return found.st_dev, found.st_ino


def _create(path: Path) -> None:
    """Make the file before SQLite does, which would let others read it; one that is there must not be opened here."""
    with suppress(FileExistsError):
        os.close(os.open(path, os.O_RDWR | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC, 0o600))
