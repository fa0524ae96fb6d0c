"""The worker's line to its master. Runs in workers.

The worker never waits for it. Messages are small and few, and kept for a frozen master; but what is told of single
tasks, which may be much, is dropped while it reads nothing.
"""

from __future__ import annotations

import threading
from contextlib import suppress

from consumerd.errors import WireError
from consumerd.events.facts import Fact, Level
from consumerd.wire.channel import Channel
from consumerd.wire.messages import Message, Reported

FACTS_OF_THE_POOL = frozenset(
    {"store_away", "store_back", "source_away", "source_back", "starved", "fed", "hook_failed", "task_unstorable"}
    | {"identity_taken", "records_deleted", "topic_made_anew"}
    | {"destination_away", "destination_back"}
)
"""So that `status` can tell of them."""

FACTS_OF_TASKS = frozenset({"task_failed", "consume_failed"})

_UNSENT = suppress(WireError, BrokenPipeError, ConnectionResetError)
"""A master that reads nothing, or is gone; a message that cannot be written, which is in the worker's own log."""


class MasterLink:
    """Sends to the master, from any thread. The timer alone reads the same channel."""

    def __init__(self, channel: Channel) -> None:
        self.channel = channel
        self._lock = threading.Lock()

    def post(self, message: Message) -> None:
        """Send, as soon as the master reads; one that is gone is the timer's business."""
        with self._lock, _UNSENT:
            self.channel.queue(message)
            self.channel.flush()

    def offer(self, message: Message) -> None:
        """Send, where the master has read what was sent before; else it is not told of this."""
        with self._lock, _UNSENT:
            if self.channel.flush():
                self.channel.queue(message)
                self.channel.flush()

    def flush(self) -> None:
        """Send what the master left unread until now."""
        if self.channel.has_unsent:
            with self._lock, _UNSENT:
                self.channel.flush()

    def listen(self, fact: Fact) -> None:
        """A listener: passes on the facts that concern the pool."""
        if fact.name in FACTS_OF_THE_POOL:
            self.post(_reported(fact))
        elif fact.name in FACTS_OF_TASKS or _is_death(fact):
            self.offer(_reported(fact))


def _reported(fact: Fact) -> Reported:
    return Reported(fact.name, fact.level.value, fact.fields)


def _is_death(fact: Fact) -> bool:
    """Whether a task was parked as dead: somebody may want to be told at once."""
    return fact.name == "task_parked" and fact.level is Level.ERROR
