"""How many rows wait, as the user's `waiting` counts them. Runs in workers and the foreground.

The loop's thread calls the hook, whose connection is that of the query; the keeper asks, and soon asks again.
"""

from __future__ import annotations

from consumerd.model.contract import is_overridden
from consumerd.sources.contract import ShardLag, SourceContext


class Counting:
    """Counts when the worker is asked."""

    def __init__(self, context: SourceContext) -> None:
        self._context = context
        self._can_count = is_overridden(type(context.consumer), "waiting")
        self._is_wanted = False
        self._lag: tuple[ShardLag, ...] | None = None

    def lag(self) -> tuple[ShardLag, ...] | None:
        """What was counted since this was asked; None: not yet. Nothing where nobody can say. The keeper."""
        if not self._can_count:
            return ()
        counted, self._lag = self._lag, None
        self._is_wanted = counted is None
        return counted

    def count(self) -> None:
        """Count, where that is wanted.

        A count that stands still blames no worker: rows may come as quickly as they go, or wait for a later time.
        """
        if not self._is_wanted:
            return
        self._is_wanted = False
        waiting = self._context.worker.call_hook("waiting", self._context.consumer.waiting, None)
        self._lag = () if waiting is None else (ShardLag(0, int(waiting), None, int(waiting), is_blocked=True),)
