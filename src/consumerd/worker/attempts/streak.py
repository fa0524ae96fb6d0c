"""Tasks that died one after the other of one and the same error. Pure."""

from __future__ import annotations

from collections import deque

from consumerd.model.task import TaskId

MOST_KEPT = 1_000
"""So many of the last dead are remembered."""


class Streak:
    """So many new tasks in a row that died of one error, and none was done in between."""

    def __init__(self, limit: int) -> None:
        """limit: how many make a streak that tells; 0: none does."""
        self._limit = limit
        self._reason = ""
        self._count = 0
        self._died: deque[tuple[TaskId | None, str]] = deque(maxlen=MOST_KEPT)

    def note_died(self, task_id: TaskId | None, reason: str, *, is_new: bool) -> list[TaskId] | None:
        """A task has died. Where that makes a streak: those that died of this before it; they are told once.

        reason: the error's class, and where it was raised. is_new: it was never tried before; others are not counted.
        """
        if is_new and self._limit:
            self._count = self._count + 1 if reason == self._reason else 1
            self._reason = reason
            if self._count >= self._limit:
                before = [each for each, why in self._died if why == reason and each is not None]
                self.end()
                return before
        self._died.append((task_id, reason))
        return None

    def end(self) -> None:
        """A task was done, or its handler decided."""
        self._reason, self._count = "", 0
        self._died.clear()
