"""Schedules: when they run next, how far the runs have come that go on, what was missed; and a run now."""

from __future__ import annotations

from dataclasses import dataclass

from consumerd import clock
from consumerd.config.amounts import duration
from consumerd.dashboard.page import Context, Page, Visit, verb_act
from consumerd.verbs.run_now import RunNow
from consumerd.wire.schedules import RunStatus, ScheduleStatus
from consumerd.wire.status import PoolStatus


@dataclass(frozen=True, slots=True)
class Row:
    """A schedule in the table."""

    pool: PoolStatus
    schedule: ScheduleStatus

    @property
    def condition(self) -> str:
        if self.pool.problems:
            return "bad"
        return "held" if self.pool.is_paused else "good"

    @property
    def state(self) -> str:
        running = len(self.schedule.running)
        return "paused" if self.pool.is_paused else f"{running} running" if running else self.pool.state


def show(visit: Visit) -> Context:
    """What the template is given; what is due next comes first."""
    pools = [] if visit.seen.metrics is None else visit.seen.metrics.status.pools
    rows = [Row(pool, pool.schedule) for pool in pools if pool.schedule is not None]
    return {
        "rows": sorted(rows, key=lambda row: min(row.schedule.next, default=float("inf"))),
        "within": _within,
        "share": _share,
    }


def _within(at: float) -> str:
    left_s = at - clock.wall()
    return f"in {duration(left_s)}" if left_s > 0 else "now"


def _share(run: RunStatus) -> float | None:
    """How much of it is done, of 1, as its last checkpoint said."""
    return None if run.done is None or not run.total else min(1.0, max(0.0, run.done / run.total))


PAGE = Page("/schedules", "Schedules", "schedules.html", show, is_listed=True)
ACTS = (verb_act("run-now", lambda form: RunNow(form.get("target", ""))),)
