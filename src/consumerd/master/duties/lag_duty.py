"""Has one worker of each pool measure the lag: that of the lowest slot that is in its loop. Runs in the master.

While no worker of a pool is in its loop, nobody measures.
"""

from __future__ import annotations

from dataclasses import dataclass

from consumerd.master.pools.pool import Pool
from consumerd.master.pools.pools import Pools
from consumerd.model.slots import SlotState
from consumerd.wire.messages import Measure


@dataclass(frozen=True)
class LagDuty:
    """Gives the duty, and takes it back."""

    pools: Pools

    def next_turn_at(self) -> float | None:
        """Never by itself: a worker that comes to its loop, or leaves it, makes a turn."""
        return None

    def turn(self, now: float) -> None:
        for pool in self.pools:
            slots = pool.observed.slots.items()
            lowest = next((number for number, slot in slots if slot.state is SlotState.RUNNING), None)
            if lowest is not None and (lowest, pool.workers[lowest].generation) != pool.lag_measurer:
                _give(pool, lowest)


def _give(pool: Pool, slot: int) -> None:
    """To the worker of this slot; whoever had it, and lives, measures no longer."""
    before = pool.lag_measurer
    if before is not None and (worker := pool.workers.get(before[0])) is not None and worker.generation == before[1]:
        pool.send(before[0], Measure(is_wanted=False))
    pool.lag_measurer = slot, pool.workers[slot].generation
    pool.send(slot, Measure(is_wanted=True))
