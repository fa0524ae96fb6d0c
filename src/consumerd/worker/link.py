"""The worker's line to its master. Runs in workers.

Messages to the master are small and few; when it is frozen and its buffer full, they are dropped: the worker never
waits for it.
"""

from __future__ import annotations

import threading

from consumerd.errors import WireError
from consumerd.events.facts import Fact, Level
from consumerd.wire.channel import Channel
from consumerd.wire.messages import Message, Reported

REPORTED_FACTS = frozenset(
    {"store_away", "store_back", "source_away", "source_back", "starved", "task_failed", "consume_failed"}
)
"""The facts that concern the pool, so that `status` can tell of them."""


class MasterLink:
    """Sends to the master, from any thread. The timer alone reads the same channel."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._lock = threading.Lock()

    def post(self, message: Message) -> None:
        """Send, unless the master reads nothing; a master that is gone is the timer's business."""
        with self._lock:
            try:
                self.channel.queue(message)
                self.channel.flush()
            except (WireError, BrokenPipeError, ConnectionResetError):
                return

    def listen(self, fact: Fact) -> None:
        """A listener: passes on the facts that concern the pool."""
        if fact.name in REPORTED_FACTS or _is_death(fact):
            self.post(Reported(fact.name, fact.level.value, fact.fields))


def _is_death(fact: Fact) -> bool:
    """Whether a task was parked as dead: somebody may want to be told at once."""
    return fact.name == "task_parked" and fact.level is Level.ERROR
