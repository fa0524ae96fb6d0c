"""Why a database does not do what it should, in one line: the driver's words, and what to do about it.

Never the statement nor its parameters, which SQLAlchemy's own texts hold: there are payloads among them.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager

from sqlalchemy.exc import DataError, DBAPIError, IntegrityError, NoSuchModuleError, ProgrammingError

from consumerd.errors import UnstorableError

LONGEST_CAUSE = 300

_TAKEN = ("already exists", "duplicate key name")
_REMEDIES = (
    (_TAKEN, "rename or drop what has that name"),
    (("disk is full", "no space left", "disk full"), "free some space"),
    (
        ("' to database '", "denied for table", "denied for schema", "denied for database", "command denied"),
        "grant its user what it needs",
    ),
    (
        ("no encryption", "ssl", "tls", "certificate", "secure transport", "insecure transport"),
        "set what TLS asks for in the URL's query",
    ),
    (
        ("password", "access denied", "authentication", "login denied", "has expired", "is locked for"),
        "correct its user and password; some accounts also ask for TLS",
    ),
    (("pg_hba.conf", "is not allowed to connect"), "let the server accept this user from this host"),
    (("too many open files",), "raise the limit on open files (ulimit -n, LimitNOFILE)"),
    (
        ("too many", "max_user_connections", "max_connections", "connection slots", "connection limit"),
        "let the server take more connections, or run fewer workers",
    ),
    (
        ("could not translate host", "resolve host", "name or service", "name resolution", "getaddrinfo", "nodename"),
        "correct its host, or the name service",
    ),
    (("max_allowed_packet",), "raise max_allowed_packet on the server"),
    (("unknown database", "does not exist", "doesn't exist", "no such table"), "create it, or correct its name"),
    (("readonly", "read-only", "read only", "permission denied", "not permitted"), "see who may write there"),
    (("malformed", "not a database", "corrupt"), "restore it from a copy, or move it away"),
    (("is locked", "lock wait", "lock timeout"), "find the process that holds it"),
    (
        ("unable to open", "no such file", "not a directory", "i/o error"),
        "see that its folder is there and can be written",
    ),
    (("starting up", "shutting down", "recovery", "not yet accepting"), "wait until it is up"),
    (("timed out", "timeout", "no route", "unreachable"), "see that it runs, and that nothing on the way blocks it"),
    (("connect", "server has gone", "closed", "refused", "reset by peer"), "see that it runs"),
)
"""Words of an error, in lower case, and what to do; the first that fits. A refused login says "connect", too."""

_NO_ROOM = frozenset(remedy for signs, remedy in _REMEDIES if "too many" in signs)
_PASSING = _NO_ROOM | {remedy for signs, remedy in _REMEDIES if "resolve host" in signs or "starting up" in signs}
_PASSING |= {remedy for _, remedy in _REMEDIES[-2:]}

_LOCKED_CODES = frozenset({"1205", "55P03"})
_TRANSIENT_CODES = frozenset({"1205", "1213", "40001", "40P01"})
_NO_TABLE_CODES = frozenset({"1146", "42P01"})
_SCHEMA_CODES = _NO_TABLE_CODES | {"42703", "42601", "1064"}
"""There is no such table or column, or the statement cannot be read: of any row."""
_CONTENT_CODES = frozenset({"3819", "4025", "1644", "44000", "P0001"})
"""A CHECK, a view's condition, or a trigger refuses a row: what drivers have no class of errors for."""


class NotReadyError(Exception):
    """A database is there, and is not as its user needs it; its words say why. It never leaves `database` as it is."""


def cause_of(error: BaseException) -> str:
    """What went wrong, on one line, and what to do."""
    if isinstance(error, NotReadyError):
        return str(error)
    text = words_of(error)
    return f"{text}: {_remedy(text) or 'see its log'}"


def may_pass(error: BaseException) -> bool:
    """Whether what went wrong may be over when it is tried later: the server does not run, or has no room."""
    return _remedy(words_of(error)) in _PASSING


def _remedy(text: str) -> str | None:
    lowered = text.lower()
    return next((remedy for signs, remedy in _REMEDIES if any(sign in lowered for sign in signs)), None)


