"""A database as the parking store and the table source use it: whole transactions, or one clear error.

After an error the connection is dropped, never used again: nobody knows in which state it is; but where the database
has only refused a value, it is kept. A transaction is a function of a connection, so that one that lost a race (a
deadlock) can be run again.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol, TypeVar

from sqlalchemy import Connection

ResultT = TypeVar("ResultT")

Transact = Callable[[Callable[[Connection], Any]], Any]
"""A database's `write` or `read`, of steps that have any result."""

Away = Callable[[str], Exception]
"""Makes the error that says: not now, and why."""


class Database(Protocol):
    """Opened at first use. For one thread at a time."""

    def write(self, step: Callable[[Connection], ResultT]) -> ResultT:
        """Run `step` in a transaction of its own and commit. `step` may run more than once."""
        ...

    def read(self, step: Callable[[Connection], ResultT]) -> ResultT:
        """Run `step`, which changes nothing, on one consistent view."""
        ...

    def rest(self) -> None:
        """Let go of a connection that somebody else may need; the next use takes one again."""
        ...

    def close(self) -> None:
        """Close the connection; the next use opens a new one."""
        ...
