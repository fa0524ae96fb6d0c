"""When an idle worker looks whether its table has tasks. Runs in workers and the foreground.

A file is looked at often, which costs nobody anything. A server is asked by one statement outside of any transaction,
and all workers of a pool together ask as often as one would: the more they are, the rarer each. Who finds more than it
can take has the others called.
"""

from __future__ import annotations

import random

from consumerd.database.claims import Claims
from consumerd.database.database import Database
from consumerd.sources.contract import SourceContext
from consumerd.sources.table.options import TableOptions

FIRST_PAUSE_S = {False: 0.01, True: 0.05}
LONGEST_PAUSE_IN_FILE_S = 0.1
SHARE = 20
"""A look that takes long is made as often as it costs a twentieth of the time."""


class Rounds:
    """The pauses between looks, which grow while nothing is found.

    is_idle: the last claim found nothing.
    """

    def __init__(self, options: TableOptions, context: SourceContext, database: Database, looks: Database) -> None:
        """database: the one that claims; its connection rests while nothing is found. looks: the one that is asked."""
        self._clock = context.clock
        self._database = database
        self._looks = looks
        self._first_pause_s = FIRST_PAUSE_S[options.is_server]
        workers = max(1, context.shard.count)
        self._longest_pause_s = options.poll_interval * workers if options.is_server else LONGEST_PAUSE_IN_FILE_S
        self._pause_s = self._first_pause_s
        self._next_at = 0.0
        self.is_idle = False

    @property
    def pause_s(self) -> float:
        """How long until the next look."""
        return max(0.001, self._next_at - self._clock.monotonic())

    def begin(self) -> None:
        """Look at once."""
        self._next_at = 0.0
        self._pause_s = self._first_pause_s

    def find(self, claims: Claims) -> bool:
        """Whether it is time to look, and a row can be claimed."""
        if self._clock.monotonic() < self._next_at:
            return False
        began_at = self._clock.monotonic()
        if self._looks.read(claims.is_due):
            return True
        self._put_off(SHARE * (self._clock.monotonic() - began_at))
        return False

    def note(self, *, has_found: bool) -> None:
        """A claim has found something, or nothing."""
        self.is_idle = not has_found
        if has_found:
            self.begin()
        else:
            self._put_off()

    def _put_off(self, at_least_s: float = 0.0) -> None:
        self._next_at = self._clock.monotonic() + max(at_least_s, self._pause_s) * random.uniform(0.9, 1.1)  # noqa: S311 - not in step
        if self._pause_s >= self._longest_pause_s:
            self._database.rest()
        self._pause_s = min(self._pause_s * 2, self._longest_pause_s)
