"""A handler's own transaction, which the settlement of its task joins: `self.transaction()`.

Runs in workers and the foreground.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from threading import get_ident

from sqlalchemy import Connection, Engine, event
from sqlalchemy.exc import DBAPIError, SQLAlchemyError

from consumerd.database.causes import is_of_content, words_of
from consumerd.database.embedded import driver_of
from consumerd.database.lock import FileLock
from consumerd.errors import CommitUnknownError, SourceAwayError

LONGEST_WAIT_S = 60.0
"""So long a handler waits for its turn to write into a file."""


@contextmanager
def _in_line(lock: FileLock | None) -> Iterator[None]:
    """The turn of one writer of a file, whose lock this is: SQLite itself lets some wait for ever. None: a server."""
    if lock is None:
        yield
        return
    if not lock.acquire(LONGEST_WAIT_S):
        raise SourceAwayError(f"others have held {lock.path} for {LONGEST_WAIT_S:g} s: keep their transactions short")
    try:
        yield
    finally:
        lock.release()


class Transactions:
    """Of one worker: one at a time in each thread that runs its handlers."""

    def __init__(self, engine: Callable[[], Engine], lock: FileLock | None) -> None:
        """engine: of the consumer's database. lock: of a file, for its writers."""
        self._engine = engine
        self._lock = lock
        self._open_in: set[int] = set()

    @contextmanager
    def begin(self, settle: Callable[[Connection], object]) -> Iterator[Connection]:
        """A transaction that is committed with the end of the block, after `settle`; what either raises rolls it back,
        and passes through.

        CommitUnknownError where nobody knows whether it was committed.
        """
        thread = get_ident()
        if thread in self._open_in:
            raise RuntimeError("self.transaction() is open already: use the connection that it gave")
        self._open_in.add(thread)
        try:
            with _in_line(self._lock), self._engine().connect() as connection:
                yield from _whole(connection, settle)
        finally:
            self._open_in.discard(thread)


_SAVEPOINT = "consumerd"
_ENDED = (
    "the transaction of self.transaction() was ended within its block: let an error pass to roll it back, "
    "and use connection.begin_nested() for a part"
)


def _check_whole(connection: Connection) -> None:
    """RuntimeError where the server has rolled the transaction back, as after a deadlock, and the block went on."""
    try:
        connection.exec_driver_sql(f"RELEASE SAVEPOINT {_SAVEPOINT}")
    except DBAPIError as error:
        if error.connection_invalidated:
            raise
        raise RuntimeError(f"{_ENDED} ({words_of(error)})") from error


def _whole(connection: Connection, settle: Callable[[Connection], object]) -> Iterator[Connection]:
    """One transaction on the connection."""
    if connection.dialect.name == "sqlite":
        driver_of(connection).execute("BEGIN IMMEDIATE")  # one that began by reading may find that it cannot write
    transaction, is_within = connection.begin(), True

    def refuse_within(connection: Connection) -> None:
        if is_within:
            raise RuntimeError("the block of self.transaction() was to be committed within: leave that to its end")

    event.listen(connection, "commit", refuse_within)
    try:
        connection.exec_driver_sql(f"SAVEPOINT {_SAVEPOINT}")
        yield connection
        if not transaction.is_active:
            raise RuntimeError(_ENDED)
        _check_whole(connection)
        settle(connection)
    except BaseException:
        try:
            connection.rollback()
        except SQLAlchemyError:
            connection.invalidate()  # whatever its state is, nobody gets it
        raise
    is_within = False
    try:
        transaction.commit()
    except SQLAlchemyError as error:
        if is_of_content(error):
            raise
        raise CommitUnknownError(f"nobody knows whether the transaction was committed: {words_of(error)}") from error
