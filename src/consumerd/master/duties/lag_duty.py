"""Has one worker of each pool measure the lag: that of the lowest slot that is in its loop. Runs in the master.

While no worker of a pool is in its loop, nobody measures.
"""

from __future__ import annotations

from consumerd.master.pools.pool import Pool
from consumerd.model.slots import SlotState
from consumerd.wire.messages import Measure


def give_lag_duty(pool: Pool, now: float) -> None:
    """Have it measured by whoever should; whoever did, and lives, measures no longer."""
    slots, before = pool.observed.slots.items(), pool.lag_measurer
    slot = next((number for number, slot in slots if slot.state is SlotState.RUNNING), None)
    if slot is None or (slot, pool.workers[slot].generation) == before:
        return
    if before is not None and (worker := pool.workers.get(before[0])) is not None and worker.generation == before[1]:
        pool.send(before[0], Measure(is_wanted=False))
    pool.lag_measurer = slot, pool.workers[slot].generation
    pool.send(slot, Measure(is_wanted=True))
