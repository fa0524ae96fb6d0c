"""The autoscaler: looks at the pools whose number of workers is a range, and changes it. Runs in the master.

Its clock is the lag: each time a worker has told it, the pool is looked at. Nothing is done between, and nothing where
no lag is told: the number stays as it is. What an operator has pinned stays too; what would be wanted is shown.
"""

from __future__ import annotations

from consumerd import events
from consumerd.config.keys.worker_range import WorkerRange
from consumerd.master.pools.pool import Pool
from consumerd.master.rules.autoscale import Judgement, Measurement, interrupted, judge
from consumerd.master.rules.flow import MeasuredLag
from consumerd.master.rules.plan import canary_slot
from consumerd.model.slots import PoolState, SlotState
from consumerd.wire.status import Scaling

OLD_LAG_S = 60.0
"""A lag that nobody has measured for so long says nothing any more."""


def autoscale(pool: Pool, now: float) -> None:
    """Look at a pool where a lag of it has come since the last turn; one that comes makes a turn."""
    bounds, lag = pool.entry.settings.common.scaling, pool.lag
    if bounds is not None and lag is not None and lag.heard_at > pool.judged_at:
        pool.judged_at = lag.heard_at
        _judge(pool, lag, bounds, now)


def shards_of(pool: Pool) -> int | None:
    """How many workers at most have something to do, by the shards of the source; None where that is not known."""
    is_unlimited = pool.traits.get("unlimited_workers", True)
    return None if pool.lag is None or is_unlimited else len(pool.lag.shards)


def why_it_stays(pool: Pool, now: float) -> str | None:
    """Why a number of workers is not to be changed now, whatever is behind; None where it may be."""
    lag = pool.lag
    if pool.observed.state is not PoolState.UP or not pool.is_wanted:
        return "the pool is not up"
    if pool.is_paused:
        return "the pool is paused"
    if pool.throttled:
        return "the pool is held back"
    if canary_slot(pool.wanted, pool.observed) is not None:
        return "a change of the pool is on trial"
    if lag is None or not lag.shards or now - lag.heard_at > OLD_LAG_S:
        return "how many tasks wait is not known"
    return None


def scaling_of(pool: Pool, now: float) -> Scaling | None:
    """For `status`: the bounds, what is wanted within them, and why; None where the number is fixed."""
    bounds, judgement, workers = pool.entry.settings.common.scaling, pool.judgement, pool.wanted.workers
    if bounds is None:
        return None
    stays = why_it_stays(pool, now)
    if stays is not None or judgement is None:
        judgement = Judgement(workers, workers, f"{workers} stay: {stays or 'nobody has looked yet'}")
    reason = judgement.reason
    return Scaling(
        min=bounds.min,
        max=bounds.max,
        target_seconds=bounds.target_seconds,
        wanted=judgement.wanted,
        needed=judgement.needed,
        reason=reason if pool.pin is None else f"pinned to {pool.pin} by hand; else: {reason}",
    )


def _judge(pool: Pool, lag: MeasuredLag, bounds: WorkerRange, now: float) -> None:
    if why_it_stays(pool, now) is not None:
        pool.judgement = pool.judgement and interrupted(pool.judgement)
        return
    judgement = pool.judgement = judge(pool.judgement, _measurement(pool, lag), bounds)
    before = pool.wanted.workers
    if pool.pin is None and judgement.wanted != before:
        pool.autoscale(judgement.wanted)
        workers, reason = judgement.wanted, judgement.reason
        fact = events.pool_autoscaled(consumer=pool.consumer, workers=workers, before=before, reason=reason)
        pool.tools.emit(fact)


def _measurement(pool: Pool, lag: MeasuredLag) -> Measurement:
    counts, workers = pool.tally.counts(pool.workers.values()), pool.wanted.workers
    ages = [oldest_s for _, _, oldest_s, _ in lag.shards if oldest_s is not None]
    return Measurement(
        at=lag.heard_at,
        workers=workers,
        running=sum(pool.observed.slots[number].state is SlotState.RUNNING for number in range(workers)),
        finished=counts.handled + counts.parked,
        behind=lag.tasks,
        oldest_s=max(ages, default=None),
        shards=shards_of(pool),
    )
