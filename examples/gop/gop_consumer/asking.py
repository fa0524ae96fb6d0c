"""When a payment channel is asked again. Pure.

A *pending* payment is being decided, mostly by a person with a phone: asking often helps nobody. Of an *unknown* one
nobody knows whether the channel has it at all, and the player waits for an answer: it is asked about soon and often,
and not for as long.
"""

from __future__ import annotations

from collections.abc import Sequence

Steps = Sequence[tuple[float, float]]
"""(until, every): up to the age `until`, in seconds, the channel is asked every so many seconds."""

MINUTE, HOUR, DAY = 60.0, 3600.0, 86400.0

PENDING: Steps = ((5 * MINUTE, 15), (1 * HOUR, 2 * MINUTE), (1 * DAY, 30 * MINUTE))
UNKNOWN: Steps = ((1 * MINUTE, 2), (10 * MINUTE, 15), (2 * HOUR, 2 * MINUTE))


def next_question_s(steps: Steps, age_s: float) -> float | None:
    """In how many seconds to ask again, where the channel has said this for `age_s`; None where that was the last
    question."""
    return next((every_s for until_s, every_s in steps if age_s < until_s), None)
