"""Whether a pool is held back by its `throttle`, and why. Pure: the time and what the file says are given."""

from __future__ import annotations

from datetime import datetime
from typing import NamedTuple

from consumerd.config.keys.throttle import Throttle, hours_of

SHOWN_CHARACTERS = 40


class Held(NamedTuple):
    """Why a pool is held back. is_fault: because the throttle cannot be asked, which nobody has wanted."""

    reason: str
    is_fault: bool = False


def why_held(throttle: Throttle, now: datetime, content: str | OSError | None) -> Held | None:
    """The first reason; None where there is none.

    now: knows its zone. content: how its file begins; None: there is none, which holds nothing back. What is there and
    cannot be read, or is no number where one is wanted, does.
    """
    for hours in throttle.during:
        if hours_of(hours).have(now):
            return Held(f"its hours {hours} (throttle.during)")
    if throttle.outside and not any(hours_of(hours).have(now) for hours in throttle.outside):
        return Held(f"it is none of its hours {', '.join(throttle.outside)} (throttle.outside)")
    if throttle.file is None or content is None:
        return None
    if isinstance(content, OSError):
        return Held(f"the file {throttle.file} cannot be read ({content.strerror or content})", is_fault=True)
    if throttle.above is None:
        return Held(f"the file {throttle.file} is there")
    return _too_much(throttle.file, content, throttle.above)


def _too_much(file: str, content: str, above: float) -> Held | None:
    first = (content.split() or [""])[0]
    try:
        number = float(first)
    except ValueError:
        begins = f"the file {file} begins with no number, but with {first[:SHOWN_CHARACTERS]!r}"
        return Held(begins, is_fault=True)
    return None if number <= above else Held(f"the file {file} says {first}, above {above:g}")
