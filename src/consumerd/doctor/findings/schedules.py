"""Runs of a schedule were missed."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd.doctor.facts import Facts, Finding, Step

LATE_S = 60.0


def find(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools():
        schedule, before = pool.now.schedule, pool.before.schedule
        if schedule is None:
            continue
        was_missed = before is not None and schedule.missed > before.missed
        if was_missed or (schedule.waiting and not schedule.running and pool.now.workers_running):
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
