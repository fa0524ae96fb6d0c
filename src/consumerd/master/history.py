"""History, pure: what a pool becomes when something has happened to it. Runs in the master.

Each function takes a pool and returns it changed; `plan` decides, from the result, what to do.
"""

from __future__ import annotations

import os
from dataclasses import replace

from consumerd.master.observed import Pool, Slot, Zygote
from consumerd.master.restart import Ended, pause_s
from consumerd.model.exits import WorkerExit
from consumerd.model.slots import (
    POOL_MOVES,
    SLOT_MOVES,
    ZYGOTE_MOVES,
    PoolState,
    SlotState,
    ZygoteState,
    moved,
)

ENDS_WHILE_LOADING = 3
"""So many zygotes in a row that end without a word while they import, and the pool has failed."""

ZYGOTE_LEAVES_IN_S = 5.0
"""How long a zygote that has said why it can't load may take to end."""


def new_pool(workers: int, now: float) -> Pool:
    """A pool that is to be loaded."""
    return Pool(since=now, slots={number: Slot(since=now) for number in range(workers)})


# The zygote.


def zygote_executed(pool: Pool, pid: int, now: float) -> Pool:
    return _with_zygote(pool, ZygoteState.LOADING, now, pid=pid, is_killed=False)


def zygote_not_executed(pool: Pool, now: float, jitter: float) -> Pool:
    """The system refused a process or a descriptor."""
    failures = pool.zygote.failures + 1
    zygote = replace(pool.zygote, failures=failures, due_at=now + pause_s(failures + 1, jitter))
    return replace(pool, zygote=zygote)


def loaded(pool: Pool, now: float) -> Pool:
    pool = _with_zygote(pool, ZygoteState.READY, now, failures=0)
    return _with_state(pool, PoolState.UP, now) if pool.state is PoolState.LOADING else pool


def load_failed(pool: Pool, now: float, *, reason: str, traceback: str) -> Pool:
    """Retried only by hand."""
    pool = _with_zygote(pool, ZygoteState.LEAVING, now, deadline=now + ZYGOTE_LEAVES_IN_S)
    return failed(pool, now, reason=reason, traceback=traceback)


def zygote_asked_to_leave(pool: Pool, now: float, *, deadline: float) -> Pool:
    return _with_zygote(pool, ZygoteState.LEAVING, now, deadline=deadline)


def zygote_killed(pool: Pool) -> Pool:
    return replace(pool, zygote=replace(pool.zygote, is_killed=True))


def zygote_ended(pool: Pool, now: float, *, jitter: float) -> Pool:
    """The zygote is reaped. Workers that it named run on; a fork that it was asked for and did not report is void."""
    was = pool.zygote
    is_expected = was.state is ZygoteState.LEAVING
    failures = 0 if is_expected else was.failures + 1
    due_at = now if is_expected else now + pause_s(failures, jitter)
    pool = _with_zygote(pool, ZygoteState.ABSENT, now, pid=None, failures=failures, due_at=due_at)
    for number, slot in pool.slots.items():
        if slot.is_occupied and slot.pid is None:
            pool = _with_slot(pool, number, SlotState.ABSENT, now)
    if pool.state is PoolState.LOADING and failures >= ENDS_WHILE_LOADING:
        reason = f"its process ended {failures} times while it imported the consumer's module, and said nothing"
        return failed(pool, now, reason=reason, traceback="")
    return pool


# Workers.


def fork_asked(pool: Pool, number: int, now: float, *, look_at: float) -> Pool:
    slot = pool.slots[number]
    return _with_slot(
        pool,
        number,
        SlotState.STARTING,
        now,
        generation=slot.generation + 1,
        restarts=slot.restarts + (slot.generation > 0),
        look_at=look_at,
        pid=None,
        is_killed=False,
    )


def not_forked(pool: Pool, number: int, now: float, *, jitter: float) -> Pool:
    """The system refused a descriptor: as if it had died."""
    return _backed_off(pool, number, now, failures=pool.slots[number].failures + 2, jitter=jitter)


