"""Numbers and times as a page writes them. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeGuard

from consumerd import clock
from consumerd.config import amounts

NOTHING = "–"


def _known_by(write: Callable[[float], str]) -> Callable[[object], str]:
    """Writes numbers like that; what is none, or what nobody knows, as `NOTHING`."""
    return lambda number: write(number) if is_known(number) else NOTHING


def is_known(number: object) -> TypeGuard[float]:
    """Whether a field has a number: not None, not unset, not `UNKNOWN`."""
    return isinstance(number, int | float) and not math.isnan(number)


count, rate = _known_by(amounts.count), _known_by(amounts.rate)
seconds, memory = _known_by(amounts.duration), _known_by(amounts.size)

FILTERS: dict[str, Callable[..., Any]] = {  # of any value
    "count": count,
    "rate": rate,
    "seconds": seconds,
    "memory": memory,
    "iso": clock.iso,
    "file_name": lambda path: path.rpartition("/")[2],
    "time": lambda at: clock.iso(at)[11:19],
}
