"""Who finds new tasks for a pool: one of its workers looks for all, hears what the server tells, and rings the bell.

Runs in workers. PostgreSQL tells by NOTIFY that tasks were added. What nobody tells of, and what has become due, is
found by looking: at a server once in `poll_interval`, at a file so often that nobody waits for long.
"""

from __future__ import annotations

import select
from collections.abc import Callable
from contextlib import closing
from threading import Event, Thread

from sqlalchemy import Connection

from consumerd import events
from consumerd.clock import monotonic
from consumerd.database.causes import NotReadyError
from consumerd.database.database import Database
from consumerd.database.notifications import Notifications
from consumerd.database.urls import read_url
from consumerd.errors import SourceAwayError
from consumerd.events.facts import Fact
from consumerd.sources.contract import SourceContext
from consumerd.sources.table.bell import Bell
from consumerd.sources.table.opening import Opening
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.rounds import SHARE

CHANNEL = "consumerd"
"""Where PostgreSQL tells of a table, by its name, that it has new tasks."""

FIRST_PAUSE_S = 1.0
LONGEST_PAUSE_S = 60.0
_BEAT_S = 1.0


class Listening:
    """A thread, as long as this worker is the one that listens. The keeper calls it.

    While nobody listens, all of the pool's workers look now and then.
    """

    def __init__(self, options: TableOptions, context: SourceContext, opening: Opening, bell: Bell) -> None:
        self._options = options
        self._emit = context.emit
        self._opening = opening
        self._bell = bell
        self._end = Event()
        self._thread: Thread | None = None

    def be(self, is_wanted: bool, is_due: Callable[[Connection], bool]) -> None:
        """Begin to listen, or cease. is_due: looks whether a task can be claimed."""
        if not is_wanted:
            self.close()
        elif self._thread is None or not self._thread.is_alive():
            self._end = end = Event()
            self._thread = Thread(target=lambda: self._run(end, is_due), name="listening", daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Listen no more, from the next beat on."""
        self._end.set()
        self._thread = None

    # In the thread

    def _run(self, end: Event, is_due: Callable[[Connection], bool]) -> None:
        ear = Ear(self._options, self._emit)
        next_at = 0.0
        with closing(self._opening.quick_database()) as database, closing(ear):
            while not end.is_set():
                if ear.hears(end, min(_BEAT_S, next_at - monotonic())):
                    self._bell.ring()
                elif monotonic() >= next_at:
                    next_at = monotonic() + self._look(database, is_due)

    def _look(self, database: Database, is_due: Callable[[Connection], bool]) -> float:
        """Look, unless a ring waits for somebody to be idle; how long until the next look.

        Where the database is away, whoever hears the bell meets the same, and tells of it.
        """
        began_at = monotonic()
        self._bell.attend()
        try:
            if not self._bell.is_rung and database.read(is_due):
                self._bell.ring()
        except SourceAwayError:
            self._bell.ring()
            return max(FIRST_PAUSE_S, self._options.look_interval_s)
        return max(self._options.look_interval_s, SHARE * (monotonic() - began_at))


class Ear:
    """Hears of new tasks in one table, where a server tells. A lost connection is made anew, after growing pauses."""

    def __init__(self, options: TableOptions, emit: Callable[[Fact], None]) -> None:
        url = read_url(options.database, "database") if options.is_server else None
        self._table = options.table.rpartition(".")[2]
        self._emit = emit
        known = url is not None and Notifications.are_known(url)
        self._told = Notifications(url, CHANNEL) if url is not None and known else None
        self._poll: select.poll | None = None
        self._open_at = 0.0
        self._pause_s = FIRST_PAUSE_S

    def hears(self, end: Event, within_s: float) -> bool:
        """Wait for so long at most; whether there may be new tasks. True as well once it can hear: for those before."""
        try:
            if self._told is not None and self._poll is None and monotonic() >= self._open_at:
                return self._begin(self._told)
            if self._told is None or self._poll is None:
                end.wait(max(0.0, within_s))
                return False
            return bool(self._poll.poll(max(0.0, within_s) * 1000)) and self._table in self._told.take()
        except ConnectionError:  # the loop meets the same, and tells of it
            self._open_at, self._pause_s = monotonic() + self._pause_s, min(self._pause_s * 2, LONGEST_PAUSE_S)
        except NotReadyError as error:
            self._emit(events.wakeups_missing(error=str(error), then="new tasks are found by polling alone"))
            self._open_at = float("inf")
        self.close()
        return False

    def close(self) -> None:
        """Hear no more."""
        self._poll = None
        if self._told is not None:
            self._told.close()

    def _begin(self, told: Notifications) -> bool:
        told.open()
        self._poll, self._pause_s = select.poll(), FIRST_PAUSE_S
        self._poll.register(told.fileno(), select.POLLIN)
        return True
