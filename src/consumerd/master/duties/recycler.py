"""Marks the workers that are worn out, in pools that have limits. Runs in the master.

A marked worker is asked to leave when `max_unavailable` lets it go (`plan`). Boards are looked at each second, memory
once a quarter of a minute a worker, and only where it is limited.
"""

from __future__ import annotations

from consumerd import clock, events
from consumerd.master.host.memory import own_bytes
from consumerd.master.pools.pool import Pool
from consumerd.master.pools.worker import Worker
from consumerd.master.rules.wear import has_limits, worn_out
from consumerd.model.slots import PoolState, SlotState

LOOK_S = 1.0
MEMORY_EVERY_S = 15.0
MEMORY_FOR_S = 0.01
"""So long one look may spend on reading memory; the next goes on with those that were read longest ago."""


def recycle(pool: Pool, now: float) -> float | None:
    """Look at every worker, when it is time again, of a pool that has a limit."""
    if not has_limits(pool.entry.settings.common):
        return None
    if now >= pool.recycle_at:
        pool.recycle_at = now + LOOK_S
        if pool.observed.state is PoolState.UP:
            _look_at(pool, now)
    return pool.recycle_at


def _look_at(pool: Pool, now: float) -> None:
    common, memory_until = pool.entry.settings.common, clock.monotonic() + MEMORY_FOR_S
    for number, slot in pool.observed.slots.items():
        if slot.state is not SlotState.RUNNING or slot.is_worn:
            continue
        worker = pool.workers[number]
        if common.max_memory is not None and clock.monotonic() < memory_until:
            _read_memory(worker, now)
        reading = worker.reading()
        tasks = 0 if reading is None else reading.handled + reading.failed + reading.asked
        memory_bytes, age_s = worker.memory_bytes, worker.loop_s(now)
        worn = worn_out(common, tasks=tasks, memory_bytes=memory_bytes, age_s=age_s, jitter=worker.jitter)
        if worn is not None:
            fields = {"limit": worn[0], "reason": worn[1]}
            fact = events.worker_worn_out(consumer=pool.consumer, worker_id=number, pid=worker.pid, **fields)
            pool.become(pool.observed.with_slot(number, is_worn=True), fact)


def _read_memory(worker: Worker, now: float) -> None:
    is_time = worker.memory_read_at is None or now - worker.memory_read_at >= MEMORY_EVERY_S
    if is_time and worker.pid is not None:
        worker.memory_read_at, worker.memory_bytes = now, own_bytes(worker.pid)
