"""Which errors say that what a task needs, a database or a service, does not answer. Pure.

An error is known by the names of its classes and by the codes that drivers give, so that no driver is imported for it.
"""

from __future__ import annotations

import errno
import re
import socket

DEPTH = 5
"""So many causes are followed."""

_ERRNOS = frozenset(
    (
        errno.ENETDOWN,
        errno.ETIMEDOUT,
        errno.ENETUNREACH,
        errno.ENETRESET,
        errno.ENOTCONN,
        errno.ESHUTDOWN,
        errno.EHOSTDOWN,
        errno.EHOSTUNREACH,
    )
)
_NAMES = frozenset(
    [
        "AMQPConnectionError",
        "AutoReconnect",
        "ClientConnectionError",
        "CloseError",
        "ConnectError",
        "ConnectTimeout",
        "ConnectTimeoutError",
        "ConnectionClosed",
        "ConnectionClosedError",
        "ConnectionError",
        "ConnectionFailure",
        "ConnectionTimeout",
        "EndpointConnectionError",
        "NameResolutionError",
        "NetworkError",
        "NewConnectionError",
        "NoBrokersAvailable",
        "PendingRollbackError",
        "PoolTimeout",
        "ProtocolError",
        "ReadError",
        "RemoteProtocolError",
        "ServerSelectionTimeoutError",
        "StreamLostError",
        "WriteError",
    ]
)
"""Whole names, of redis, requests, httpx, urllib3, aiohttp, pymongo, pika, botocore, SQLAlchemy and Python itself: an
application's own `PlayerNotConnected` says nothing of the kind. Nor does an answer that takes too long, `ReadTimeout`
or a bare `TimeoutError`: somebody is there, and a task may be what keeps them."""

_DATABASE = frozenset(("OperationalError", "InterfaceError"))
"""Of every driver by PEP 249. Drivers use them for much else, too, and say by a code what it is."""

_STATES = re.compile("08|57P0[123]|53300")
"""SQLSTATEs: the class of connection exceptions; PostgreSQL's for a shutdown, a start, and too many connections."""

_MYSQL_CODES = frozenset((0, 1040, 1042, 1043, 1044, 1045, 1049, 1053, 1152, 1158, 1159, 1160, 1161, 1184, 1927))
"""What MySQL, MariaDB and their drivers say of a connection, besides the client library's own 2000 to 2999."""


def connection_error(error: BaseException) -> str:
    """The class of the error, or of what it is explicitly raised from, that says so; an empty text where none does."""
    try:
        return _kind(error, DEPTH)
    except BaseException:  # noqa: BLE001 - an exception of the user's: each of its attributes may raise
        return ""


def _kind(error: BaseException, depth: int) -> str:
    if depth == 0:
        return ""
    if isinstance(error, BaseExceptionGroup):
        kinds = [_kind(each, depth - 1) for each in error.exceptions]
        return kinds[0] if all(kinds) else ""
    for inner in (getattr(error, "orig", None), getattr(error, "reason", None), error.__cause__):
        if isinstance(inner, BaseException) and (kind := _kind(inner, depth - 1)):
            return kind
    return _name(type(error)) if _says_so(error) else ""


def _says_so(error: BaseException) -> bool:
    names = [kind.__name__ for kind in type(error).__mro__]
    if isinstance(getattr(error, "orig", None), BaseException) and not getattr(error, "connection_invalidated", False):
        return False  # SQLAlchemy's, whose driver has been asked
    if not _DATABASE.isdisjoint(names):
        return _says_so_by_code(error)
    if isinstance(error, OSError) and (error.errno in _ERRNOS or isinstance(error, (socket.gaierror, socket.herror))):
        return True
    return not _NAMES.isdisjoint(names)


def _says_so_by_code(error: BaseException) -> bool:
    if type(error).__module__.startswith("sqlite3"):
        return False  # a file, to which there is no connection
    state = getattr(error, "sqlstate", None) or getattr(error, "pgcode", None)
    if isinstance(state, str):
        return _STATES.match(state) is not None
    code = error.args[0] if error.args else None
    return not isinstance(code, int) or code in _MYSQL_CODES or 2000 <= code < 3000


def _name(kind: type[BaseException]) -> str:
    return kind.__qualname__ if kind.__module__ == "builtins" else f"{kind.__module__}.{kind.__qualname__}"
