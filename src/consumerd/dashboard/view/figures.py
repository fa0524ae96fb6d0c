"""Numbers and times as a page writes them. Pure."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, TypeGuard

from consumerd import clock
from consumerd.cli.lines import duration

NOTHING = "–"


def count(number: object) -> str:
    """`1,234`; large ones shortened: `123.4 k`, `4.5 M`."""
    if not is_known(number):
        return NOTHING
    for size, least, unit in ((1e9, 1e9, "G"), (1e6, 1e6, "M"), (1e3, 1e5, "k")):
        if number >= least:
            return f"{number / size:.4g} {unit}"
    return f"{number:,.0f}"


def rate(number: object) -> str:
    """`0/s`, `0.25/s`, `12.3/s`, `1,234/s`."""
    if not is_known(number):
        return NOTHING
    return f"{count(number)}/s" if number >= 100 else f"{max(0.0, number):.3g}/s"


def seconds(number: object) -> str:
    """`12 µs`, `1.5 ms`, `2.5 s`, `12 min`."""
    if not is_known(number):
        return NOTHING
    if number >= 1:
        return duration(number)
    return f"{number * 1e3:.3g} ms" if number >= 1e-3 else f"{max(0.0, number) * 1e6:.3g} µs" if number > 0 else "0 s"


def memory(number: object) -> str:
    """`35 MB`."""
    if not is_known(number):
        return NOTHING
    return f"{number / 1e9:.2f} GB" if number >= 1e9 else f"{number / 1e6:.0f} MB"


def is_known(number: object) -> TypeGuard[float]:
    """Whether a field has a number: not None, not unset, not `UNKNOWN`."""
    return isinstance(number, int | float) and not math.isnan(number)


FILTERS: dict[str, Callable[..., Any]] = {  # of any value
    "count": count,
    "rate": rate,
    "seconds": seconds,
    "memory": memory,
    "iso": clock.iso,
    "file_name": lambda path: path.rpartition("/")[2],
    "time": lambda at: clock.iso(at)[11:19],
}
