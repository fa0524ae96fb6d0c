"""The autoscaler: looks at the pools whose number of workers is a range, and changes it. Runs in the master.

Its clock is the lag: each time a worker has told it, the pool is looked at. Nothing is done between, and nothing where
no lag is told: the number stays as it is. What an operator has pinned stays too; what would be wanted is shown.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from consumerd import events
from consumerd.events.facts import Fact
from consumerd.master.pools.pools import Pools
from consumerd.master.rules.autoscale import Bounds, Judgement, Measurement, interrupted, judge
from consumerd.master.rules.plan import canary_slot
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import PoolState, SlotState
from consumerd.wire.status import Scaling

OLD_LAG_S = 60.0
"""A lag that nobody has measured for so long says nothing any more."""


@dataclass(frozen=True)
class Autoscaler:
    """Changes the numbers of workers. What it knows of a pool is kept with the pool's processes."""

    pools: Pools
    emit: Callable[[Fact], None]

    def turn(self, now: float) -> None:
        """Measurement at each pool of which a lag has come since the last turn."""
        for name in self.pools:
            self._look_at(name, now)

    def next_turn_at(self) -> float | None:
        """Never by itself: a lag that is heard makes a turn."""
        return None

    def _look_at(self, name: ConsumerName, now: float) -> None:
        pools = self.pools
        bounds, processes = bounds_of(pools, name), pools.processes[name]
        if bounds is None or processes.lag is None or processes.lag.heard_at <= processes.looked_at:
            return
        processes.looked_at = processes.lag.heard_at
        if why_it_stays(pools, name, now) is not None:
            processes.judgement = processes.judgement and interrupted(processes.judgement)
            return
        processes.judgement = judge(processes.judgement, _look(pools, name), bounds)
        if pools.scaled(name) is None:
            self._want(name, processes.judgement)

    def _want(self, name: ConsumerName, judgement: Judgement) -> None:
        before = self.pools.workers_wanted(name)
        if judgement.wanted == before:
            return
        self.pools.autoscale(name, judgement.wanted)
        fact = events.pool_autoscaled(
            consumer=str(name), workers=judgement.wanted, before=before, reason=judgement.reason
        )
        self.emit(fact)


def bounds_of(pools: Pools, name: ConsumerName) -> Bounds | None:
    """Within what a pool is scaled; None where its number of workers is fixed."""
    scaling = pools.entry(name).settings.common.scaling
    return None if scaling is None else Bounds(scaling.min, scaling.max, scaling.target_seconds)


def why_it_stays(pools: Pools, name: ConsumerName, now: float) -> str | None:
    """Why a number of workers is not to be changed now, whatever is behind; None where it may be."""
    pool, wanted, lag = pools[name], pools.wanted[name], pools.processes[name].lag
    if pool.state is not PoolState.UP or wanted.stop_deadline is not None:
        return "the pool is not up"
    if pools.is_paused(name):
        return "the pool is paused"
    if canary_slot(wanted, pool) is not None:
        return "a change of the pool is on trial"
    if wanted.is_split:
        return "the workers divide the keys by their number"
    if lag is None or not lag.shards or now - lag.heard_at > OLD_LAG_S:
        return "how many tasks wait is not known"
    return None


def scaling_of(pools: Pools, name: ConsumerName, now: float) -> Scaling | None:
    """For `status`: the bounds, what is wanted within them, and why; None where the number is fixed."""
    bounds, judgement = bounds_of(pools, name), pools.processes[name].judgement
    if bounds is None:
        return None
    pinned, workers = pools.scaled(name), pools.workers_wanted(name)
    stays = why_it_stays(pools, name, now)
    if stays is not None or judgement is None:
        judgement = Judgement(workers, workers, f"{workers} stay: {stays or 'nobody has looked yet'}")
    reason = judgement.reason
    return Scaling(
        min=bounds.fewest,
        max=bounds.most,
        target_seconds=bounds.target_s,
        wanted=judgement.wanted,
        needed=judgement.needed,
        reason=reason if pinned is None else f"pinned to {pinned} by hand; else: {reason}",
    )


def _look(pools: Pools, name: ConsumerName) -> Measurement:
    pool, processes, workers = pools[name], pools.processes[name], pools.workers_wanted(name)
    counts, lag = processes.counts(), processes.lag
    assert lag is not None
    ages = [oldest_s for _, _, oldest_s, _ in lag.shards if oldest_s is not None]
    return Measurement(
        at=lag.heard_at,
        workers=workers,
        running=sum(pool.slots[number].state is SlotState.RUNNING for number in range(workers)),
        finished=counts.handled + counts.parked,
        behind=sum(tasks for _, tasks, _, _ in lag.shards),
        oldest_s=max(ages, default=None),
        shards=shards_of(pools, name),
    )


def shards_of(pools: Pools, name: ConsumerName) -> int | None:
    """How many workers at most have something to do, by the shards of the source; None where that is not known."""
    lag = pools.processes[name].lag
    return None if lag is None or pools.traits(name).get("unlimited_workers", True) else len(lag.shards)
