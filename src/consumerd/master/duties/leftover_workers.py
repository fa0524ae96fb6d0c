"""Workers that an earlier master left, which finish and leave. Runs in the master.

A slot's lock keeps the next worker of the same slot waiting. One that waits for as long as a stop may take has whoever
holds its lock killed.

Those of slots that a pool has no more own ranges of its keys, perhaps. So each pool is looked at once when it is new,
and as long as there are leftover workers; those that have not left by the time that a stop may take are killed.
"""

from __future__ import annotations

from collections.abc import Iterator

from consumerd import events
from consumerd.master.pools.pool import Pool
from consumerd.model.slots import SlotState

LOOK_S = 0.05


def look_for_leftovers(pool: Pool, now: float) -> float | None:
    """Look at the locks of a pool while earlier workers hold one, and at those for which a worker waits too long."""
    times = []
    if pool.leftovers_since is None or pool.has_leftovers:
        pool.leftovers_since = pool.leftovers_since or now
        pool.has_leftovers = _are_there(pool, is_late=now - pool.leftovers_since >= pool.entry.stop_timeout_s)
        times += [now + LOOK_S] if pool.has_leftovers else []
    for number, late_at in list(_starting(pool)):
        if now >= late_at:
            _kill_holder(pool, number, now)
    times += [late_at for _, late_at in _starting(pool)]
    return min(times, default=None)


def _starting(pool: Pool) -> Iterator[tuple[int, float]]:
    """The workers that start, and when to look who keeps each of them waiting."""
    for number, slot in pool.observed.slots.items():
        if slot.state is SlotState.STARTING:
            yield number, (pool.workers[number].holder_looked_at or slot.since) + pool.entry.stop_timeout_s


def _kill_holder(pool: Pool, number: int, now: float) -> None:
    worker, lock = pool.workers[number], pool.entry.state_dir.slot_lock(pool.name, number)
    worker.holder_looked_at = now
    try:
        holder = pool.tools.launcher.kill_holder(lock, but=worker.pid)
    except OSError as error:
        pool.tools.emit(events.lock_not_read(consumer=pool.consumer, worker_id=number, error=str(error)))
        return
    if holder is not None:
        pool.tools.emit(events.lock_holder_killed(consumer=pool.consumer, worker_id=number, pid=holder))


def _are_there(pool: Pool, *, is_late: bool) -> bool:
    """Whether somebody holds the lock of a slot that has no worker of ours. is_late: whoever does is killed."""
    launcher, state_dir, found = pool.tools.launcher, pool.entry.state_dir, False
    own = {state_dir.slot_lock(pool.name, number) for number, slot in pool.observed.slots.items() if slot.is_occupied}
    for lock in state_dir.slot_locks(pool.name):
        if lock in own:
            continue
        try:
            pid = launcher.kill_holder(lock, but=None) if is_late else launcher.holder(lock)
        except OSError as error:
            pool.tools.emit(events.lock_not_read(consumer=pool.consumer, lock=str(lock), error=str(error)))
            continue
        if pid is not None and is_late:
            pool.tools.emit(events.lock_holder_killed(consumer=pool.consumer, pid=pid))
        found = found or pid is not None
    return found
