"""A database server that several hosts share: MySQL, MariaDB, PostgreSQL."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import TypeVar

from sqlalchemy import URL, Connection, Engine, create_engine
from sqlalchemy.exc import SQLAlchemyError

from consumerd.clock import SYSTEM_CLOCK, monotonic
from consumerd.database.causes import NotReadyError, cause_of, has_no_room, is_transient
from consumerd.database.database import Away
from consumerd.database.urls import connect_arguments, driver_needed, with_driver

ResultT = TypeVar("ResultT")

TRIES = 4
WAIT_FOR_ROOM_S = 4.0
LONGEST_HELD_S = 1.0


class ServerDatabase:
    """A `Database` behind a URL, for more processes than the server may take connections.

    It has one connection at most, tested before each transaction, made anew when it is dead, and let go of after a
    while. A server that has no room for one is asked again for some seconds, not in step with others.
    """

    def __init__(self, url: URL, away: Away, prepare: Callable[[Connection], None] | None = None) -> None:
        """prepare: runs in a transaction of its own, once for each time that the server was found."""
        self._url = with_driver(url)
        self._away = away
        self._prepare = prepare
        self._engine: Engine | None = None
        self._connected_at: float | None = None

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
                elif is_transient(error) and tries < TRIES:
                    tries += 1
                else:
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
        with self._opened().begin() as connection:
            self._connected_at = self._connected_at or monotonic()
            result = step(connection)
        if monotonic() - self._connected_at > LONGEST_HELD_S:
            self.rest()
        return result

    def _opened(self) -> Engine:
        if self._engine is None:
            engine = _engine(self._url)
            try:
                if self._prepare is not None:
                    with engine.begin() as connection:
                        self._prepare(connection)
            except BaseException:
                engine.dispose()
                raise
            self._engine = engine
        return self._engine


def _engine(url: URL) -> Engine:
    with driver_needed(url):
        return create_engine(
            url,
            isolation_level="READ COMMITTED",
            pool_size=1,
            max_overflow=0,
            pool_pre_ping=True,
            connect_args=connect_arguments(url),
        )
