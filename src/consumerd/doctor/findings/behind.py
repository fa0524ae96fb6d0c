"""Tasks wait, and workers could do more, or are too few."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd.doctor.facts import Facts, Finding, Pool, Step
from consumerd.doctor.findings import keys, slow

BEHIND_S = 60.0
FULL = 0.9


def find(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools():
        now, (running, lanes) = pool.now, pool.lanes
        if pool.behind_s < BEHIND_S or not pool.lag_tasks or now.flags or now.throttled:
            continue
        if slow.is_slow(pool) or keys.is_of_keys(pool, facts):
            continue  # the cause of it
        if now.is_paused:
            yield _paused(pool)
        elif now.workers_helping is not None and now.workers_helping < now.workers_wanted:
            yield _more_than_shards(pool, now.workers_helping)
        elif lanes and running >= FULL * lanes and not _is_scaling(pool):
            yield _too_few(pool, running, lanes)
        elif lanes and not pool.finished and now.schedule is None:
            yield _idle(pool, running, lanes)


def _is_scaling(pool: Pool) -> bool:
    """Whether the lag may have more workers by itself."""
    scaling = pool.now.scaling
    return scaling is not None and pool.now.workers_pinned is None and scaling.wanted < scaling.max


def _paused(pool: Pool) -> Finding:
    by = f" by {pool.now.paused.by}" if pool.now.paused else ""
    wait = "1 task waits" if pool.lag_tasks == 1 else f"{pool.lag_tasks} tasks wait"
    return Finding(
        "paused_and_behind",
        pool.name,
        f"{pool.name} is paused{by}, and {wait}.",
        [f"the oldest waits for {pool.lag_s:.0f} s"],
        [Step(f"consumerd resume {pool.name}", "fetch again")],
    )


def _more_than_shards(pool: Pool, helping: int) -> Finding:
    return Finding(
        "more_workers_than_shards",
        pool.name,
        f"{pool.name} is {pool.behind_s:.0f} s behind, and some of its workers have nothing to take.",
        [f"{pool.lag_tasks} tasks wait in {helping} shards", f"{pool.now.workers_wanted} workers are wanted"],
        [
            Step("consumerd status --workers", "see which have something to do"),
            Step("consumerd reload", 'once `concurrency` lets each run more at once, with ordered = "key" for order'),
            Step("", "or give the topic more partitions"),
        ],
        "Do not add workers: there is nothing for them to take.",
    )


def _idle(pool: Pool, running: int, lanes: int) -> Finding:
    return Finding(
        "idle_while_behind",
        pool.name,
        f"{pool.lag_tasks} tasks of {pool.name} wait, and none is being done.",
        [f"{running} of {lanes} lanes are busy", *(pool.without_name(problem) for problem in pool.now.wrong[:3])],
        [
            Step("consumerd status --workers", "see what each worker waits for"),
            Step(f"consumerd logs {pool.name}", "see what they said last"),
            *pool.look_longer(),
        ],
    )


def _too_few(pool: Pool, running: int, lanes: int) -> Finding:
    return Finding(
        "too_few_workers",
        pool.name,
        f"{pool.name} is {pool.behind_s:.0f} s behind, and all its workers are busy.",
        [f"{running} of {lanes} lanes are busy", f"{pool.per_second('handled'):.1f} tasks a second are done"],
        [
            Step(f"consumerd scale {pool.name} {2 * pool.now.workers_wanted}", "if what they need keeps up"),
            Step(f"consumerd scale {pool.name} auto", "go back to what the configuration says"),
            *pool.look_longer(),
        ],
    )
