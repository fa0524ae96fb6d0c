"""The plan, pure: what to do now, from how the pools should be and how they are, and when next. Runs in the master.

Performing an action changes what is observed, so that a plan made again does not repeat it.

A new edition is loaded before anything drains. Its first worker is on the highest slot, on trial; the others follow,
`max_unavailable` at a time, when that one has proved itself. A slot that is empty anyway is taken first: nobody has to
leave for the trial then. If it dies first, the edition is rejected, and its slot
goes back to the one that is established. Where the workers divide the keys by their number, all leave together, and
nobody starts before the last is gone.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace

from consumerd.master.rules.actions import (
    Action,
    AskToLeave,
    AskZygoteToLeave,
    ClosePool,
    ExecuteZygote,
    Fork,
    GiveUp,
    Kill,
    KillZygote,
    StopPool,
    Vacate,
)
from consumerd.master.rules.history import ZYGOTE_LEAVES_IN_S
from consumerd.master.rules.observed import Observed, ObservedPool, Slot, Wanted, WantedPool
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import LIVE, SERVING, PoolState, SlotState, ZygoteState

KILL_GRACE_S = 0.5
"""How much later than its deadline a worker is killed.

Until then it has time to settle what is finished and to leave. A worker ends itself a second after its deadline
(`WorkerExit.DEADLINE_PASSED`): that comes too late to be seen here, and is for one whose master is gone or frozen.
"""

ZYGOTE_GRACE_S = 0.4
"""How much later than its deadline, or the end of its last worker, a zygote is killed."""

LOST_FOR_S = 300.0
"""When every pool, or an essential one, has been lost for so long, the master gives up."""


@dataclass(frozen=True, slots=True)
class Plan:
    """actions: what to do now. next_at: when a plan has to be made again though nothing happens; None: not before
    something does.
    """

    actions: tuple[Action, ...]
    next_at: float | None


@dataclass(slots=True)
class _Clock:
    """Says what is due by `now`, and keeps the earliest of the times that it was asked about and that are to come."""

    now: float
    next_at: float = math.inf

    def is_due(self, at: float) -> bool:
        if self.now < at:
            self.next_at = min(self.next_at, at)
        return self.now >= at


def plan(wanted: Wanted, observed: Observed, now: float) -> Plan:
    """What to do now, and when there will be more to do."""
    clock, actions = _Clock(now), list[Action]()
    for name, pool in observed.items():
        if not _waits(name, wanted, observed):
            actions += _plan_pool(name, wanted[name], pool, clock)
    if clock.is_due(_give_up_at(wanted, observed)):
        actions.append(GiveUp())
    return Plan(tuple(actions), clock.next_at if clock.next_at < math.inf else None)


def target_edition(wanted: WantedPool, pool: ObservedPool) -> int:
    """The edition that every slot should come to run: the newest, unless that did not hold up."""
    return pool.established if wanted.edition == pool.rejected else wanted.edition


def canary_slot(wanted: WantedPool, pool: ObservedPool) -> int | None:
    """The slot on which a new edition is on trial now, or None."""
    target = target_edition(wanted, pool)
    if not pool.is_trial(target) or wanted.is_split:
        return None
    slots = [(number, pool.slots[number]) for number in range(wanted.workers)]
    tried = (
        number for number, slot in slots if _runs(slot, target)
    )  # where it runs already, whatever was scaled since
    empty = (number for number, slot in reversed(slots) if slot.state in (SlotState.ABSENT, SlotState.BACKING_OFF))
    return next(tried, next(empty, wanted.workers - 1))


def _runs(slot: Slot, edition: int) -> bool:
    return slot.is_occupied and slot.edition == edition


def _waits(name: ConsumerName, everything: Wanted, observed: Observed) -> bool:
    """Whether a pool has not begun, and those that must be healthy before are not."""
    wanted, pool = everything[name], observed[name]
    if pool.state is not PoolState.LOADING or pool.zygotes or wanted.stop_deadline is not None:
        return False
    before = (name for name in wanted.after if name in observed)
    return not all(_is_healthy(everything[earlier], observed[earlier]) for earlier in before)


def _is_healthy(wanted: WantedPool, pool: ObservedPool) -> bool:
    """Up, and every slot does its part."""
    slots = (pool.slots[number] for number in range(wanted.workers))
    return pool.state is PoolState.UP and all(slot.state in SERVING for slot in slots)


def _plan_pool(name: ConsumerName, wanted: WantedPool, pool: ObservedPool, clock: _Clock) -> Iterator[Action]:
    if pool.state is PoolState.GONE:
        return
    now = clock.now
    yield from (Kill(name, number) for number, slot in pool.slots.items() if clock.is_due(_condemned_at(slot)))
    if pool.state is not PoolState.STOPPING and wanted.stop_deadline is not None:
        yield StopPool(name)
    elif pool.state is PoolState.STOPPING and wanted.stop_deadline is not None:
        yield from _empty(name, pool, wanted.stop_deadline)
        yield from _close(name, pool, max(now, wanted.stop_deadline) + ZYGOTE_GRACE_S)
    else:
        yield from _starts(name, wanted, pool, clock)
        yield from _shrink(name, wanted, pool, now)
        yield from _roll(name, wanted, pool, now)
        yield from _retire(name, _needed(wanted, pool), pool, now + ZYGOTE_LEAVES_IN_S)
    yield from _kill_late(name, pool, clock)


def _needed(wanted: WantedPool, pool: ObservedPool) -> frozenset[int]:
    """The editions that need a zygote: the target, and beside one on trial the established."""
    target = target_edition(wanted, pool)
    return frozenset((target, pool.established)) if pool.is_trial(target) else frozenset((target,))


def _edition_of(wanted: WantedPool, pool: ObservedPool, number: int) -> int:
    """What a slot that is to be filled gets: while an edition is on trial, only its slot gets it."""
    canary = canary_slot(wanted, pool)
    return pool.established if canary is not None and number != canary else target_edition(wanted, pool)


def _starts(name: ConsumerName, wanted: WantedPool, pool: ObservedPool, clock: _Clock) -> Iterator[Action]:
    """Bring the pool up, and every slot that is due. Of a failed pool one thing is tried, when it is time."""
    if pool.state is not PoolState.FAILED:
        yield from _starts_due(name, wanted, pool, clock, -math.inf)
    else:
        yield from itertools.islice(_starts_due(name, wanted, pool, clock, pool.try_at), 1)


def _starts_due(
    name: ConsumerName, wanted: WantedPool, pool: ObservedPool, clock: _Clock, earliest: float
) -> Iterator[ExecuteZygote | Fork]:
    for edition in sorted(_needed(wanted, pool)):
        zygote = pool.zygote(edition)
        if zygote.state is ZygoteState.ABSENT and clock.is_due(max(earliest, zygote.due_at)):
            yield ExecuteZygote(name, edition)
    if _must_wait_for_others(wanted, pool):
        return
    for number in _vacant(wanted, pool):
        edition = _edition_of(wanted, pool, number)
        start_at = max(earliest, _start_at(pool.slots[number], edition))
        if pool.zygote(edition).state is ZygoteState.READY and clock.is_due(start_at):
            yield Fork(name, number, edition)


def _vacant(wanted: WantedPool, pool: ObservedPool) -> Iterator[int]:
    """The slots that are wanted and have no process."""
    return (number for number in range(wanted.workers) if not pool.slots[number].is_occupied)


def _must_wait_for_others(wanted: WantedPool, pool: ObservedPool) -> bool:
    """Whether workers are there that divide the keys by another number, perhaps: of another edition, or master."""
    target = target_edition(wanted, pool)
    is_mixed = any(slot.is_occupied and slot.edition != target for slot in pool.slots.values())
    return wanted.is_split and (is_mixed or pool.has_leftovers)


def _start_at(slot: Slot, edition: int) -> float:
    """When a slot without a process is to have one; one that has finished starts again with a new edition only."""
    match slot.state:
        case SlotState.BACKING_OFF if slot.edition >= edition:
            return slot.due_at
        case SlotState.FINISHED if slot.edition >= edition:
            return math.inf
        case _:
            return -math.inf


def _shrink(name: ConsumerName, wanted: WantedPool, pool: ObservedPool, now: float) -> Iterator[Action]:
    """Empty the slots beyond those that are wanted."""
    extra = {number: slot for number, slot in pool.slots.items() if number >= wanted.workers}
    yield from _empty(name, replace(pool, slots=extra), now + wanted.stop_timeout_s)


def _roll(name: ConsumerName, wanted: WantedPool, pool: ObservedPool, now: float) -> Iterator[Action]:
    """Ask workers that are of other editions, or worn out, to leave, once the target can replace them; the highest
    slot first, and `max_unavailable` at a time. While an edition is on trial, only its slot.
    """
    target, canary = target_edition(wanted, pool), canary_slot(wanted, pool)
    slots = {number: pool.slots[number] for number in range(wanted.workers)}
    leaving = [number for number, slot in slots.items() if slot.edition != target or slot.is_worn]
    if not leaving or pool.zygote(target).state is not ZygoteState.READY or pool.state is PoolState.FAILED:
        return
    room = wanted.max_unavailable - sum(slot.state not in SERVING for slot in slots.values())
    for number in sorted(leaving, reverse=True):
        slot = slots[number]
        is_old = slot.edition != target
        if slot.state not in LIVE or (canary is not None and number != canary):
            continue
        if slot.state is SlotState.RUNNING and not (is_old and wanted.is_split):
            if room < 1:
                continue
            room -= 1
        yield AskToLeave(name, number, now + wanted.stop_timeout_s)


def _retire(name: ConsumerName, needed: frozenset[int], pool: ObservedPool, deadline: float) -> Iterator[Action]:
    """End the zygotes that are not needed and have no worker left. One that loads has nothing to lose."""
    in_use = {slot.edition for slot in pool.slots.values() if slot.is_occupied}
    for edition, zygote in pool.zygotes.items():
        if edition in needed or edition in in_use:
            continue
        if zygote.state is ZygoteState.READY:
            yield AskZygoteToLeave(name, edition, deadline)
        elif zygote.state is ZygoteState.LOADING and not zygote.is_killed:
            yield KillZygote(name, edition)


def _empty(name: ConsumerName, pool: ObservedPool, deadline: float) -> Iterator[Action]:
    for number, slot in pool.slots.items():
        if slot.state in LIVE:
            yield AskToLeave(name, number, deadline, is_last=True)
        elif slot.state in (SlotState.BACKING_OFF, SlotState.FINISHED):
            yield Vacate(name, number)


def _close(name: ConsumerName, pool: ObservedPool, zygote_deadline: float) -> Iterator[Action]:
    """Once no slot has a process: the zygotes leave, then the pool is gone. One that loads has nothing to wait for."""
    if any(slot.state is not SlotState.ABSENT for slot in pool.slots.values()):
        for edition, zygote in pool.zygotes.items():
            if zygote.state is ZygoteState.LOADING and not zygote.is_killed:
                yield KillZygote(name, edition)
        return
    yield from _retire(name, frozenset(), pool, zygote_deadline)
    if all(zygote.state is ZygoteState.ABSENT for zygote in pool.zygotes.values()):
        yield ClosePool(name)


def _kill_late(name: ConsumerName, pool: ObservedPool, clock: _Clock) -> Iterator[Action]:
    """What is past its deadline. A worker that has no pid yet, or is killed, is the zygote's to answer for."""
    late = [
        edition
        for edition, zygote in pool.zygotes.items()
        if zygote.state is ZygoteState.LEAVING and not zygote.is_killed and clock.is_due(zygote.deadline)
    ]
    for number, slot in pool.slots.items():
        if slot.state is not SlotState.DRAINING:
            continue
        zygote, is_out_of_reach = pool.zygote(slot.edition), slot.pid is None or slot.is_killed
        if is_out_of_reach and (zygote.is_killed or zygote.state is ZygoteState.ABSENT):
            continue
        if clock.is_due(_late_at(slot)):
            if is_out_of_reach:
                late.append(slot.edition)
            else:
                yield Kill(name, number)
    yield from (KillZygote(name, edition) for edition in sorted(set(late)))


def _condemned_at(slot: Slot) -> float:
    """When a condemned worker is to be killed; never where there is none, or it is killed already."""
    is_alive = slot.state in LIVE and slot.pid is not None and not slot.is_killed
    return slot.condemned.kill_at if is_alive and slot.condemned is not None else math.inf


def _late_at(slot: Slot) -> float:
    """When a slot that drains is late: its worker, and once that is killed the zygote, which has to tell of its end.

    A zygote that is stopped reaps nobody; when it is dead, its workers are the master's own to reap.
    """
    return slot.deadline + (2 * KILL_GRACE_S if slot.is_killed else KILL_GRACE_S)


def _give_up_at(wanted: Wanted, observed: Observed) -> float:
    """When the master gives up: every pool is lost, or one without which the others are for nothing."""
    essential = [pool.since for name, pool in observed.items() if wanted[name].is_essential and pool.is_lost]
    if observed and all(pool.is_lost for pool in observed.values()):
        essential.append(max(pool.since for pool in observed.values()))
    return min(essential, default=math.inf) + LOST_FOR_S
