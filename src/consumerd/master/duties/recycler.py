"""The recycler: looks at the workers of pools with limits, and marks those that are worn out. Runs in the master.

A marked worker is asked to leave when `max_unavailable` lets it go (`plan`). Boards are looked at each second, memory
once a quarter of a minute a worker, and only where it is limited.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from consumerd import clock, events
from consumerd.events.facts import Fact
from consumerd.master.host.memory import own_bytes
from consumerd.master.pools.pools import Pools
from consumerd.master.pools.processes import Worker
from consumerd.master.rules import history
from consumerd.master.rules.wear import Limits, Worn, worn_out
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import PoolState, SlotState

LOOK_S = 1.0
MEMORY_EVERY_S = 15.0
MEMORY_FOR_S = 0.01
"""So long one look may spend on reading memory; the next goes on with those that were read longest ago."""


@dataclass
class Recycler:
    """Marks workers."""

    pools: Pools
    emit: Callable[[Fact], None]
    _look_at_s: float | None = None
    _memory_until: float = 0.0

    def next_turn_at(self) -> float | None:
        """When to look next; None where no pool has a limit."""
        return self._look_at_s

    def turn(self, now: float) -> None:
        """Look at every worker, when it is time again."""
        if self._look_at_s is not None and now < self._look_at_s:
            return
        limits = {name: Limits.of(self.pools.entry(name).settings.common) for name in self.pools}
        self._look_at_s = now + LOOK_S if any(each.are_there for each in limits.values()) else None
        self._memory_until = clock.monotonic() + MEMORY_FOR_S
        for name, each in limits.items():
            if each.are_there and self.pools[name].state is PoolState.UP:
                self._look_at(name, each, now)

    def _look_at(self, name: ConsumerName, limits: Limits, now: float) -> None:
        workers = self.pools.processes[name].workers
        for number, slot in self.pools[name].slots.items():
            if slot.state is not SlotState.RUNNING or slot.is_worn:
                continue
            worker = workers[number]
            if limits.memory_bytes is not None:
                self._read_memory(worker, now)
            reading = worker.reading()
            tasks = 0 if reading is None else reading.handled + reading.failed
            age_s = 0.0 if worker.ready_at is None else now - worker.ready_at
            reason = worn_out(limits, Worn(tasks, worker.memory_bytes, age_s), worker.jitter)
            if reason is not None:
                self._mark(name, number, worker, reason)

    def _read_memory(self, worker: Worker, now: float) -> None:
        is_time = worker.memory_read_at is None or now - worker.memory_read_at >= MEMORY_EVERY_S
        if is_time and worker.pid is not None and clock.monotonic() < self._memory_until:
            worker.memory_read_at, worker.memory_bytes = now, own_bytes(worker.pid)

    def _mark(self, name: ConsumerName, number: int, worker: Worker, reason: str) -> None:
        self.pools[name] = history.worn_out(self.pools[name], number)
        self.emit(events.worker_worn_out(consumer=str(name), worker_id=number, pid=worker.pid, reason=reason))
