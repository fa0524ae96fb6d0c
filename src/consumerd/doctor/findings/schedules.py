"""Runs of a schedule were missed."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd import events
from consumerd.doctor.facts import Facts, Finding, Pool, Step

LATE_S = 30.0
MISSED_S = 600.0
"""So long it is said that runs were missed, unless one was done since."""


def find(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools():
        schedule, before = pool.now.schedule, pool.before.schedule
        if schedule is None:
            continue
        was_missed = before is not None and schedule.missed > before.missed
        is_late = schedule.waiting and not schedule.running and pool.lag_s > LATE_S and not pool.is_held
        if was_missed or _missed_lately(pool, facts) or is_late:
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
    happened = facts.recent(pool.name, MISSED_S)
    told = [each for each in happened if each.name in (events.ticks_missed.name, events.run_done.name)]
    return bool(told) and told[-1].name == events.ticks_missed.name
