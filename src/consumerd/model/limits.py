"""Limits: how many tasks may run at once, and how many may start in a second. Pure; times are whole nanoseconds.

The rate is the generic cell rate algorithm: one number, the time at which the next task would start if all started
evenly, says whether one may start now. What is not used is not saved up; what starts a little late is made up for.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import blake2b

SECOND_NS = 1_000_000_000

MADE_UP_NS = SECOND_NS // 100
"""What starts so much too late, at most, does not slow down what comes after it: that starts as much too early."""


LONGEST_KEY_BYTES = 250
"""Of a longer one the beginning is shown, and a hash of it."""

ANY = 2**64 - 1
"""As many as like."""


@dataclass(frozen=True, slots=True)
class Numbers:
    """at_once: how many tasks may run at once, or ANY. interval_ns: one may start each so often; 0: as many as like."""

    at_once: int = ANY
    interval_ns: int = 0

    @classmethod
    def of(cls, at_once: int | None, per_second: float | None) -> Numbers:
        """As they are written; None: no such limit. With a rate of 0 none may run."""
        if per_second == 0:
            return cls(0)
        interval_ns = 0 if per_second is None else max(1, round(SECOND_NS / per_second))
        return cls(ANY if at_once is None else at_once, interval_ns)

    @property
    def rate(self) -> float:
        """A second; inf: as many as like."""
        return SECOND_NS / self.interval_ns if self.interval_ns else math.inf

    @property
    def per_second(self) -> float | None:
        return SECOND_NS / self.interval_ns if self.interval_ns else None


def starts_from_ns(even_ns: int, interval_ns: int, now_ns: int) -> int:
    """From when on a task may start. even_ns: when the next one would, if all did evenly; or when it would have by an
    interval that was longer.
    """
    return min(even_ns - MADE_UP_NS, now_ns + interval_ns)


def even_after_ns(even_ns: int, interval_ns: int, now_ns: int) -> int:
    """When the next one would start, after one that starts now."""
    return min(max(even_ns, now_ns), now_ns + interval_ns + MADE_UP_NS) + interval_ns


def may_take(at_once: int, own: int, held: Sequence[int], asking: Sequence[int]) -> bool:
    """Whether one that holds `own` may hold one more.

    held: how much each of them holds, this one too; asking: how much those hold of the others that were refused and
    ask again. Those that hold less go first, so that what is free is divided evenly among those that want it.
    """
    free = at_once - sum(held)
    return free > 0 and free > sum(1 for other in asking if other < own)


def key_text(key: object) -> str | None:
    """A key by which tasks are counted, as text that can stand wherever it must; None: no key."""
    if key is None:
        return None
    text = str(key).encode("utf-8", "replace").replace(b"\0", b"?")
    if len(text) > LONGEST_KEY_BYTES:
        text = text[: LONGEST_KEY_BYTES // 2] + blake2b(text, digest_size=16).hexdigest().encode()
    return text.decode("utf-8", "ignore")
