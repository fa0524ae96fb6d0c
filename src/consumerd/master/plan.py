"""The plan, pure: what to do now, from how the pools should be and how they are. Runs in the master.

Performing an action changes what is observed, so that a plan made again does not repeat it; what has to wait is in
`next_deadline`. Later work adds its actions here: scaling, rolling restarts, watching for stuck workers.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from consumerd.master.observed import Observed, Pool, Slot, Wanted, WantedPool, Zygote
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import PoolState, SlotState, ZygoteState

KILL_GRACE_S = 0.5
"""How much later than its deadline a worker is killed.

Until then it has time to settle what is finished and to leave. A worker ends itself a second after its deadline
(`WorkerExit.DEADLINE_PASSED`): that comes too late to be seen here, and is for one whose master is gone or frozen.
"""

ZYGOTE_GRACE_S = 0.4
"""How much later than its deadline, or the end of its last worker, a zygote is killed."""

ALL_FAILED_S = 300.0
"""When every pool has been lost for so long, the master gives up."""


@dataclass(frozen=True, slots=True)
class ExecuteZygote:
    """Execute the pool's zygote."""

    pool: ConsumerName


@dataclass(frozen=True, slots=True)
class Fork:
    """Have the zygote fork a worker for a slot."""

    pool: ConsumerName
    slot: int


@dataclass(frozen=True, slots=True)
class AskToLeave:
    """Ask a worker to drain and leave by `deadline`."""

    pool: ConsumerName
    slot: int
    deadline: float


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill a worker that is past its deadline."""

    pool: ConsumerName
    slot: int


@dataclass(frozen=True, slots=True)
class LookForHolder:
    """A worker starts for too long: a process of a former master may hold its slot's lock, and is past its deadline."""

    pool: ConsumerName
    slot: int


@dataclass(frozen=True, slots=True)
class Vacate:
    """A slot without a process is not wanted any more."""

    pool: ConsumerName
    slot: int


@dataclass(frozen=True, slots=True)
class AskZygoteToLeave:
    """The last worker is gone."""

    pool: ConsumerName
    deadline: float


@dataclass(frozen=True, slots=True)
class KillZygote:
    """The zygote did not leave in time, or has nothing to lose."""

    pool: ConsumerName


@dataclass(frozen=True, slots=True)
class StopPool:
    """The pool is not wanted any more."""

    pool: ConsumerName


@dataclass(frozen=True, slots=True)
class ClosePool:
    """No process of the pool is left."""

    pool: ConsumerName


@dataclass(frozen=True, slots=True)
class GiveUp:
    """Every pool has been lost for `ALL_FAILED_S`."""


Action = (
    ExecuteZygote
    | Fork
    | AskToLeave
    | Kill
    | LookForHolder
    | Vacate
    | AskZygoteToLeave
    | KillZygote
    | StopPool
    | ClosePool
    | GiveUp
)


def plan(wanted: Wanted, observed: Observed, now: float) -> tuple[Action, ...]:
    """What to do now; empty when there is nothing to do before `next_deadline`."""
    actions: list[Action] = []
    for name, pool in observed.pools.items():
        actions += _plan_pool(name, wanted.pools[name], pool, now)
    give_up_at = _give_up_at(observed.pools)
    if give_up_at is not None and now >= give_up_at:
        actions.append(GiveUp())
    return tuple(actions)


def _plan_pool(name: ConsumerName, wanted: WantedPool, pool: Pool, now: float) -> Iterator[Action]:
    if pool.state is PoolState.GONE:
        return
    if pool.state is not PoolState.STOPPING and wanted.stop_deadline is not None:
        yield StopPool(name)
    elif pool.state is PoolState.STOPPING and wanted.stop_deadline is not None:
        yield from _empty(name, pool, wanted.stop_deadline)
        yield from _close(name, pool, max(now, wanted.stop_deadline) + ZYGOTE_GRACE_S)
    else:
        yield from _fill(name, pool, now)
    yield from _kill_late(name, pool, now)


