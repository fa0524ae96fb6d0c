"""What became of an attempt: a closed set, matched exhaustively.

A handler returns `Retry` or `Dead` to say so itself; any other value it returns is *done*.
"""

from __future__ import annotations

from dataclasses import dataclass

LONGEST_AFTER_S = 30 * 24 * 60 * 60.0
"""No retry waits longer: thirty days."""


@dataclass(frozen=True, slots=True)
class Done:
    """The handler returned: the task is finished."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again later.

    after: seconds from now until the task is due.
    """

    after: float = 0.0

    def __post_init__(self) -> None:
        """ValueError, where the handler made it, for what is no number of seconds within LONGEST_AFTER_S."""
        after: object = self.after
        is_number = isinstance(after, (int, float)) and not isinstance(after, bool)
        if not is_number or not 0 <= self.after <= LONGEST_AFTER_S:
            raise ValueError(f"Retry(after=…) wants seconds from 0 to {LONGEST_AFTER_S:.0f}")


@dataclass(frozen=True, slots=True)
class Dead:
    """Do not try again: park the task until a person decides."""

    reason: str = ""

    def __post_init__(self) -> None:
        """TypeError, where the handler made it, for a reason that is no text."""
        reason: object = self.reason
        if not isinstance(reason, str):
            raise TypeError(f"Dead(reason) wants text, not {type(reason).__name__}")


@dataclass(frozen=True, slots=True)
class Expired:
    """Its deferred retries took longer than `expire_time`: parked as dead, with that reason."""

    reason: str = ""


@dataclass(frozen=True, slots=True)
class Skipped:
    """Parked already, so nothing ran."""


Outcome = Done | Retry | Dead | Expired | Skipped

DONE = Done()
SKIPPED = Skipped()
