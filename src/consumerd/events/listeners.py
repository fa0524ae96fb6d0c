"""Listeners together: one fact, told to each. A listener that fails does not keep a fact from the others."""

from __future__ import annotations

from collections.abc import Iterable

from consumerd import events
from consumerd.events.facts import Fact, Listener


class Listeners:
    """Tells every listener of each fact, in order, in the thread that emits it. It is a listener itself."""

    def __init__(self, listeners: Iterable[Listener] = ()) -> None:
        self._listeners = list(listeners)

    def add(self, listener: Listener) -> None:
        self._listeners.append(listener)

    def __call__(self, fact: Fact) -> None:
        for listener in tuple(self._listeners):
            try:
                listener(fact)
            except Exception as error:  # noqa: BLE001 - a listener of whatever kind
                self._report(listener, fact, error)

    def _report(self, failed: Listener, fact: Fact, error: Exception) -> None:
        """Tell the others; one that fails at this too has nobody left to tell."""
        if events.listener_failed.made(fact):
            return
        others = Listeners(listener for listener in self._listeners if listener is not failed)
        others(events.listener_failed(listener=type(failed).__name__, fact=fact.name, error=repr(error)))
