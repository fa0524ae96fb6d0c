"""Amendments: configs that change while a worker runs, for keys that its consumer calls live. Runs in workers.

The timer's thread puts in what the master sends; the loop takes it between two tasks. The zygote has read the same
entry before, in the same environment, and found nothing wrong with it.
"""

from __future__ import annotations

import os
from collections import deque
from collections.abc import Callable, Iterable
from typing import Any

from consumerd.config.shape import ConsumerSettings
from consumerd.worker.code.loader import load_consumer


class Redaction:
    """Takes secrets out of texts; further ones from when they are known. Any thread."""

    def __init__(self, redact: Callable[[str], str]) -> None:
        self._all = [redact]

    def __call__(self, text: str) -> str:
        for redact in self._all:
            text = redact(text)
        return text

    def add(self, redact: Callable[[str], str]) -> None:
        """From now on take out what this one does, too: what a worker knew before, it may still write."""
        self._all.append(redact)


class Amendments:
    """Of one worker. redaction: learns the secrets of each entry before anybody sees them."""

    def __init__(self, redaction: Redaction) -> None:
        self._redaction = redaction
        self._entries: deque[str] = deque()

    def put(self, consumer: str) -> None:
        """A `ConsumerSettings` as JSON, in place of the one before."""
        self._entries.append(consumer)

    def apply(self, config: dict[str, Any], live: Iterable[str]) -> bool:  # the user's own keys have any value
        """Bring the live keys of `config` up to date; whether there was anything new. ConsumerdError."""
        newest = None
        while self._entries:
            newest = self._entries.popleft()
        if newest is None:
            return False
        loaded = load_consumer(ConsumerSettings.model_validate_json(newest), os.environ)
        self._redaction.add(loaded.redactor.redact)
        for key in live:
            config.pop(key, None)
            if key in loaded.configs:
                config[key] = loaded.configs[key]
        return True
