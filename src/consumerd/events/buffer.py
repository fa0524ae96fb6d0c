"""A buffer of facts: what is emitted while something urgent is done is told when that is done, in the same order."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

from consumerd.events.facts import Fact, Listener


class FactBuffer:
    """Holds facts back for several listeners together, so that the order between them stays. One thread."""

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
