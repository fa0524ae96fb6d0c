"""A database server that several hosts share: MySQL, MariaDB, PostgreSQL."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event
from sqlalchemy.exc import SQLAlchemyError

from consumerd.clock import SYSTEM_CLOCK, monotonic
from consumerd.database.causes import NotReadyError, cause_of, has_no_room, is_locked, is_of_content, is_transient
from consumerd.database.database import Away
from consumerd.database.urls import connect_arguments, driver_needed, with_driver
from consumerd.database.values import read_any_date

ResultT = TypeVar("ResultT")

TRIES = 4
WAIT_FOR_ROOM_S = 4.0
LONGEST_HELD_S = 1.0
LONGEST_IDLE_S = 15.0
"""Longer than what lies between two measurements of the lag."""


class ServerDatabase:
    """A `Database` behind a URL, for more processes than the server may take connections.

    It has one connection at most, and makes a new one after an error. A server that has no room for one is asked again
    for some seconds, not in step with others.

    A connection that is lent is tested before each transaction, and let go of after a second. One that is kept is not:
    it stays until nobody has used it for fifteen seconds.
    """

    def __init__(
        self,
        url: URL,
        away: Away,
        prepare: Callable[[Connection], None] | None = None,
        *,
        is_kept: bool = False,
        is_autocommit: bool = False,
        lock_wait_s: int | None = None,
    ) -> None:
        """prepare: runs in a transaction of its own, once for each time that the server was found.

        is_autocommit: each statement is a transaction, and nothing but the statements is sent.
        lock_wait_s: how long a statement waits for a row that others have locked; it is not tried again then.
        """
        self._url = with_driver(url)
        self._away = away
        self._prepare = prepare
        self._is_kept = is_kept
        self._is_autocommit = is_autocommit
        self._lock_wait_s = lock_wait_s
        self._engine: Engine | None = None
        self._connected_at: float | None = None
        self._used_at = 0.0

    def write(self, step: Callable[[Connection], ResultT]) -> ResultT:
        """Run `step` in a transaction, READ COMMITTED, and commit; again where it lost a race."""
        began, tries = monotonic(), 1
        while True:
            try:
                return self._try(step)
            except (
                SQLAlchemyError,
                OSError,
                NotReadyError,
                RuntimeError,
            ) as error:  # a login lacks a package
                if has_no_room(error) and monotonic() - began < WAIT_FOR_ROOM_S:
                    SYSTEM_CLOCK.sleep(random.uniform(0.02, 0.2))  # noqa: S311 - so that processes do not ask in step
                elif self._is_transient(error) and tries < TRIES:
                    tries += 1
                else:
                    if not is_of_content(error) and not is_locked(error):
                        self.close()
                    raise self._away(cause_of(error)) from error

    def read(self, step: Callable[[Connection], ResultT]) -> ResultT:
        """Run `step` in a transaction."""
        return self.write(step)

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

    def _try(self, step: Callable[[Connection], ResultT]) -> ResultT:
        if self._is_kept and monotonic() - self._used_at > LONGEST_IDLE_S:
            self.rest()
        engine = self._opened()
        with engine.connect() if self._is_autocommit else engine.begin() as connection:
            self._connected_at = self._connected_at or monotonic()
            result = step(connection)
        self._used_at = monotonic()
        if not self._is_kept and self._used_at - self._connected_at > LONGEST_HELD_S:
            self.rest()
        return result

    def _is_transient(self, error: BaseException) -> bool:
        return is_transient(error) and (self._lock_wait_s is None or not is_locked(error))

    def _opened(self) -> Engine:
        if self._engine is None:
            engine = self._make_engine()
            try:
                if self._prepare is not None:
                    with engine.begin() as connection:
                        self._prepare(connection)
            except BaseException:
                engine.dispose()
                raise
            self._engine = engine
        return self._engine

    def _make_engine(self) -> Engine:
        with driver_needed(self._url):
            engine = create_engine(
                self._url,
                isolation_level="AUTOCOMMIT" if self._is_autocommit else "READ COMMITTED",
                skip_autocommit_rollback=self._is_autocommit,
                pool_size=1,
                max_overflow=0,
                pool_pre_ping=not self._is_kept,
                pool_reset_on_return=None,  # a transaction has ended before, or the connection is dropped
                connect_args=connect_arguments(self._url, self._lock_wait_s),
            )
        event.listen(engine, "do_connect", _connect_through_pooler)
        if self._url.get_driver_name() == "psycopg":
            event.listen(engine, "connect", lambda connection, record: read_any_date(connection))
        return engine


def _connect_through_pooler(dialect: Dialect, record: object, arguments: list[Any], options: dict[str, Any]) -> Any:
    """Connect; without settings for the session where a pooler such as PgBouncer takes none."""
    del record
    try:
        return dialect.connect(*arguments, **options)
    except dialect.loaded_dbapi.Error as error:
        if "unsupported startup parameter" not in str(error) or "options" not in options:
            raise
    return dialect.connect(*arguments, **{name: value for name, value in options.items() if name != "options"})
