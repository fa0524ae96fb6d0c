"""How new rows of a users' table become known to the claims beside it. Runs in workers and the foreground.

No order of keys tells which rows are new: they commit in another order than their keys, and keys may be at random. So
every look goes over the newest rows by key, and the whole table is gone through again and again, a piece at a time.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from sqlalchemy import Connection

from consumerd.database.claims import MOST_KEYS
from consumerd.database.database import Database
from consumerd.sources.table.side.tables import Key, SideTable

ROWS = 2000
"""A look goes over so many rows at the end of the table, twice as many at most; and so many are taken in at once."""
LONGEST_S = 0.5
LOOKS = 24
"""Of so many looks one finds out where the end of the table is."""


class Intake:
    """For one thread: takes in what lies behind the rows that are known."""

    def __init__(self, side: SideTable, now: Callable[[], float]) -> None:
        self._side = side
        self._now = now
        self._from: Key | None = None
        self._ahead: Key | None = None
        self._is_placed = False
        self._is_behind = True
        self._looks = 0

    def is_due(self, connection: Connection) -> bool:
        """Whether a row can be claimed, or should be taken in."""
        self._looks += 1
        if self._looks % LOOKS == 1:
            self._advance(connection)
        return self._side.is_due(connection, self._from)

    def take_in(self, connection: Connection) -> int:
        """Take rows in, piece after piece until one has any, or the table ends; how many."""
        until, taken = self._now() + LONGEST_S, 0
        self._is_behind = True
        while self._is_behind and not taken and self._now() <= until:
            taken = self._take_piece(connection)
        return taken

    def _take_piece(self, connection: Connection) -> int:
        """Each piece overlaps the last one: a row may commit after others that have higher keys."""
        if not self._is_placed:
            self._place(connection)
        end = self._side.end_of(connection, self._ahead, ROWS)
        taken = self._side.take_in(connection, self._from, end)
        self._is_behind = end is not None
        if end is not None:
            self._from, self._ahead = self._ahead, end
            self._is_placed = not taken  # where there is more, others take it in as well
        return taken

    def _advance(self, connection: Connection) -> None:
        """Leave behind what grew since, as far as all of it is known or is of no concern."""
        if not self._is_placed:
            self._place(connection)
        until = self._now() + LONGEST_S
        while self._now() <= until and (end := self._side.end_of(connection, self._ahead, ROWS)) is not None:
            if self._side.count_unknown(connection, self._from, end):
                return
            self._from, self._ahead = self._ahead, end

    def _place(self, connection: Connection) -> None:
        """Begin near the end of what is known."""
        self._ahead = self._side.last_known(connection)
        self._from = self._ahead and self._side.before(connection, self._ahead, ROWS)
        self._is_placed = True


class Sweep:
    """Goes through both tables, again and again: takes in what was left behind, and forgets what is gone.

    It begins anywhere, so that no part is left out where workers do not live as long as a round.
    """

    def __init__(self, side: SideTable, now: Callable[[], float]) -> None:
        self._side = side
        self._now = now
        self._after: Key | None = None
        self._has_begun = False

    def go(self, database: Database, rows: int = 5 * ROWS) -> None:
        """Go through pieces of so many rows, to the end of the table at most, as far as the time allows."""
        if not self._has_begun:
            part = random.random()  # noqa: S311 - anywhere
            self._after = database.read(lambda connection: self._side.anywhere(connection, part))
            self._has_begun = True
        until = self._now() + LONGEST_S
        while self._now() < until:
            end, is_through = database.write(lambda connection: self._piece(connection, rows))
            if is_through:
                self._after = end
                if end is None:
                    return

    def _piece(self, connection: Connection, rows: int) -> tuple[Key | None, bool]:
        """Where the piece ends, and whether it was gone through: in one transaction, an idle table costs little."""
        end = self._side.end_of(connection, self._after, rows)
        self._side.take_in(connection, self._after, end)
        return end, self._side.forget_gone(connection, self._after, end) < MOST_KEYS


def unknown_rows(connection: Connection, side: SideTable, now: Callable[[], float]) -> int:
    """How many rows are to be taken in, of as many as can be seen within the time."""
    until, after, unknown = now() + LONGEST_S, None, 0
    while now() < until:
        end = side.end_of(connection, after, 5 * ROWS)
        unknown += side.count_unknown(connection, after, end)
        if end is None:
            break
        after = end
    return unknown
