"""A suspect in a window: nothing runs beside it. Runs in workers and the foreground; the loop's thread calls it."""

from __future__ import annotations

from consumerd.errors import StoreAwayError
from consumerd.model.suspects import Suspect
from consumerd.model.task import Task
from consumerd.worker.tasks.handling import Parts


class Alone:
    """Whether a task that was running when a worker died runs now."""

    def __init__(self, parts: Parts) -> None:
        self._suspects = parts.suspects
        self._settling = parts.settling
        self._suspect: Suspect | None = None

    @property
    def is_on(self) -> bool:
        return self._suspect is not None

    def begin(self, task: Task, suspect: Suspect) -> None:
        """It is about to run: what ended before it must not be repeated where it kills the worker."""
        self._settling.park()
        self._settling.settle()
        self._suspect = suspect
        try:
            self._suspects.begin(task, suspect)
        except StoreAwayError as error:
            self._settling.outage.note(error)

    def end(self, *, is_cleared: bool) -> None:
        """It does not run any more, if it did. is_cleared: it came to an outcome; else it runs alone again."""
        if self._suspect is not None:
            suspect, self._suspect = self._suspect, None
            self._suspects.end(suspect.task_id, is_cleared=is_cleared)
