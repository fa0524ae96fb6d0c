"""Whose turn it is, where several hosts run one query: one of them has it, the others stand by. Runs in workers.

The hosts cannot divide the rows: each divides them among its own workers. So one host has the consumer, by a lease in
the parking store that they share; all workers of a host hold it together.
"""

from __future__ import annotations

import socket

from consumerd import events
from consumerd.errors import StoreAwayError
from consumerd.sources.contract import SourceContext

LEASE_S = 30.0
HELD_AGAIN_AFTER_S = 10.0
ASKED_AGAIN_AFTER_S = 5.0


class Turn:
    """Of one worker. `hold` is called by the loop's thread between two queries, and by the keeper while tasks run."""

    def __init__(self, context: SourceContext) -> None:
        self._context = context
        self._is_asked = context.parked.is_shared and context.member is not None
        self._owner = (context.member or "").partition(".")[0]
        self._next_at = 0.0
        self.is_ours = True

    def hold(self) -> bool:
        """Whether this host has the consumer. While the store is away it stays as it was."""
        now = self._context.clock.monotonic()
        if not self._is_asked or now < self._next_at:
            return self.is_ours
        try:
            holder = self._context.parked.hold(self._owner, socket.gethostname(), LEASE_S)
        except StoreAwayError:
            self._next_at = now + ASKED_AGAIN_AFTER_S
            return self.is_ours
        if holder is not None and self.is_ours:
            error = f"{holder} has it, and this host takes over when that has been silent for {LEASE_S:g} s"
            self._context.emit(events.standing_by(error=error))
        elif holder is None and not self.is_ours:
            self._context.emit(events.took_over())
        self.is_ours = holder is None
        self._next_at = now + (HELD_AGAIN_AFTER_S if self.is_ours else ASKED_AGAIN_AFTER_S)
        return self.is_ours
