"""A database server as the parking store of all hosts: MySQL, MariaDB, PostgreSQL."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from consumerd.errors import MissingExtraError
from consumerd.store.causes import cause_of, is_transient
from consumerd.store.database import Away

ResultT = TypeVar("ResultT")

CONNECT_TIMEOUT_S = 5
ANSWER_TIMEOUT_S = 10
TRIES = 4

_DRIVERS = {
    "mysql": "mysql+pymysql",
    "mariadb": "mysql+pymysql",
    "mariadb+pymysql": "mysql+pymysql",
    "postgres": "postgresql+psycopg",
    "postgresql": "postgresql+psycopg",
}
_EXTRAS = {"pymysql": "mysql", "psycopg": "postgres"}


class ServerDatabase:
    """A `Database` behind a URL. One connection, tested before each transaction, made anew when it is dead."""

    def __init__(self, url: URL, away: Away, prepare: Callable[[Connection], None] | None = None) -> None:
        """prepare: runs in a transaction of its own, once for each time that the server was found."""
        self._url = with_driver(url)
        self.where = shown(url)
        self._away = away
        self._prepare = prepare
        self._engine: Engine | None = None

    def write(self, step: Callable[[Connection], ResultT]) -> ResultT:
        """Run `step` in a transaction, READ COMMITTED, and commit; again where it lost a race."""
        return self._transact(step)

    def read(self, step: Callable[[Connection], ResultT]) -> ResultT:
        """Run `step` in a transaction."""
        return self._transact(step)

    def close(self) -> None:
        """Close the connection."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _transact(self, step: Callable[[Connection], ResultT]) -> ResultT:
        for _ in range(TRIES - 1):
            try:
                return self._try(step)
            except DBAPIError as error:
                if not is_transient(error):
                    raise self._lost(error) from error
        try:
            return self._try(step)
        except DBAPIError as error:
            raise self._lost(error) from error

    def _try(self, step: Callable[[Connection], ResultT]) -> ResultT:
        try:
            with self._opened().begin() as connection:
                return step(connection)
        except DBAPIError:
            raise
        except (SQLAlchemyError, OSError) as error:
            raise self._lost(error) from error

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
    """MissingExtraError where the URL's driver is not installed; imports it otherwise."""
    try:
        url.get_dialect().import_dbapi()
    except ModuleNotFoundError as error:
        raise _missing(url, error) from error


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
            connect_args=_connect_arguments(url.get_backend_name()),
        )
    except ModuleNotFoundError as error:
        raise _missing(url, error) from error


def _connect_arguments(backend: str) -> dict[str, Any]:  # each driver's own keywords
    """Deadlines, so that a server that is gone is noticed; strict mode, so that nothing is cut silently.

    The tables are in Unicode whatever the URL says of the connection's character set, and the rows are read by all.
    """
    if backend == "mysql":
        return {
            "charset": "utf8mb4",
            "connect_timeout": CONNECT_TIMEOUT_S,
            "read_timeout": ANSWER_TIMEOUT_S,
            "write_timeout": ANSWER_TIMEOUT_S,
            "sql_mode": "STRICT_ALL_TABLES",
        }
    return {
        "client_encoding": "utf8",
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives_idle": CONNECT_TIMEOUT_S,
        "keepalives_interval": CONNECT_TIMEOUT_S,
        "keepalives_count": 2,
        "tcp_user_timeout": ANSWER_TIMEOUT_S * 1000,
    }
