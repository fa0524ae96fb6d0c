"""Several listeners: one fact, told to each; and facts that are told to them later, in the same order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from contextlib import contextmanager

from consumerd import events
from consumerd.events.facts import Fact, Listener


class Listeners:
    """Tells every listener of each fact, in order, in the thread that emits it. It is a listener itself.

    A listener that fails does not keep a fact from the others.
    """

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


class FactBuffer:
    """Holds facts back, for several listeners together: what is emitted while something urgent is done. One thread."""

    def __init__(self) -> None:
        self._held: list[tuple[Listener, Fact]] = []
        self._is_holding = False

    def before(self, listener: Listener) -> Listener:
        """A listener that passes facts on: at the end of `holding` while that lasts, and otherwise at once."""

        def tell(fact: Fact) -> None:
            if self._is_holding:
                self._held.append((listener, fact))
            else:
                listener(fact)

        return tell

    @contextmanager
    def holding(self) -> Iterator[None]:
        """Hold back what is emitted within, and tell it at the end, however that comes."""
        self._is_holding = True
        try:
            yield
        finally:
            self._is_holding = False
            held, self._held = self._held, []
            for listener, fact in held:
                listener(fact)
