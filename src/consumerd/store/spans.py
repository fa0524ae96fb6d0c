"""A walk over all rows of the parking store, in steps of less than a second, however many rows there are.

The key of a row is a hash. So a part of the range of all keys holds that part of the rows, whatever they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import ColumnElement, and_

from consumerd.clock import monotonic
from consumerd.store.schema import KEY_CHARACTERS

ResultT = TypeVar("ResultT")

KEYS: int = 16**KEY_CHARACTERS
FIRST_PART = 256
LONGEST_STEP_S = 0.5


@dataclass(frozen=True, slots=True)
class Span:
    """The keys from `low` on, below `high`, as numbers."""

    low: int
    high: int

    def holds(self, key: ColumnElement[str]) -> ColumnElement[bool]:
        """Whether a key is within the span."""
        is_below = [key < f"{self.high:0{KEY_CHARACTERS}x}"] if self.high < KEYS else []
        return and_(key >= f"{self.low:0{KEY_CHARACTERS}x}", *is_below)


def walk(step: Callable[[Span], ResultT], now: Callable[[], float] = monotonic) -> Iterator[ResultT]:
    """The results of `step` on spans that together are all keys; their width follows from how long a step takes."""
    low, width = 0, KEYS // FIRST_PART
    while low < KEYS:
        span = Span(low, min(low + width, KEYS))
        began = now()
        result = step(span)
        took_s = now() - began
        if took_s > LONGEST_STEP_S:
            width = max(width // 2, 1)
        elif took_s < LONGEST_STEP_S / 2:
            width *= 2
        low = span.high
        yield result
