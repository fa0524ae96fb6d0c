"""How many tasks a window has at hand. Pure, the time is given.

Those that can start soon have been fetched, so that no lane waits; and no more than those, for a row that waits here is
claimed, and other workers that could run it are idle beside it.
"""

from __future__ import annotations

AHEAD_S = 0.05
"""What starts within this time has been fetched."""
MOST_AHEAD = 100
"""And no more than so many, or than there are lanes: by then a fetch costs little beside its tasks."""


class Ahead:
    """Of one window. How quickly tasks come and go is known from fetch to fetch, while there are some."""

    def __init__(self) -> None:
        self._task_s = AHEAD_S
        self._fetched = 0
        self._fetched_at = 0.0

    def wants(self, running: int, ready: int, width: int) -> int:
        """How many to fetch, where so many run, and could, in lanes of this number; nothing while there are enough."""
        at_hand = running + ready
        ahead = max(1, min(max(width, MOST_AHEAD), int(AHEAD_S / self._task_s)))
        return max(0, width + 2 * ahead - at_hand) if at_hand < width + ahead else 0

    def note_fetched(self, tasks: int, now: float) -> None:
        """So many were fetched, as far as there were some."""
        if tasks and self._fetched:
            task_s = (now - self._fetched_at) / self._fetched
            self._task_s += (min(AHEAD_S, task_s) - self._task_s) / 4
        self._fetched, self._fetched_at = tasks, now

    def rests_for_s(self) -> float:
        """So long nothing runs, unless more is started."""
        return 0.0

    def hurry(self) -> None:
        """No more can come, or may: lanes that gather wait for nothing any more."""
