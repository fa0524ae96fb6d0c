"""What the master says of its parking store: which it is, and whether that is durable enough. Runs in the master."""

from __future__ import annotations

import os
import re

from consumerd import events
from consumerd.config.redaction import MASK
from consumerd.config.shape import Document
from consumerd.events.listeners import Listeners
from consumerd.model.identity import ConsumerName
from consumerd.state import durability
from consumerd.state.state_dir import StateDirectory
from consumerd.wire.messages import Loaded

_WRITTEN_PASSWORDS = (
    re.compile(r"(://[^/@:]*:)(?!\$\{\w+\}@).*(?=@)"),
    re.compile(r"(?i)([?&][\w.-]*(?:pass|pwd|secret|token)[\w.-]*=)(?!\$\{)[^&]*"),
)


class Durability:
    """Whether the parking store is durable enough for what each consumer reads; says it once where it is the same."""

    def __init__(self, document: Document, state_dir: StateDirectory, emit: Listeners) -> None:
        self._parking = document.settings.parking
        self._state_dir = state_dir.path
        self._where = durability.look_around(state_dir.path, os.environ)
        self._emit = emit
        self._said: set[str] = set()

    def judge(self, name: ConsumerName, loaded: Loaded) -> str | None:
        """Why this consumer must not run with this store, or None."""
        is_positional = loaded.traits.get("positional", False)
        verdict = durability.judge(
            self._parking, is_positional=is_positional, where=self._where, state_dir=self._state_dir
        )
        if verdict.is_refused:
            return f"{name}: {verdict.sentence}"
        if verdict.sentence and verdict.sentence not in self._said:
            self._said.add(verdict.sentence)
            self._emit(events.parking_judged(consumer=str(name), note=verdict.sentence))
        return None


def shown_parking(parking: str | None) -> str:
    """The parking store as it is written, references unresolved; a password that is written out is masked."""
    shown = "embedded" if parking is None else parking
    for password in _WRITTEN_PASSWORDS:
        shown = password.sub(rf"\1{MASK}", shown)
    return shown
