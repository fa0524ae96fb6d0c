"""What became of an attempt: a closed set, matched exhaustively.

A handler returns `Retry` or `Dead` to say so itself; any other value it returns is *done*.
"""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Done:
    """The handler returned: the task is finished."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Try again later.

    after: seconds from now until the task is due.
    """

    after: float = 0.0


@dataclass(frozen=True, slots=True)
class Dead:
    """Do not try again: park the task until a person decides."""

    reason: str = ""


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
