"""The URL of a database: which driver serves it, what is left out of it is filled in, and nothing secret is shown."""

from __future__ import annotations

import codecs
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from sqlalchemy import URL, make_url
from sqlalchemy.exc import ArgumentError

from consumerd.database.causes import words_of
from consumerd.database.dialects import SUPPORTED
from consumerd.errors import MissingExtraError, UsageError

CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 10

_DRIVERS = {
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "mariadb+pymysql": "mysql+pymysql",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
}
_EXTRAS = {"pymysql": "mysql", "psycopg": "postgres"}


def read_url(text: str, key: str) -> URL:
    """The URL that stands under `key`, with its driver; UsageError where no database that we know is meant by it."""
    try:
        url = with_driver(make_url(text))
    except (ArgumentError, ValueError) as error:  # the latter for a port that is no number
        instead = "embedded, or " if key == "parking" else ""
        raise UsageError(f"`{key}` is no URL: write {instead}mysql://user:password@host/database") from error
    if url.get_backend_name() not in SUPPORTED:
        known = ", ".join(sorted(SUPPORTED))
        raise UsageError(f"`{key}` names a database of kind {url.get_backend_name()}: known are {known}")
    return url


def with_driver(url: URL) -> URL:
    """The URL with the driver that consumerd installs, where it names none."""
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))


def shown(url: URL) -> str:
    """The URL without what may be secret in it: its password, and all of its query."""
    return url.set(query={}).render_as_string(hide_password=True)


def check_driver(url: URL, key: str) -> None:
    """Import the URL's driver, and have it look at the URL's options; it connects to nothing.

    MissingExtraError where the driver is not installed; UsageError, with the driver's words, for an option that it does
    not take. key: the setting that holds the URL.
    """
    with driver_needed(url):
        driver = url.get_dialect().import_dbapi()
    codecs.lookup("idna")  # imported by a first connection otherwise: by each worker for itself
    try:
        _check_options(url, driver)
    except AttributeError as error:  # what PyMySQL says of a character set that it does not know
        raise UsageError(f"`{key}` has an option that is unknown: charset={url.query.get('charset')}") from error
    except (TypeError, ValueError, OSError, driver.Error) as error:
        raise UsageError(f"`{key}` has an option that its driver does not take: {words_of(error)}") from error


def import_own_driver(database: object) -> None:
    """Import what a worker needs for the server that its key `database` names, before it is forked: else each worker
    imports it for itself, which takes a tenth of a second. Nothing for a file. Raises as `check_driver`.
    """
    if not isinstance(database, str) or "://" not in database:
        return
    url = read_url(database, "database")
    check_driver(url, "database")
    if url.get_backend_name() == "mysql":
        from sqlalchemy.dialects.mysql.reflection import MySQLTableDefinitionParser

        dialect = url.get_dialect()()
        MySQLTableDefinitionParser(dialect, dialect.identifier_preparer)  # type: ignore[arg-type]  # as the library does


def _check_options(url: URL, driver: Any) -> None:  # a DBAPI module
    """Have the driver take the URL apart, as far as each does so without a connection."""
    arguments, options = url.get_dialect()().create_connect_args(url)
    match driver.__name__:
        case "pymysql":
            driver.connect(*arguments, **options, defer_connect=True)
        case "psycopg":
            int(options.pop("prepare_threshold", 0))
            parsed = driver.conninfo.conninfo_to_dict(driver.conninfo.make_conninfo(*arguments, **options))
            driver.conninfo.timeout_from_conninfo(parsed)


@contextmanager
def driver_needed(url: URL) -> Iterator[None]:
    """Raise MissingExtraError where the URL's driver is not installed."""
    try:
        yield
    except ModuleNotFoundError as error:
        extra = _EXTRAS.get(error.name or "", "mysql")
        raise MissingExtraError(f"a database at {url.get_backend_name()}://", extra) from error


def connect_arguments(url: URL, lock_wait_s: int | None = None) -> dict[str, Any]:  # each driver's own keywords
    """What the URL leaves open; and the character set, since the tables are in Unicode, and read by all.

    Deadlines, so that a server that is gone is noticed; strict mode, so that nothing is cut silently. psycopg prepares
    no statements on the server: a pooler such as PgBouncer gives each transaction another connection.

    lock_wait_s: how long a statement waits for a lock; None: as the server has it, 50 s or for ever.
    """
    if url.get_backend_name() == "mysql":
        fixed: dict[str, Any] = {"charset": "utf8mb4"}
        defaults: dict[str, Any] = {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": ANSWER_TIMEOUT_S,
            "write_timeout": ANSWER_TIMEOUT_S,
            "sql_mode": "STRICT_ALL_TABLES",
        }
        if lock_wait_s is not None:
            defaults["init_command"] = f"SET innodb_lock_wait_timeout = {lock_wait_s}"
    else:
        fixed = {"client_encoding": "utf8"}
        defaults = {
            **({"prepare_threshold": None} if url.get_driver_name() == "psycopg" else {}),
            "connect_timeout": CONNECT_TIMEOUT_S,
            "keepalives_idle": CONNECT_TIMEOUT_S,
            "keepalives_interval": CONNECT_TIMEOUT_S,
            "keepalives_count": 2,
            "tcp_user_timeout": ANSWER_TIMEOUT_S * 1000,
        }
        if lock_wait_s is not None:
            defaults["options"] = f"-c lock_timeout={lock_wait_s}s"
    if "prepare_threshold" in url.query:
        fixed["prepare_threshold"] = int(str(url.query["prepare_threshold"]))
    return {name: value for name, value in defaults.items() if name not in url.query} | fixed


def own_connect_arguments(url: URL) -> dict[str, Any]:  # as above
    """The same for what a consumer's own code executes: its statements may take long, and the mode is the server's."""
    ours = ("read_timeout", "write_timeout", "sql_mode")
    return {name: value for name, value in connect_arguments(url).items() if name not in ours}