def forked(pool: Pool, number: int, pid: int) -> Pool:
    return _with_slots(pool, number, replace(pool.slots[number], pid=pid))


def ready(pool: Pool, number: int, now: float) -> Pool:
    """Its loop begins; a worker that was asked to leave meanwhile goes on leaving."""
    is_starting = pool.slots[number].state is SlotState.STARTING
    return _with_slot(pool, number, SlotState.RUNNING, now) if is_starting else pool


def holder_looked_up(pool: Pool, number: int, *, look_at: float) -> Pool:
    return _with_slots(pool, number, replace(pool.slots[number], look_at=look_at))


def asked_to_leave(pool: Pool, number: int, now: float, *, deadline: float) -> Pool:
    return _with_slot(pool, number, SlotState.DRAINING, now, deadline=deadline)


def killed(pool: Pool, number: int) -> Pool:
    return _with_slots(pool, number, replace(pool.slots[number], is_killed=True))


def vacated(pool: Pool, number: int, now: float) -> Pool:
    """A slot that backs off or has finished, and is not wanted any more."""
    return _with_slot(pool, number, SlotState.ABSENT, now)


def worker_ended(pool: Pool, number: int, ended: Ended, now: float, *, restarts_finished: bool) -> Pool:
    """A worker is reaped: what its slot becomes, by how it ended."""
    slot = pool.slots[number]
    code = exit_code(ended.status)
    if slot.state is SlotState.DRAINING:
        return _with_slot(pool, number, SlotState.ABSENT, now, pid=None, failures=0)
    if code == WorkerExit.FINISHED and not restarts_finished:
        return _with_slot(pool, number, SlotState.FINISHED, now, pid=None, failures=0)
    failures = 1 if ended.is_proven else slot.failures + 1
    if code == WorkerExit.SOURCE_REFUSED:
        failures = max(failures, 2)  # it would be refused again at once
    return _backed_off(pool, number, now, failures=failures, jitter=ended.jitter)


def exit_code(status: int | None) -> int | None:
    """Of a wait status: the exit code, or minus the number of the signal; None where nobody could read it."""
    return None if status is None else os.waitstatus_to_exitcode(status)


# The pool.


def failed(pool: Pool, now: float, *, reason: str, traceback: str) -> Pool:
    """Nothing new starts; what runs runs on. A pool that is stopping anyway goes on stopping."""
    pool = replace(pool, reason=reason, traceback=traceback)
    is_running = pool.state in (PoolState.LOADING, PoolState.UP)
    return _with_state(pool, PoolState.FAILED, now) if is_running else pool


def stopping(pool: Pool, now: float) -> Pool:
    return _with_state(pool, PoolState.STOPPING, now)


def gone(pool: Pool, now: float) -> Pool:
    return _with_state(pool, PoolState.GONE, now)


def _with_state(pool: Pool, state: PoolState, now: float) -> Pool:
    return replace(pool, state=moved(POOL_MOVES, pool.state, state), since=now)


def _with_zygote(pool: Pool, state: ZygoteState, now: float, **changes: object) -> Pool:
    state = moved(ZYGOTE_MOVES, pool.zygote.state, state)
    zygote: Zygote = replace(pool.zygote, state=state, since=now, **changes)  # type: ignore[arg-type]  # by name
    return replace(pool, zygote=zygote)


def _with_slot(pool: Pool, number: int, state: SlotState, now: float, **changes: object) -> Pool:
    slot = pool.slots[number]
    state = moved(SLOT_MOVES, slot.state, state)
    changed: Slot = replace(slot, state=state, since=now, **changes)  # type: ignore[arg-type]  # by name
    return _with_slots(pool, number, changed)


def _with_slots(pool: Pool, number: int, slot: Slot) -> Pool:
    return replace(pool, slots={**pool.slots, number: slot})


def _backed_off(pool: Pool, number: int, now: float, *, failures: int, jitter: float) -> Pool:
    due_at = now + pause_s(failures, jitter)
    return _with_slot(pool, number, SlotState.BACKING_OFF, now, pid=None, failures=failures, due_at=due_at)
