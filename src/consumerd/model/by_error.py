"""Policy by error: which of the errors that a handler raises are retried, and which are dead at once. Pure."""

from __future__ import annotations

from enum import Enum, auto
from typing import NamedTuple

Errors = tuple[type[BaseException], ...]


class Listed(Enum):
    """What the lists say of an error. RETRIED: the retry policy decides; LEFT_OUT: `retry_on` is there without it."""

    RETRIED = auto()
    DEAD_ON = auto()
    LEFT_OUT = auto()


class ByError(NamedTuple):
    """The lists of one consumer."""

    retry_on: Errors = ()
    dead_on: Errors = ()

    def list_of(self, kind: type[BaseException]) -> Listed:
        """By the class that is nearest to that of the error."""
        fitting = [(_distance(kind, each), Listed.RETRIED) for each in self.retry_on if issubclass(kind, each)]
        fitting += [(_distance(kind, each), Listed.DEAD_ON) for each in self.dead_on if issubclass(kind, each)]
        if fitting:
            return min(fitting, key=lambda found: found[0])[1]
        return Listed.LEFT_OUT if self.retry_on else Listed.RETRIED


ALL_RETRIED = ByError()


def _distance(kind: type[BaseException], base: type[BaseException]) -> int:
    return kind.__mro__.index(base) if base in kind.__mro__ else len(kind.__mro__)
