"""What the master answers to single pages, for all who look at them: each question is asked once a second at most."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from consumerd.clock import SYSTEM_CLOCK, Clock
from consumerd.errors import ConsumerdError
from consumerd.wire.method import Method

FRESH_S = 0.9
MOST_KEPT = 500


@dataclass
class _Asked:
    """A question. of: what the answer is of; where that is another, it is old. While it is asked, its lock is held."""

    lock: threading.Lock = field(default_factory=threading.Lock)
    until: float = float("-inf")
    of: object = None
    answer: Any = None  # of the method's own type
    error: ConsumerdError | None = None


class Shared:
    """Asks, in the thread of whoever wants to know; who wants to know the same meanwhile waits for that answer."""

    def __init__(self, ask: Callable[[Method], Any], clock: Clock = SYSTEM_CLOCK) -> None:
        self._ask = ask
        self._clock = clock
        self._lock = threading.Lock()
        self._asked: dict[Method, _Asked] = {}

    def answer(self, method: Method) -> Any:  # of the method's own type
        """As it was at most a second ago. ConsumerdError, which is shared as well."""
        return self._answer(method, None, FRESH_S)

    def kept(self, method: Method, of: object) -> Any:  # of the method's own type
        """The same, for as long as `of` is what it was. An error is kept for a second."""
        return self._answer(method, of, float("inf"))

    def forget(self) -> None:
        """Something was changed: what was answered until now is old."""
        with self._lock:
            self._asked = {}

    def _answer(self, method: Method, of: object, fresh_s: float) -> Any:
        asked = self._question(method)
        with asked.lock:
            if asked.of != of or asked.until <= self._clock.monotonic():
                asked.of, asked.answer, asked.error = of, None, None
                try:
                    asked.answer = self._ask(method)
                except ConsumerdError as error:
                    asked.error = error
                asked.until = self._clock.monotonic() + (FRESH_S if asked.error else fresh_s)
            if asked.error is not None:
                raise asked.error
            return asked.answer

    def _question(self, method: Method) -> _Asked:
        with self._lock:
            found = self._asked.pop(method, None) or _Asked()
            self._asked[method] = found  # at the end: those before it were not wanted for longer
            while len(self._asked) > MOST_KEPT:
                del self._asked[next(iter(self._asked))]
            return found