def _fill(name: ConsumerName, pool: Pool, now: float) -> Iterator[Action]:
    """Bring the pool up, and every slot that is due. A failed pool starts nothing."""
    if pool.state is PoolState.FAILED:
        return
    if pool.zygote.state is ZygoteState.ABSENT and now >= pool.zygote.due_at:
        yield ExecuteZygote(name)
    for number, slot in pool.slots.items():
        if pool.zygote.state is ZygoteState.READY and _is_due(slot, now):
            yield Fork(name, number)
        if slot.state is SlotState.STARTING and now >= slot.look_at:
            yield LookForHolder(name, number)


def _is_due(slot: Slot, now: float) -> bool:
    return slot.state is SlotState.ABSENT or (slot.state is SlotState.BACKING_OFF and now >= slot.due_at)


def _empty(name: ConsumerName, pool: Pool, deadline: float) -> Iterator[Action]:
    for number, slot in pool.slots.items():
        if slot.state in (SlotState.STARTING, SlotState.RUNNING):
            yield AskToLeave(name, number, deadline)
        elif slot.state in (SlotState.BACKING_OFF, SlotState.FINISHED):
            yield Vacate(name, number)


def _close(name: ConsumerName, pool: Pool, zygote_deadline: float) -> Iterator[Action]:
    """Once no slot has a process: the zygote leaves, then the pool is gone. One that loads has nothing to lose."""
    if any(slot.state is not SlotState.ABSENT for slot in pool.slots.values()):
        return
    if pool.zygote.state is ZygoteState.ABSENT:
        yield ClosePool(name)
    elif pool.zygote.state is ZygoteState.READY:
        yield AskZygoteToLeave(name, zygote_deadline)
    elif pool.zygote.state is ZygoteState.LOADING and not pool.zygote.is_killed:
        yield KillZygote(name)


def _kill_late(name: ConsumerName, pool: Pool, now: float) -> Iterator[Action]:
    """What is past its deadline. A worker that has no pid yet, or is killed, is the zygote's to answer for."""
    zygote = pool.zygote
    is_zygote_late = zygote.state is ZygoteState.LEAVING and now >= zygote.deadline
    for number, slot in pool.slots.items():
        if slot.state is not SlotState.DRAINING or now < _late_at(slot):
            continue
        if slot.pid is None or slot.is_killed:
            is_zygote_late = True
        else:
            yield Kill(name, number)
    if is_zygote_late and not zygote.is_killed and zygote.state is not ZygoteState.ABSENT:
        yield KillZygote(name)


def _late_at(slot: Slot) -> float:
    """When a slot that drains is late: its worker, and once that is killed the zygote, which has to tell of its end.

    A zygote that is stopped reaps nobody; when it is dead, its workers are the master's own to reap.
    """
    return slot.deadline + (2 * KILL_GRACE_S if slot.is_killed else KILL_GRACE_S)


def next_deadline(observed: Observed) -> float | None:
    """When a plan has to be made again though nothing happens; None: not before something happens."""
    deadlines = [deadline for pool in observed.pools.values() for deadline in _deadlines(pool)]
    give_up_at = _give_up_at(observed.pools)
    return min(deadlines if give_up_at is None else [*deadlines, give_up_at], default=None)


def _deadlines(pool: Pool) -> Iterator[float]:
    is_filling = pool.state in (PoolState.LOADING, PoolState.UP)
    if is_filling and pool.zygote.state is ZygoteState.ABSENT:
        yield pool.zygote.due_at
    if pool.zygote.state is ZygoteState.LEAVING and not pool.zygote.is_killed:
        yield pool.zygote.deadline
    for slot in pool.slots.values():
        if is_filling and slot.state is SlotState.STARTING:
            yield slot.look_at
        elif is_filling and slot.state is SlotState.BACKING_OFF and pool.zygote.state is ZygoteState.READY:
            yield slot.due_at
        elif slot.state is SlotState.DRAINING and _is_anybody_left_to_kill(pool.zygote, slot):
            yield _late_at(slot)


def _is_anybody_left_to_kill(zygote: Zygote, slot: Slot) -> bool:
    if slot.pid is not None and not slot.is_killed:
        return True
    return zygote.state is not ZygoteState.ABSENT and not zygote.is_killed


def _give_up_at(pools: Mapping[ConsumerName, Pool]) -> float | None:
    if not pools or not all(pool.is_lost for pool in pools.values()):
        return None
    return max(pool.since for pool in pools.values()) + ALL_FAILED_S
