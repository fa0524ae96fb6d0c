"""librdkafka's own log lines, as debug facts: it would write them on stderr otherwise. Runs in workers."""

from __future__ import annotations

import logging
from collections.abc import Callable

from consumerd import events
from consumerd.events.facts import Fact


class FactLogger(logging.Logger):
    """A logger of its own, outside the tree of `logging`, whose lines become facts."""

    def __init__(self, emit: Callable[[Fact], None]) -> None:
        super().__init__("librdkafka")
        self.propagate = False
        self._emit = emit

    def handle(self, record: logging.LogRecord) -> None:
        """Emit the line."""
        self._emit(events.client_logged(line=record.getMessage()))
