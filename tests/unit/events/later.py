"""A clock that a test moves, and what is due by it."""

from __future__ import annotations

from collections.abc import Callable


class Later:
    """For whoever is given `now` and `later`."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.due: list[tuple[float, Callable[[], None]]] = []

    def later(self, seconds: float, call: Callable[[], None]) -> None:
        self.due.append((self.now + seconds, call))

    def passes(self, seconds: float) -> None:
        self.now += seconds
        due, self.due = self.due, [each for each in self.due if each[0] > self.now]
        for at, call in due:
            if at <= self.now:
                call()
