"""Orders: what the master says to a worker that runs, kept until whoever it concerns looks. Runs in workers.

The timer's thread puts it in; the loop and the keeper take it.
"""

from __future__ import annotations

from dataclasses import dataclass

from consumerd.worker.tasks.amendments import Amendments, Redaction
from consumerd.worker.tasks.suspects import Told


class LagDuty:
    """Whether it is this worker that measures the lag."""

    def __init__(self, *, is_on: bool) -> None:
        self.is_on = is_on


@dataclass(frozen=True)
class Orders:
    """told: of suspects; amendments: of live configs; lag_duty: of who measures."""

    told: Told
    amendments: Amendments
    lag_duty: LagDuty

    @classmethod
    def of_nobody(cls) -> Orders:
        """Where there is no master."""
        return cls(Told(), Amendments(Redaction(str)), LagDuty(is_on=False))
