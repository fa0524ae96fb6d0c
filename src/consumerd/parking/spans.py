"""A walk over all rows of the parking store in the order of their keys, in steps of less than a second.

A step is so many rows, not a part of the range of keys: keys need not be spread over it evenly.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import TypeVar

from sqlalchemy import ColumnElement, and_

from consumerd.clock import monotonic
from consumerd.errors import StoreAwayError

ResultT = TypeVar("ResultT")

FIRST_ROWS, MOST_ROWS = 100, 5_000
LONGEST_STEP_S = 0.5


@dataclass(frozen=True, slots=True)
class Span:
    """The keys behind `after` up to `last`, which is one of them; None: all behind `after`."""

    after: str
    last: str | None

    def holds(self, key: ColumnElement[str]) -> ColumnElement[bool]:
        """Whether a key is within the span."""
        is_below = [] if self.last is None else [key <= self.last]
        return and_(key > self.after, *is_below)


def walk(
    step: Callable[[str, int], tuple[ResultT, str | None]], now: Callable[[], float] = monotonic
) -> Iterator[ResultT]:
    """The results of `step` on the next so many rows behind a key; it says their last key, or None for the end.

    How many follows from how long a step takes. One that failed is done again with fewer rows, since the server may
    have become too slow for so many; StoreAwayError where it fails with the fewest.
    """
    after: str | None = ""
    rows = FIRST_ROWS
    while after is not None:
        began = now()
        try:
            result, after = step(after, rows)
        except StoreAwayError:
            if rows <= FIRST_ROWS:
                raise
            rows = max(rows // 4, FIRST_ROWS)
            continue
        took_s = now() - began
        if took_s > LONGEST_STEP_S:
            rows = max(rows // 2, 1)
        elif took_s < LONGEST_STEP_S / 2:
            rows = min(rows * 2, MOST_ROWS)
        yield result
