"""When an idle worker looks whether its table has tasks. Runs in workers and the foreground.

It waits at the pool's bell, which calls one of those who wait. It looks uncalled while nobody attends the bell; all
workers of a pool together look as often as one would then: the more they are, the rarer each. A server is asked by one
statement outside of any transaction. Who finds more than it can take has the others called.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from sqlalchemy import Connection

from consumerd import events
from consumerd.database.causes import words_of
from consumerd.database.database import Database
from consumerd.sources.contract import SourceContext
from consumerd.sources.table.bell import Bell
from consumerd.sources.table.options import TableOptions

FIRST_PAUSE_S = {False: 0.01, True: 0.05}
LONGEST_PAUSE_IN_FILE_S = 0.1
SHARE = 20
"""A look that takes long is made as often as it costs a twentieth of the time."""
PAUSE_OF_FULL_S = 0.1
DEAF_S = 0.02
"""After a look that found nothing, so that a bell that never stops ringing keeps nobody busy."""


class Rounds:
    """The pauses between looks, which grow while nothing is found.

    is_idle: the last claim found nothing.
    """

    def __init__(
        self, options: TableOptions, context: SourceContext, database: Database, looks: Database, bell: Bell
    ) -> None:
        """database: the one that claims; its connection rests while nothing is found. looks: the one that is asked."""
        self._clock = context.clock
        self._worker = context.worker
        self._database = database
        self._looks = looks
        self._bell = bell
        self._emit = context.emit
        self._tells = context.shard.index == 0
        self._first_pause_s = FIRST_PAUSE_S[options.is_server]
        longest_s = options.poll_interval if options.is_server else LONGEST_PAUSE_IN_FILE_S
        self._attended_s = 2 * options.look_interval_s + 1.0
        self._longest_pause_s = longest_s * max(1, context.shard.count)
        self._pause_s = self._first_pause_s
        self._next_at = 0.0
        self._hears_from = 0.0
        self._is_called = True
        self.is_idle = False

    def wait(self, at_most_s: float, *, is_full: bool = False) -> bool:
        """Sleep until the next look, which a ring of the bell makes due at once; false where an interrupt ended it.

        is_full: nothing more is wanted, so that there is no next look.
        """
        since = self._clock.monotonic()
        pause_s = min(PAUSE_OF_FULL_S if is_full else max(0.001, self._next_at - since), at_most_s)
        hears = self.is_idle and not is_full and since >= self._hears_from
        if self.is_idle and not is_full and not hears:
            pause_s = min(pause_s, self._hears_from - since)
        self._worker.wait(pause_s, self._bell.descriptor if hears else None)
        if hears and self._bell.take():
            self._next_at, self._is_called = 0.0, True
            return True
        return self._clock.monotonic() - since >= pause_s / 2

    def begin(self) -> None:
        """Look at once."""
        self._next_at, self._is_called = 0.0, True
        self._pause_s = self._first_pause_s

    def find(self, is_due: Callable[[Connection], bool]) -> bool:
        """Whether it is time to look, and a row can be claimed. Who has tasks in hand hears the bell here: it does not
        wait.
        """
        now = self._clock.monotonic()
        if now >= self._hears_from and self._bell.take():
            self._is_called = True
        elif now < self._next_at:
            return False
        self._hang_bell()
        if not self._is_called and self._bell.is_attended(self._clock.wall(), self._attended_s):
            self._looks.rest()
            self._put_off()
            return False
        if self._is_called:  # there is something, in all likelihood: a look would cost a connection more
            self._is_called = False
            return True
        began_at = self._clock.monotonic()
        if self._looks.read(is_due):
            return True
        self._put_off(SHARE * (self._clock.monotonic() - began_at))
        return False

    def _hang_bell(self) -> None:
        """Where that cannot be done, one of the pool's workers says so, once; all look now and then."""
        try:
            self._bell.hang()
        except OSError as error:
            if self._tells:
                self._emit(events.wakeups_missing(error=words_of(error), then="new tasks are found by polling alone"))
            self._tells = False

    def note(self, *, has_found: bool) -> None:
        """A claim has found something, or nothing."""
        self.is_idle = not has_found
        if has_found:
            self.begin()
        else:
            self._put_off()

    def _put_off(self, at_least_s: float = 0.0) -> None:
        now = self._clock.monotonic()
        self._next_at = now + max(at_least_s, self._pause_s) * random.uniform(0.9, 1.1)  # noqa: S311 - not in step
        self._hears_from = now + DEAF_S
        if self._pause_s >= self._longest_pause_s:
            self._database.rest()
        self._pause_s = min(self._pause_s * 2, self._longest_pause_s)
