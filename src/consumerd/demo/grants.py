"""The grants of the demo, in a SQLite file, and a book of every time that a login was handled.

Runs in workers, which write it, and in the command line, which reads it. The book has no unique key on purpose: a
login that was handled twice shows.
"""

from __future__ import annotations

import os
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from consumerd.demo.logins import GrantKey

BUSY_S = 30.0

_SCHEMA = """
CREATE TABLE IF NOT EXISTS login_grant (
    platform INTEGER, uid INTEGER, app_id INTEGER, last_use_time INTEGER NOT NULL,
    PRIMARY KEY (platform, uid, app_id)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS handled (login_id INTEGER NOT NULL, worker_pid INTEGER NOT NULL);
"""

_GRANT = """
INSERT INTO login_grant VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET last_use_time = max(last_use_time, excluded.last_use_time)
"""


@dataclass(frozen=True, slots=True)
class Handling:
    """One time that a login was handled, by the process `worker_pid`."""

    login_id: int
    worker_pid: int


class Grants:
    """The file behind one connection, which belongs to the process that opened it."""

    def __init__(self, path: str | os.PathLike[str]) -> None:
        self._database = sqlite3.connect(path, timeout=BUSY_S, isolation_level=None)
        self._database.execute("PRAGMA journal_mode = WAL")
        self._database.execute("PRAGMA synchronous = NORMAL")

    def create(self) -> None:
        """Make the tables."""
        self._database.executescript(_SCHEMA)

    def update_grant_use_time(self, grant: GrantKey, last_use_time: int, *, login_id: int) -> None:
        """Keep the newest time of a grant, and enter the handling into the book; both or neither."""
        with self._transaction():
            self._database.execute(_GRANT, (*grant, last_use_time))
            self._database.execute("INSERT INTO handled VALUES (?, ?)", (login_id, os.getpid()))

    def count(self) -> int:
        """How many different logins were handled so far."""
        (count,) = self._database.execute("SELECT count(DISTINCT login_id) FROM handled").fetchone()
        return int(count)

    def read_grants(self) -> dict[GrantKey, int]:
        rows = self._database.execute("SELECT platform, uid, app_id, last_use_time FROM login_grant")
        return {(platform, uid, app_id): last for platform, uid, app_id, last in rows}

    def read_handled(self) -> tuple[Handling, ...]:
        """The book, in the order in which it was written."""
        rows = self._database.execute("SELECT login_id, worker_pid FROM handled ORDER BY rowid")
        return tuple(Handling(login_id, worker_pid) for login_id, worker_pid in rows)

    def close(self) -> None:
        self._database.close()

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._database.execute("BEGIN IMMEDIATE")
        try:
            yield
        except BaseException:
            self._database.execute("ROLLBACK")
            raise
        self._database.execute("COMMIT")


@contextmanager
def opened(path: Path) -> Iterator[Grants]:
    """The grants at `path`, closed at the end."""
    grants = Grants(path)
    try:
        yield grants
    finally:
        grants.close()
