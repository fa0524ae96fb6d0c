"""Runs of a schedule were missed."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd import events
from consumerd.doctor.facts import Facts, Finding, Pool, Step

LATE_S = 30.0
MISSED_S = 600.0
"""So long it is said that runs were missed, unless somebody has asked for one since."""


def find(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools():
        schedule = pool.now.schedule
        if schedule is None:
            continue
        is_late = schedule.waiting and not schedule.running and pool.lag_s > LATE_S and not pool.is_held
        if is_late or _missed_lately(pool, facts):
            yield Finding(
                "schedule_late",
                pool.name,
                f"Runs of {pool.name} are missed, or due and not begun.",
                [f"{schedule.missed} missed, {schedule.skipped} skipped, {schedule.waiting} due"],
                [
                    Step("consumerd status", "see its next runs, and whether one goes on for too long"),
                    Step(f"consumerd run-now {pool.name}", "make up for one, if that is wanted"),
                ],
            )


def _missed_lately(pool: Pool, facts: Facts) -> bool:
    """Whether runs were missed for which no other stands, and nobody has made up for them by hand."""
    happened = facts.recent(pool.name, MISSED_S)
    told = [each for each in happened if each.name in (events.ticks_missed.name, events.run_asked_for.name)]
    return bool(told) and told[-1].fields.get("missed") == "skip"
