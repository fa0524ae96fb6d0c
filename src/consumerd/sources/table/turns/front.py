"""Where a claim begins to look, so that it need not pass all that was settled before. Runs in workers.

A server keeps the index entries of rows that have changed until nobody can see them any more: where a transaction is
held open, for hours. They lie in front of the rows that wait, and a claim that begins at the front reads them all each
time. So a claim begins where the last one ended. What lies before that, such as a row that another worker gave back, is
found by a claim of everything, which is made as often as it costs a twentieth of the time.

The same holds of rows whose claim has ended, which are in front of all others: each claim of everything takes them.
"""

from __future__ import annotations

from collections.abc import Callable

from consumerd.database.claims import Place
from consumerd.sources.table.rounds import SHARE

SHORTEST_S = 0.5


class Whole:
    """When one worker's claims look at everything."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._affordable_at = self._at = 0.0

    @property
    def is_due(self) -> bool:
        """Whether the next claim should look at everything."""
        return self._now() >= self._at

    def note(self, began_at: float, *, is_cut_off: bool) -> None:
        """A claim of everything that began then has ended. is_cut_off: there may be more, so the next is one, too."""
        now = self._now()
        self._affordable_at = now + SHARE * (now - began_at)
        self._at = 0.0 if is_cut_off else max(self._affordable_at, now + SHORTEST_S)

    def hasten(self) -> None:
        """Let the next claim look at everything, as soon as that costs a twentieth of the time."""
        self._at = self._affordable_at


class Front:
    """For one worker's claims, one after the other."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._whole = Whole(now)
        self._since: Place | None = None

    def since(self) -> Place | None:
        """From where on the next claim is to look; None: at all."""
        return None if self._whole.is_due else self._since

    def reset(self) -> None:
        """Rows were given back: the next claim looks at everything."""
        self._since = None

    def note(self, began_at: float, since: Place | None, last: Place | None, *, is_full: bool) -> None:
        """A claim that began then, and looked from `since` on, has ended.

        last: its last row of those that waited; None: it had none. is_full: it found as many as it wanted.
        """
        if since is None:
            self._whole.note(began_at, is_cut_off=is_full and last is None)
        elif not is_full:
            self._whole.hasten()  # nothing more from there on
        if last is not None:
            self._since = last
