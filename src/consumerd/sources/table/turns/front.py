"""Where a claim begins to look, so that it need not pass all that was settled before. Runs in workers.

A server keeps the index entries of rows that have changed until nobody can see them any more: where a transaction is
held open, for hours. They lie in front of the rows that wait, and a claim that begins at the front reads them all each
time. So a claim begins where the last one ended. What lies before that, such as a row that another worker gave back, is
found by a claim of everything, which is made as often as it costs a twentieth of the time.
"""

from __future__ import annotations

from collections.abc import Callable

from consumerd.sources.table.rounds import SHARE

SHORTEST_S = 0.5


class Front:
    """For one worker's claims, one after the other."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._since: float | None = None
        self._whole_at = 0.0

    def since(self) -> float | None:
        """The time in the rows from which on the next claim is to look; None: at all."""
        return self._since if self._now() < self._whole_at else None

    def reset(self) -> None:
        """Rows were given back: the next claim looks at everything."""
        self._since = None

    def note(self, began_at: float, since: float | None, last: float | None, *, is_full: bool) -> None:
        """A claim that began then, and looked from `since` on, has ended.

        last: since when the last row of it was due. is_full: it found as many as it wanted.
        """
        now = self._now()
        if since is None:
            self._whole_at = now + max(SHORTEST_S, SHARE * (now - began_at))
        elif not is_full:
            self._whole_at = 0.0  # nothing more from there on: the next looks at all
        if last is not None:
            self._since = last
