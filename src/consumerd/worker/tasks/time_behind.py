"""For how long tasks had been due when they were handled. Runs in workers and the foreground.

No clock is read for a task: of a batch, one half counts as late as its first task is when the batch is begun, the other
as late as its last one is when it ends, or, of several tasks at once, when the next batch is wanted.
"""

from __future__ import annotations

from consumerd.sources.abilities import Dated
from consumerd.sources.contract import Batch, Source
from consumerd.worker.tasks.context import WorkerContext


class TimeBehind:
    """Of one worker. What it does not know it does not count."""

    def __init__(self, context: WorkerContext, source: Source) -> None:
        self._due_between = source.due_between if isinstance(source, Dated) else None
        self._wall = context.clock.wall
        self._note = context.board.note_behind
        self._rest, self._last_due = 0, 0.0

    def begin(self, batch: Batch | None) -> None:
        """A batch is begun; None: those before it go on."""
        due = None if batch is None or self._due_between is None else self._due_between(batch)
        if batch is not None and due is not None:
            first_due, self._last_due = due
            self._rest = len(batch.raws) // 2
            self._note(len(batch.raws) - self._rest, self._wall() - first_due)

    def end(self) -> None:
        """The batch has ended, or the next is wanted."""
        if self._rest:
            self._note(self._rest, self._wall() - self._last_due)
            self._rest = 0
