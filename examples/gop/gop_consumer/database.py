"""The connection to GOP's database, one a process, opened when it is first needed.

The address is a URL in the environment variable GOP_DATABASE, `mysql+pymysql://user:password@host:port/database`.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import Any

import pymysql
from pymysql.connections import Connection
from pymysql.cursors import DictCursor
from sqlalchemy.engine import make_url

Row = dict[str, Any]  # a row's columns have any type

ADDRESS_VARIABLE = "GOP_DATABASE"
STALE_AFTER_S = 60.0
TRIES = 5
PAUSE_S = 0.02
TRY_AGAIN_CODES = (1205, 1213)  # lock wait timeout, deadlock: the server's way of saying "once more, please"


class Database:
    """One connection in autocommit, under READ COMMITTED.

    A process that was forked never touches the connection of its parent. After any error of the connection it is
    closed, and the next statement opens another.
    """

    def __init__(self) -> None:
        self._connection: Connection[DictCursor] | None = None
        self._owner_pid = 0
        self._last_used = 0.0

    def refresh(self) -> None:
        """Close a connection that has been idle so long that the server may have dropped it. Costs no round trip."""
        if self._connection is not None and time.monotonic() - self._last_used > STALE_AFTER_S:
            self._close()

    def execute(self, sql: str, values: Sequence[object] = ()) -> int:
        """Run one statement, again where the server asks for it; the number of rows that it touched."""
        for tries_left in reversed(range(TRIES)):
            try:
                return self._run(sql, values)[0]
            except pymysql.err.OperationalError as error:
                if error.args[0] not in TRY_AGAIN_CODES or not tries_left:
                    raise
                time.sleep(PAUSE_S * (TRIES - tries_left))
        raise AssertionError("the last try returns or raises")

    def select(self, sql: str, values: Sequence[object] = ()) -> list[Row]:
        """The rows of a query."""
        return self._run(sql, values)[1]

    def _run(self, sql: str, values: Sequence[object]) -> tuple[int, list[Row]]:
        connection = self._open()
        try:
            with connection.cursor() as cursor:
                touched = cursor.execute(sql, values)
                rows = list(cursor.fetchall())
        except (pymysql.err.OperationalError, pymysql.err.InterfaceError) as error:
            if not error.args or error.args[0] not in TRY_AGAIN_CODES:
                self._close()
            raise
        self._last_used = time.monotonic()
        return touched, rows

    def _open(self) -> Connection[DictCursor]:
        if self._connection is None or self._owner_pid != os.getpid():
            self._connection = _connect()
            self._owner_pid = os.getpid()
        return self._connection

    def _close(self) -> None:
        connection, self._connection = self._connection, None
        if connection is not None and self._owner_pid == os.getpid() and connection.open:
            connection.close()


def _connect() -> Connection[DictCursor]:
    url = make_url(os.environ[ADDRESS_VARIABLE])
    address: dict[str, Any] = {"host": url.host or "localhost", "port": url.port or 3306}  # values are of two types
    if "unix_socket" in url.query:
        address = {"unix_socket": url.query["unix_socket"]}
    return pymysql.connect(
        **address,
        user=url.username,
        password=url.password or "",
        database=url.database,
        charset="utf8mb4",
        autocommit=True,
        cursorclass=DictCursor,
        init_command="SET SESSION TRANSACTION ISOLATION LEVEL READ COMMITTED",
        connect_timeout=10,
        read_timeout=30,
        write_timeout=30,
    )


database = Database()


def refresh_db_connections() -> None:
    """Called before each task, so that a night without logins does not end with a connection that is gone."""
    database.refresh()
