"""A database server as the parking store of all hosts: MySQL, MariaDB, PostgreSQL."""

from __future__ import annotations

import codecs
import random
from collections.abc import Callable
from contextlib import closing
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from consumerd.clock import SYSTEM_CLOCK, monotonic
from consumerd.database.causes import cause_of, has_no_room, is_of_no_table, is_transient, words_of
from consumerd.database.database import Away
from consumerd.errors import MissingExtraError, UsageError

ResultT = TypeVar("ResultT")

CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 10
TRIES = 4
WAIT_FOR_ROOM_S = 4.0
LONGEST_HELD_S = 1.0

_DRIVERS = {
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "mariadb+pymysql": "mysql+pymysql",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
}
_EXTRAS = {"pymysql": "mysql", "psycopg": "postgres"}


class ServerDatabase:
    """A `Database` behind a URL, for more processes than the server may take connections.

    It has one connection at most, tested before each transaction, made anew when it is dead, and let go of after a
    while. A server that has no room for one is asked again for some seconds, not in step with others.
    """

    def __init__(self, url: URL, away: Away, prepare: Callable[[Connection], None] | None = None) -> None:
        """prepare: runs in a transaction of its own, once for each time that the server was found."""
        self._url = with_driver(url)
        self.where = shown(url)
        self._away = away
        self._prepare = prepare
        self._engine: Engine | None = None
        self._connected_at: float | None = None

    def write(self, step: Callable[[Connection], ResultT]) -> ResultT:
        """Run `step` in a transaction, READ COMMITTED, and commit; again where it lost a race."""
        return self._transact(step)

    def read(self, step: Callable[[Connection], ResultT]) -> ResultT:
        """Run `step` in a transaction."""
        return self._transact(step)

    def has_nothing(self, consumer: str) -> bool:
        """True only when certain, by the driver alone: to use SQLAlchemy costs a process ten megabytes of its own."""
        if self._engine is not None:
            return False
        driver = self._url.get_dialect().import_dbapi()
        arguments, asked = self._url.get_dialect()().create_connect_args(self._url)
        options = {**asked, **_connect_arguments(self._url)}
        try:
            with closing(driver.connect(*arguments, **options)) as connection:
                cursor = connection.cursor()
                cursor.execute("SELECT 1 FROM parked WHERE consumer = %s LIMIT 1", (consumer,))
                return cursor.fetchone() is None
        except (driver.Error, RuntimeError) as error:
            return is_of_no_table(error)  # what else is wrong is told where the store is used

    def rest(self) -> None:
        """Close the connection; what was prepared for the next one is kept."""
        if self._engine is not None and self._connected_at is not None:
            self._engine.dispose()
        self._connected_at = None

    def close(self) -> None:
        """Close the connection."""
        if self._engine is not None:
            self._engine.dispose()
        self._engine = self._connected_at = None

    def _transact(self, step: Callable[[Connection], ResultT]) -> ResultT:
        began, tries = monotonic(), 1
        while True:
            try:
                return self._try(step)
            except DBAPIError as error:
                if has_no_room(error) and monotonic() - began < WAIT_FOR_ROOM_S:
                    SYSTEM_CLOCK.sleep(random.uniform(0.02, 0.2))  # noqa: S311 - so that processes do not ask in step
                elif is_transient(error) and tries < TRIES:
                    tries += 1
                else:
                    raise self._lost(error) from error

    def _try(self, step: Callable[[Connection], ResultT]) -> ResultT:
        try:
            with self._opened().begin() as connection:
                self._connected_at = self._connected_at or monotonic()
                result = step(connection)
        except DBAPIError:
            raise
        except (
            SQLAlchemyError,
            OSError,
            RuntimeError,
        ) as error:  # the last: a driver that misses a package for a login
            raise self._lost(error) from error
        if monotonic() - self._connected_at > LONGEST_HELD_S:
            self.rest()
        return result

    def _lost(self, error: BaseException) -> Exception:
        self.close()
        return self._away(cause_of(error))

    def _opened(self) -> Engine:
        if self._engine is None:
            engine = _engine(self._url)
            try:
                self._make_ready(engine)
            finally:
                if self._engine is None:
                    engine.dispose()
        assert self._engine is not None
        return self._engine

    def _make_ready(self, engine: Engine) -> None:
        if self._prepare is not None:
            with engine.begin() as connection:
                self._prepare(connection)
        self._engine = engine


def with_driver(url: URL) -> URL:
    """The URL with the driver that consumerd installs, where it names none."""
    return url.set(drivername=_DRIVERS.get(url.drivername, url.drivername))


def shown(url: URL) -> str:
    """The URL without what may be secret in it: its password, and all of its query."""
    return url.set(query={}).render_as_string(hide_password=True)


def check_driver(url: URL) -> None:
    """Import the URL's driver, and have it look at the URL's options; it connects to nothing.

    MissingExtraError where the driver is not installed; UsageError, with the driver's words, for an option that it does
    not take.
    """
    try:
        driver = url.get_dialect().import_dbapi()
    except ModuleNotFoundError as error:
        raise _missing(url, error) from error
    codecs.lookup("idna")  # imported by a first connection otherwise: by each worker for itself
    try:
        _check_options(url, driver)
    except AttributeError as error:  # what PyMySQL says of a character set that it does not know
        raise UsageError(f"`parking` has an option that is unknown: charset={url.query.get('charset')}") from error
    except (TypeError, ValueError, OSError, driver.Error) as error:
        raise UsageError(f"`parking` has an option that its driver does not take: {words_of(error)}") from error


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


def _missing(url: URL, error: ModuleNotFoundError) -> MissingExtraError:
    return MissingExtraError(f"a database at {url.get_backend_name()}://", _EXTRAS.get(error.name or "", "mysql"))


def _engine(url: URL) -> Engine:
    try:
        return create_engine(
            url,
            isolation_level="READ COMMITTED",
            pool_size=1,
            max_overflow=0,
            pool_pre_ping=True,
            connect_args=_connect_arguments(url),
        )
    except ModuleNotFoundError as error:
        raise _missing(url, error) from error


def _connect_arguments(url: URL) -> dict[str, Any]:  # each driver's own keywords
    """What the URL leaves open; and the character set, since the tables are in Unicode, and read by all."""
    fixed = {"charset": "utf8mb4"} if url.get_backend_name() == "mysql" else {"client_encoding": "utf8"}
    defaults = {name: value for name, value in _defaults(url).items() if name not in url.query}
    if "prepare_threshold" in url.query:
        defaults["prepare_threshold"] = int(str(url.query["prepare_threshold"]))
    return defaults | fixed


def _defaults(url: URL) -> dict[str, Any]:  # as above
    """Deadlines, so that a server that is gone is noticed; strict mode, so that nothing is cut silently.

    psycopg prepares no statements on the server: a pooler such as PgBouncer gives each transaction another connection.
    """
    if url.get_backend_name() == "mysql":
        return {
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": ANSWER_TIMEOUT_S,
            "write_timeout": ANSWER_TIMEOUT_S,
            "sql_mode": "STRICT_ALL_TABLES",
        }
    return {
        **({"prepare_threshold": None} if url.get_driver_name() == "psycopg" else {}),
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives_idle": CONNECT_TIMEOUT_S,
        "keepalives_interval": CONNECT_TIMEOUT_S,
        "keepalives_count": 2,
        "tcp_user_timeout": ANSWER_TIMEOUT_S * 1000,
    }
