"""Is it healthy? What is behind? What has changed lately?"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice

from consumerd import events
from consumerd.dashboard.history import Figure, known, or_unknown
from consumerd.dashboard.memory import OF_TASKS, Item
from consumerd.dashboard.page import Context, Page, Visit, verb_act
from consumerd.doctor.facts import Facts, Finding, Host
from consumerd.doctor.findings import findings
from consumerd.doctor.past import events_in
from consumerd.verbs.pause import Pause, Resume
from consumerd.verbs.status import notes
from consumerd.wire.status import PoolStatus

SPARK_STEPS = 60
"""Sparklines show ten minutes."""

LATELY = 8
QUIET = frozenset({"stderr", events.control_refused.name, events.dashboard_ready.name})


@dataclass(frozen=True, slots=True)
class Row:
    """A pool in the table. rates, lags: of the last ten minutes; rate, failed: of the last look."""

    pool: PoolStatus
    path: str
    rate: float
    failed: float
    lag_tasks: float
    lag_s: float
    rates: list[float]
    lags: list[float]

    @property
    def condition(self) -> str:
        """The word by which it is coloured."""
        if self.pool.problems:
            return "bad"
        return "held" if self.pool.held else "good"

    @property
    def notes(self) -> list[str]:
        return notes(self.pool)

    @property
    def state(self) -> str:
        state = self.pool.held or self.pool.state
        return f"{state}, not healthy" if self.pool.problems and state == "up" else state


def show(visit: Visit) -> Context:
    """What the template is given."""
    seen = visit.seen
    if seen.metrics is None:
        return {"rows": [], "status": None, "lately": [], "totals": None, "found": ()}
    rows = list(_rows(visit))
    return {
        "rows": rows,
        "status": seen.metrics.status,
        "lately": list(lately(visit)),
        "totals": _totals(rows),
        "found": found_in(visit),
    }


def found_in(visit: Visit) -> Sequence[Finding]:
    """What is wrong, as `consumerd doctor` says it: causes first, with what to do."""
    seen = visit.seen
    if seen.metrics is None or seen.before is None:
        return ()
    disk = os.statvfs(visit.state_dir)
    host = Host(str(visit.state_dir), disk.f_bavail * disk.f_frsize, disk.f_blocks * disk.f_frsize)
    looks, happened = (seen.before, seen.metrics), events_in(visit.memory.items)
    return findings(Facts.of(looks, seen.apart_s, host, seen.at, happened))


def _rows(visit: Visit) -> Iterator[Row]:
    assert visit.seen.metrics is not None
    before = {pool.name: pool for pool in visit.seen.before.status.pools} if visit.seen.before is not None else {}
    for pool in visit.seen.metrics.status.pools:
        yield _row(visit, pool, before.get(pool.name))


def row_of(visit: Visit, name: str) -> Row:
    """Of one pool, which is there."""
    return next(row for row in _rows(visit) if row.pool.name == name)


def _row(visit: Visit, pool: PoolStatus, before: PoolStatus | None) -> Row:
    seen, hour = visit.seen, visit.memory.hour
    return Row(
        pool=pool,
        path=f"/pools/{pool.name}",
        rate=or_unknown(pool.per_second("handled", before, seen.apart_s)),
        failed=or_unknown(pool.per_second("failed", before, seen.apart_s)),
        lag_tasks=or_unknown(pool.lag_tasks),
        lag_s=or_unknown(pool.lag_s),
        rates=hour.values(pool.name, Figure.RATE, seen.at, SPARK_STEPS),
        lags=hour.values(pool.name, Figure.LAG_TASKS, seen.at, SPARK_STEPS),
    )


def _totals(rows: list[Row]) -> Mapping[str, float]:
    pools = [row.pool for row in rows]
    parked = [pool.parked_now for pool in pools if pool.parked_now is not None]
    return {
        "rate": sum(known([row.rate for row in rows])),
        "failed": sum(known([row.failed for row in rows])),
        "lag_tasks": sum(known([row.lag_tasks for row in rows])),
        "lag_s": max(known([row.lag_s for row in rows]), default=math.nan),
        "dead": sum(counts.dead for counts in parked),
        "waiting": sum(counts.waiting for counts in parked),
        "running": sum(pool.workers_running for pool in pools),
        "wanted": sum(pool.workers_wanted for pool in pools),
    }


def lately(visit: Visit, most: int = LATELY, consumer: str = "") -> Iterator[Item]:
    """What has happened last beside single tasks, the newest first. consumer: to it alone."""
    items = (item for item in reversed(visit.memory.items) if item["event"] not in QUIET | OF_TASKS)
    told = (item for item in items if item["level"] != "debug" and consumer in ("", item.get("consumer")))
    return islice(told, most)


PAGE = Page("/", "Overview", "overview.html", show, is_listed=True)
ACTS = (
    verb_act("pause", lambda form: Pause(form.get("target", ""))),
    verb_act("resume", lambda form: Resume(form.get("target", ""))),
)
