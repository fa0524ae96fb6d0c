"""Errors of drivers and clients that say that nobody answers, and those that say something else."""

from __future__ import annotations

import errno
import socket
import sqlite3
from urllib.error import HTTPError, URLError

import pymysql
import pytest
from psycopg import InterfaceError, OperationalError
from psycopg import errors as postgres
from sqlalchemy import exc

from consumerd.model.connection_errors import connection_error


class RedisError(Exception):
    """As redis has it: no child of the builtin of the same name."""


RedisConnectionError = type("ConnectionError", (RedisError,), {"__module__": "redis.exceptions"})
ReadTimeout = type("ReadTimeout", (type("Timeout", (OSError,), {}),), {"__module__": "requests.exceptions"})
ConnectTimeout = type("ConnectTimeout", (OSError,), {"__module__": "requests.exceptions"})


def wrapped(error: Exception) -> exc.DBAPIError:
    return exc.OperationalError("SELECT 1", {}, error)


def caused(error: Exception) -> Exception:
    told = LookupError("no grant")
    told.__cause__ = error
    return told


@pytest.mark.parametrize(
    "error",
    [
        ConnectionRefusedError(errno.ECONNREFUSED, "refused"),
        BrokenPipeError(),
        TimeoutError(errno.ETIMEDOUT, "no answer to the connect"),
        OSError(errno.EHOSTUNREACH, "no route"),
        socket.gaierror(-2, "unknown"),
        URLError(ConnectionRefusedError()),
        OperationalError("the connection is closed"),
        InterfaceError("the cursor is closed"),
        postgres.AdminShutdown("terminating connection"),
        postgres.TooManyConnections("sorry"),
        pymysql.err.OperationalError(2006, "gone away"),
        pymysql.err.OperationalError(1045, "access denied"),
        pymysql.err.InterfaceError(0, ""),
        wrapped(pymysql.err.OperationalError(2013, "lost")),
        exc.PendingRollbackError("can't reconnect until the invalid transaction is rolled back"),
        RedisConnectionError("reset"),
        ConnectTimeout("nobody"),
        caused(ConnectionResetError()),
        ExceptionGroup("two", [ConnectionResetError(), BrokenPipeError()]),
    ],
    ids=repr,
)
def test_an_error_of_a_connection_is_known(error: BaseException) -> None:
    assert connection_error(error)


@pytest.mark.parametrize(
    "error",
    [
        ValueError("no such user"),
        TimeoutError("the answer took too long"),
        ReadTimeout("slow"),
        type("PlayerNotConnected", (Exception,), {})("of a game, not of a network"),
        FileNotFoundError(errno.ENOENT, "no file"),
        OSError(errno.ENOSPC, "full"),
        HTTPError("http://x", 404, "Not Found", None, None),  # type: ignore[arg-type]  # no headers
        postgres.DeadlockDetected("deadlock"),
        postgres.UniqueViolation("twice"),
        pymysql.err.OperationalError(1054, "unknown column"),
        pymysql.err.OperationalError(1213, "deadlock"),
        wrapped(pymysql.err.OperationalError(1205, "lock wait timeout")),
        sqlite3.OperationalError("no such table"),
        caused(KeyError("uid")),
        ExceptionGroup("two", [ConnectionResetError(), ValueError()]),
        KeyboardInterrupt(),
    ],
    ids=repr,
)
def test_what_says_something_else_is_no_error_of_a_connection(error: BaseException) -> None:
    assert connection_error(error) == ""


def test_its_name_is_that_of_the_innermost_class() -> None:
    assert connection_error(wrapped(pymysql.err.OperationalError(2013, "lost"))) == "pymysql.err.OperationalError"
    assert connection_error(caused(ConnectionResetError())) == "ConnectionResetError"


def test_a_ring_of_causes_ends() -> None:
    first, second = ValueError(), ValueError()
    first.__cause__, second.__cause__ = second, first
    assert connection_error(first) == ""
