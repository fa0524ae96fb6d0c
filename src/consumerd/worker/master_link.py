"""The worker's line to its master. Runs in workers.

The worker never waits for it. Messages are small and few, and kept for a frozen master; but what is told of single
tasks, which may be much, is dropped while it reads nothing.
"""

from __future__ import annotations

import threading
from contextlib import suppress

from consumerd import events
from consumerd.errors import WireError
from consumerd.events.facts import Audience, Fact
from consumerd.wire.channel import Channel
from consumerd.wire.messages import Message, Reported
from consumerd.worker.tasks.context import Link

_UNSENT = suppress(WireError, BrokenPipeError, ConnectionResetError)
"""A master that reads nothing, or is gone; a message that cannot be written, which is in the worker's own log."""


class MasterLink(Link):
    """Sends to the master, from any thread. The timer alone reads the same channel."""

    def __init__(self, channel: Channel) -> None:
        super().__init__()
        self.channel = channel
        self._lock = threading.Lock()

    def tell(self, message: Message) -> None:
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
        """A listener: passes on the facts that the master is to be told of."""
        audience = events.audience_of(fact)
        reported = Reported(fact.name, fact.level.value, fact.fields)
        if Audience.MASTER in audience:
            self.tell(reported)
        elif Audience.MASTER_IF_IT_READS in audience:
            self.offer(reported)
