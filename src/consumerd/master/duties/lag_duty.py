"""Has another worker measure the lag while that of slot 0 does not. Runs in the master.

The worker of slot 0 measures by itself. Where its lag has not come for a while, and it is not in its loop, the lowest
worker that is gets the duty, until slot 0 is back. While no worker of a pool is in its loop, nobody measures.
"""

from __future__ import annotations

from dataclasses import dataclass

from consumerd.master.pools.pool import Pool
from consumerd.master.pools.pools import Pools
from consumerd.model.slots import SlotState
from consumerd.wire.messages import Measure

LAG_SLOT = 0
SILENT_S = 20.0
"""After so long without a lag another worker measures: twice the usual interval."""


@dataclass(frozen=True)
class LagDuty:
    """Gives the duty, and takes it back."""

    pools: Pools

    def next_turn_at(self) -> float | None:
        """When the first pool that lacks its usual measurer has been silent for too long."""
        return min((_silent_at(pool) for pool in self.pools if _substitute(pool) is not None), default=None)

    def turn(self, now: float) -> None:
        for pool in self.pools:
            if _is_running(pool, LAG_SLOT):
                _relieve(pool)
            elif now >= _silent_at(pool) and (slot := _substitute(pool)) is not None:
                pool.lag_measurer = (slot, pool.workers[slot].generation)
                pool.send(slot, Measure(is_wanted=True))


def _silent_at(pool: Pool) -> float:
    return (pool.observed.since if pool.lag is None else pool.lag.heard_at) + SILENT_S


def _is_running(pool: Pool, slot: int) -> bool:
    return pool.observed.slots[slot].state is SlotState.RUNNING


def _substitute(pool: Pool) -> int | None:
    """Who is to have the duty, where slot 0 is not in its loop, and nobody who lives has it."""
    if _is_running(pool, LAG_SLOT) or _is_given(pool):
        return None
    return next((number for number in sorted(pool.observed.slots) if _is_running(pool, number)), None)


def _relieve(pool: Pool) -> None:
    if pool.lag_measurer is not None and _is_given(pool):
        pool.send(pool.lag_measurer[0], Measure(is_wanted=False))
    pool.lag_measurer = None


def _is_given(pool: Pool) -> bool:
    """Whether the worker that got the duty still lives."""
    if pool.lag_measurer is None:
        return False
    slot, generation = pool.lag_measurer
    worker = pool.workers.get(slot)
    return worker is not None and worker.generation == generation
