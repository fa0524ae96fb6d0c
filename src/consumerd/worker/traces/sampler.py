"""Which tasks are traced. Pure, the time is given.

It counts down to the next one: between two traced tasks nothing is asked, however many there are. How many come before
the next follows the geometric distribution, as if each had been chosen by chance. That has no memory, so the count may
be drawn anew at any time, as the pace of the tasks changes.
"""

from __future__ import annotations

import math
import random

WINDOW_S = 1.0
"""The pace of the tasks is that of the last whole window; within one it counts when it is higher by now."""
NEVER = 1 << 62
"""So many tasks are handled by no worker."""


class Sampler:
    """Of one worker. left: how many tasks come before the next that is traced."""

    def __init__(self, share: float, most_per_second: float, now: float) -> None:
        self._share = share
        self._most_per_second = most_per_second
        self._pace = 0.0
        self._passed = 0
        self._since = now
        self.left = 0
        self._draw()

    def look(self, now: float) -> None:
        """Time has passed: where a window is over, the count is drawn anew."""
        if now - self._since >= WINDOW_S:
            self._pace = self._passed / (now - self._since)
            self._passed, self._since = 0, now
            self._draw()

    def pass_by(self, tasks: int) -> None:
        """So many tasks, no more than `left`, are not traced."""
        self.left = max(0, self.left - tasks)
        self._passed += tasks

    def takes(self, now: float) -> bool:
        """Whether the task that comes now is traced."""
        self.look(now)
        self._passed += 1
        if self.left:
            self.left -= 1
            return False
        self._draw()
        return True

    def _draw(self) -> None:
        pace = max(self._pace, self._passed / WINDOW_S)
        share = min(self._share, self._most_per_second / pace) if pace else self._share
        if share >= 1:
            self.left = 0
            return
        drawn = math.log(1.0 - random.random()) / math.log1p(-share)  # noqa: S311 - it only spreads
        self.left = min(NEVER, int(drawn))
