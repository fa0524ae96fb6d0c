"""How many rows wait, as the user's `waiting` counts them. Runs in workers and the foreground.

The loop's thread calls the hook, whose connection is that of the query; the keeper reads what it said.
"""

from __future__ import annotations

from consumerd.model.contract import is_overridden
from consumerd.sources.contract import ShardLag, SourceContext

COUNTED_AGAIN_AFTER_S = 10.0


class Counting:
    """Counts while the worker has the duty to know: while it is asked."""

    def __init__(self, context: SourceContext) -> None:
        self._context = context
        self._can_count = is_overridden(type(context.consumer), "waiting")
        self._is_wanted = False
        self._next_at = 0.0
        self._lag: tuple[ShardLag, ...] = ()

    def lag(self) -> tuple[ShardLag, ...]:
        """What was counted last; nothing where nobody can say. The keeper."""
        self._is_wanted = self._can_count
        return self._lag

    def count(self) -> None:
        """Count, where that is wanted and time has passed.

        A count that stands still blames no worker: rows may come as quickly as they go, or wait for a later time.
        """
        now = self._context.clock.monotonic()
        if not self._is_wanted or now < self._next_at:
            return
        self._next_at = now + COUNTED_AGAIN_AFTER_S
        waiting = self._context.worker.call_hook("waiting", self._context.consumer.waiting, None)
        self._lag = () if waiting is None else (ShardLag(0, int(waiting), None, int(waiting), is_blocked=True),)
