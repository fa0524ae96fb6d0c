"""A streak of failures, pure: how many attempts of a pool have failed since one last succeeded. Runs in the master.

Tasks that fail are retried and parked one by one, as they should be. That none succeeds any more is of the pool.
"""

from __future__ import annotations

from dataclasses import dataclass

FAILURES_IN_A_ROW = 20


@dataclass(frozen=True, slots=True)
class Streak:
    """The pool's counts: `handled` as it is, `failed` as it was when `handled` last grew, and as it is."""

    handled: int = 0
    failed_before: int = 0
    failed: int = 0

    def after(self, *, handled: int, failed: int) -> Streak:
        """After one more look at the counts."""
        return Streak(handled, self.failed_before if handled == self.handled else failed, failed)

    def ended(self) -> Streak:
        """Other code runs from now on: what failed says nothing of it."""
        return Streak(self.handled, self.failed, self.failed)

    @property
    def failures(self) -> int:
        """How many in a row; 0 while they are too few to tell."""
        failures = self.failed - self.failed_before
        return failures if failures >= FAILURES_IN_A_ROW else 0
