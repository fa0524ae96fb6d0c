"""The surveyor: has another worker measure the lag while that of slot 0 does not. Runs in the master.

The worker of slot 0 measures by itself. Where its lag has not come for a while, and it is not in its loop, the lowest
worker that is gets the duty, until slot 0 is back. While no worker of a pool is in its loop, nobody measures.
"""

from __future__ import annotations

from dataclasses import dataclass

from consumerd.master.pools.mailbox import Mailbox
from consumerd.master.pools.pools import Pools
from consumerd.master.pools.processes import Processes
from consumerd.master.rules.observed import ObservedPool
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import SlotState
from consumerd.wire.messages import Measure

LAG_SLOT = 0
SILENT_S = 20.0
"""After so long without a lag another worker measures: twice the usual interval."""


@dataclass(frozen=True)
class LagDuty:
    """Appoints. Whom, is kept with the pool's processes."""

    pools: Pools
    post: Mailbox

    def next_turn_at(self) -> float | None:
        """When the first pool that lacks its usual measurer has been silent for too long."""
        times = [self._silent_at(name) for name in self.pools if self._lacks_measurer(name)]
        return min(times, default=None)

    def turn(self, now: float) -> None:
        for name in self.pools:
            if self.pools[name].slots[LAG_SLOT].state is SlotState.RUNNING:
                self._relieve(name)
            elif self._lacks_measurer(name) and now >= self._silent_at(name):
                self._appoint(name)

    def _silent_at(self, name: ConsumerName) -> float:
        lag = self.pools.processes[name].lag
        return (self.pools[name].since if lag is None else lag.heard_at) + SILENT_S

    def _lacks_measurer(self, name: ConsumerName) -> bool:
        """Whether slot 0 is not in its loop, another is, and none of those has the duty."""
        pool, processes = self.pools[name], self.pools.processes[name]
        is_usual = pool.slots[LAG_SLOT].state is SlotState.RUNNING
        return not is_usual and _lowest_running(pool) is not None and not _is_appointed(processes)

    def _appoint(self, name: ConsumerName) -> None:
        processes, slot = self.pools.processes[name], _lowest_running(self.pools[name])
        assert slot is not None
        worker = processes.workers[slot]
        processes.surveyor = (slot, worker.generation)
        self.post.send(worker.seating.channel, Measure(is_wanted=True))

    def _relieve(self, name: ConsumerName) -> None:
        processes = self.pools.processes[name]
        if processes.surveyor is not None and _is_appointed(processes):
            self.post.send(processes.workers[processes.surveyor[0]].seating.channel, Measure(is_wanted=False))
        processes.surveyor = None


def _lowest_running(pool: ObservedPool) -> int | None:
    running = (number for number, slot in pool.slots.items() if slot.state is SlotState.RUNNING)
    return min(running, default=None)


def _is_appointed(processes: Processes) -> bool:
    """Whether the worker that was appointed still lives."""
    if processes.surveyor is None:
        return False
    slot, generation = processes.surveyor
    worker = processes.workers.get(slot)
    return worker is not None and worker.generation == generation