@contextmanager
def content_refused() -> Iterator[None]:
    """Raise UnstorableError for what a database, or its driver, refuses of one task's content, and would refuse again.

    Errors that have nothing to do with the content pass through.
    """
    try:
        yield
    except (DataError, IntegrityError) as error:
        raise UnstorableError(f"the parking store refuses its content: {words_of(error)}") from error
    except (ValueError, TypeError, ArithmeticError) as error:  # the driver has no form for a value
        raise UnstorableError(f"the parking store has no form for its content: {words_of(error)}") from error


def has_no_room(error: BaseException) -> bool:
    """Whether the server takes no more connections now."""
    return isinstance(error, DBAPIError) and _remedy(words_of(error)) in _NO_ROOM


def is_of_no_table(error: BaseException) -> bool:
    """Whether a driver says that a table is not there."""
    return not _NO_TABLE_CODES.isdisjoint(_codes(error))


def is_name_taken(error: BaseException) -> bool:
    """Whether something else has the name of what was to be made."""
    return any(sign in words_of(error).lower() for sign in _TAKEN)


def is_of_content(error: BaseException | None) -> bool:
    """Whether a database refuses values that it was told to write; its connection is as good as before."""
    if isinstance(error, DBAPIError) and error.orig is not None:
        is_value = isinstance(error, IntegrityError | DataError)
        return not error.connection_invalidated and (is_value or not _CONTENT_CODES.isdisjoint(_codes(error.orig)))
    return isinstance(error, sqlite3.IntegrityError | sqlite3.DataError)


def is_refusal(error: BaseException | None) -> bool:
    """Whether a database refuses a change for what it says, or for a lock: of several, the others may be taken."""
    if is_locked(error):
        return True
    if not isinstance(error, ProgrammingError) or error.orig is None:
        return is_of_content(error)
    is_denied = "permission denied" in words_of(error).lower()
    return not is_denied and _SCHEMA_CODES.isdisjoint(_codes(error.orig))


def is_locked(error: BaseException | None) -> bool:
    """Whether another transaction has a row locked, and the statement has waited long enough."""
    return isinstance(error, DBAPIError) and error.orig is not None and not _LOCKED_CODES.isdisjoint(_codes(error.orig))


def remedied(refusal: BaseException) -> str:
    """What a database has against a change of a row, and what is to do."""
    remedy = "end the transaction that has locked it" if is_locked(refusal) else "mend it"
    return f"{words_of(refusal)}: {remedy}"


def is_transient(error: BaseException) -> bool:
    """Whether the same transaction can be tried again at once: a deadlock, a lost race."""
    if not isinstance(error, DBAPIError) or error.orig is None:
        return False
    return not _TRANSIENT_CODES.isdisjoint(_codes(error.orig))


def _codes(error: BaseException) -> tuple[str, ...]:
    """The SQLSTATE, and the server's own number, as far as the driver has them."""
    return tuple(map(str, (getattr(error, "sqlstate", None), *error.args[:1])))


def words_of(error: BaseException) -> str:
    """What whoever raised it says, on one line, of no more than 300 characters."""
    return " ".join(_words(error).split())[:LONGEST_CAUSE].rstrip(". ")


def _words(error: BaseException) -> str:
    if isinstance(error, DBAPIError) and error.orig is not None:
        return _driver_words(error.orig)
    if isinstance(error, OSError) and error.errno is not None:
        return f"{error.strerror} {error.filename or ''}"
    if isinstance(error, NoSuchModuleError):
        return "no such driver"
    return str(error) or type(error).__name__


def _driver_words(error: BaseException) -> str:
    """The first line; PyMySQL's errors are (code, text). Of psycopg's attempts on several addresses, the last one's."""
    words = str(error.args[1]) if len(error.args) == 2 and isinstance(error.args[0], int) else str(error)
    lines = words.strip().splitlines() or [type(error).__name__]
    attempts = [line for line in lines if line.startswith("- host: ")]
    return attempts[-1].removeprefix("- ") if attempts else lines[0]
