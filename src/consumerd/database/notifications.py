"""What a PostgreSQL server tells those who listen. Runs in workers."""

from __future__ import annotations

import secrets
from collections.abc import Callable
from typing import Any, TypeVar

from sqlalchemy import URL

from consumerd.clock import monotonic
from consumerd.database.causes import NotReadyError, cause_of
from consumerd.database.urls import connect_arguments, with_driver

ResultT = TypeVar("ResultT")

_SELF_TEST_S = 5.0


class Notifications:
    """A connection of its own that listens on one channel. For one thread.

    Any call raises ConnectionError, with the cause, where the server is away or refuses.
    """

    def __init__(self, url: URL, channel: str) -> None:
        self._url = with_driver(url)
        self._channel = channel
        self._driver: Any = self._url.get_dialect().import_dbapi()
        self._connection: Any = None

    @staticmethod
    def are_known(url: URL) -> bool:
        """Whether the database behind the URL has such a thing, and its driver shows it."""
        return with_driver(url).drivername == "postgresql+psycopg"

    def open(self) -> None:
        """Connect and listen. NotReadyError where what is sent does not come: listening would be in vain."""
        self._translated(self._listen)
        if not self._translated(self._is_heard):
            raise NotReadyError(
                "what NOTIFY sends does not come through; a pooler in transaction mode, such as PgBouncer, is between"
            )

    def fileno(self) -> int:
        """What can be read once there is something to take."""
        return int(self._connection.fileno())

    def take(self, wait_s: float = 0.0) -> list[str]:
        """What has been told since; where there is nothing, what comes within so many seconds."""
        at_most = {"stop_after": 1} if wait_s else {}
        return self._translated(lambda: [told.payload for told in self._connection.notifies(timeout=wait_s, **at_most)])

    def close(self) -> None:
        """Listen no more."""
        if self._connection is not None:
            self._connection.close()
        self._connection = None

    def _listen(self) -> None:
        self._connection = self._connect()
        self._connection.execute(f'LISTEN "{self._channel}"')

    def _is_heard(self) -> bool:
        """Whether something comes that another connection sends; to this one's own, a pooler would pass it too."""
        token, deadline = secrets.token_hex(8), monotonic() + _SELF_TEST_S
        with self._connect() as other:
            other.execute("SELECT pg_notify(%s, %s)", (self._channel, token))
        while (left_s := deadline - monotonic()) > 0:
            if token in self.take(left_s):
                return True
        return False

    def _connect(self) -> Any:  # the driver's connection
        arguments, options = self._url.get_dialect()().create_connect_args(self._url)
        return self._driver.connect(*arguments, **options, **connect_arguments(self._url), autocommit=True)

    def _translated(self, step: Callable[[], ResultT]) -> ResultT:
        try:
            return step()
        except (self._driver.Error, OSError) as error:
            raise ConnectionError(cause_of(error)) from error
