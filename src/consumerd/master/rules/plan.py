"""The plan, pure: what to do now, from how the pools should be and how they are, and when next. Runs in the master.

Performing an action changes what is observed, so that a plan made again does not repeat it.

A new edition is loaded before anything drains. Its first worker is on the highest slot, on trial; the others follow,
`max_unavailable` at a time, when that one has proved itself. A slot that is empty anyway is taken first: nobody has to
leave for the trial then. If that worker dies first, the edition is rejected, and its slot goes back to the edition that
is established.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from operator import itemgetter

from consumerd.master.rules import actions
from consumerd.master.rules.actions import Action
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

FIRST_LOAD_S = 30.0
"""So long the first import of a pool may go on though a newer edition is wanted: where changes come quicker than an
import ends, the pool would never run."""

LOST_FOR_S = 300.0
"""When every pool, or an essential one, has been lost for so long, the master gives up."""


@dataclass(frozen=True, slots=True)
class Plan:
    """What to do.

    actions: now, each of a pool.
    next_at: when a plan has to be made again though nothing happens; None: not before something does.
    gives_up: every pool, or an essential one, has been lost for `LOST_FOR_S`.
    """

    actions: tuple[tuple[ConsumerName, Action], ...]
    next_at: float | None
    gives_up: bool


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
    clock, planned = _Clock(now), list[tuple[ConsumerName, Action]]()
    for name, pool in observed.items():
        if pool.state is not PoolState.GONE and not _waits(name, wanted, observed):
            planned += ((name, action) for action in _PoolPlan(wanted[name], pool, clock).actions())
    gives_up = clock.is_due(_give_up_at(wanted, observed))
    return Plan(tuple(planned), clock.next_at if clock.next_at < math.inf else None, gives_up)


def target_edition(wanted: WantedPool, pool: ObservedPool) -> int:
    """The edition that every slot should come to run: the newest, unless that did not hold up."""
    return pool.established if wanted.edition == pool.rejected else wanted.edition


def canary_slot(wanted: WantedPool, pool: ObservedPool) -> int | None:
    """The slot on which a new edition is on trial now, or None."""
    target = target_edition(wanted, pool)
    if not pool.is_trial(target):
        return None
    slots = [(number, pool.slots[number]) for number in range(wanted.workers)]
    # where it runs already, whatever was scaled since
    tried = (number for number, slot in slots if slot.is_occupied and slot.edition == target)
    empty = (number for number, slot in reversed(slots) if slot.state in (SlotState.ABSENT, SlotState.BACKING_OFF))
    return next(tried, next(empty, wanted.workers - 1))


def next_starts(wanted: WantedPool, pool: ObservedPool, now: float) -> Mapping[int, float]:
    """When the slots that back off are to start again. Of a failed pool one thing is tried at a time, which may be one
    of them; when the others start, nobody knows.
    """
    starts = {number: slot.due_at for number, slot in pool.slots.items() if slot.state is SlotState.BACKING_OFF}
    if pool.state is not PoolState.FAILED:
        return starts
    first = min(_PoolPlan(wanted, pool, _Clock(now)).starts(), key=itemgetter(0), default=None)
    match first:
        case (at, actions.ForkWorker(number)) if number in starts:
            return {number: at}
        case _:
            return {}


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


def _give_up_at(wanted: Wanted, observed: Observed) -> float:
    """When the master gives up: every pool is lost, or one without which the others are for nothing."""
    essential = [pool.since for name, pool in observed.items() if wanted[name].is_essential and pool.is_lost]
    if observed and all(pool.is_lost for pool in observed.values()):
        essential.append(max(pool.since for pool in observed.values()))
    return min(essential, default=math.inf) + LOST_FOR_S


@dataclass(frozen=True)
class _PoolPlan:
    wanted: WantedPool
    pool: ObservedPool
    clock: _Clock

    @cached_property
    def target(self) -> int:
        target = target_edition(self.wanted, self.pool)
        older = self.pool.zygotes.items() if self.pool.established == 0 and self.pool.zygote(target).pid is None else ()
        for edition, zygote in older:
            loads = zygote.state is ZygoteState.LOADING and not zygote.is_killed
            if loads and not self.clock.is_due(zygote.since + FIRST_LOAD_S):
                return edition
        return target

    @cached_property
    def canary(self) -> int | None:
        return canary_slot(self.wanted, self.pool)

    @cached_property
    def needed(self) -> frozenset[int]:
        """The editions that need a zygote: the target, and beside one on trial the established."""
        return frozenset((self.target, self.pool.established) if self.pool.is_trial(self.target) else (self.target,))

    @cached_property
    def slots(self) -> Mapping[int, Slot]:
        """Those that are wanted."""
        return {number: self.pool.slots[number] for number in range(self.wanted.workers)}

    def actions(self) -> Iterator[Action]:
        now, stop_deadline = self.clock.now, self.wanted.stop_deadline
        for number, slot in self.pool.slots.items():
            if self.clock.is_due(_condemned_at(slot)):
                yield actions.Kill(number)
        if stop_deadline is None:
            yield from self._start()
            extra = {number: slot for number, slot in self.pool.slots.items() if number not in self.slots}
            yield from self._empty(extra, now + self.wanted.stop_timeout_s)
            yield from self._roll()
            yield from self._retire(self.needed, now + ZYGOTE_LEAVES_IN_S)
        elif self.pool.state is not PoolState.STOPPING:
            yield actions.PoolBecomes(PoolState.STOPPING)
        else:
            yield from self._empty(self.pool.slots, stop_deadline)
            yield from self._close(max(now, stop_deadline) + ZYGOTE_GRACE_S)
        yield from self._kill_late()

    def _start(self) -> Iterator[Action]:
        """Bring the pool up, and every slot that is due. Of a failed pool one thing is tried, when it is time."""
        due = (action for at, action in self.starts() if self.clock.is_due(at))
        yield from itertools.islice(due, 1) if self.pool.state is PoolState.FAILED else due

    def starts(self) -> Iterator[tuple[float, Action]]:
        """What has no process and could have one, each with when it is due."""
        earliest = self.pool.try_at if self.pool.state is PoolState.FAILED else -math.inf
        for edition in sorted(self.needed):
            zygote = self.pool.zygote(edition)
            if zygote.state is ZygoteState.ABSENT:
                yield max(earliest, zygote.due_at), actions.ExecuteZygote(edition)
        for number, slot in self.slots.items():
            # while an edition is on trial, only its slot gets it
            edition = self.pool.established if self.canary not in (None, number) else self.target
            if slot.is_occupied or self.pool.zygote(edition).state is not ZygoteState.READY:
                continue
            yield max(earliest, _start_at(slot, edition)), actions.ForkWorker(number, edition)

    def _roll(self) -> Iterator[Action]:
        """Ask workers that are of other editions, or worn out, to leave, once the target can replace them; the highest
        slot first, and `max_unavailable` at a time. While an edition is on trial, only its slot.
        """
        leaving = [number for number, slot in self.slots.items() if slot.edition != self.target or slot.is_worn]
        is_ready = self.pool.zygote(self.target).state is ZygoteState.READY
        if not leaving or not is_ready or self.pool.state is PoolState.FAILED:
            return
        room = self.wanted.max_unavailable - sum(slot.state not in SERVING for slot in self.slots.values())
        for number in sorted(leaving, reverse=True):
            slot = self.slots[number]
            if slot.state not in LIVE or self.canary not in (None, number):
                continue
            if slot.state is SlotState.RUNNING:
                if room < 1:
                    continue
                room -= 1
            yield actions.AskToLeave(number, self.clock.now + self.wanted.stop_timeout_s)

    def _retire(self, needed: frozenset[int], deadline: float) -> Iterator[Action]:
        """End the zygotes that are not needed and have no worker left. One that loads has nothing to lose."""
        kept = needed.union(slot.edition for slot in self.pool.slots.values() if slot.is_occupied)
        for edition, zygote in self.pool.zygotes.items():
            if zygote.state is ZygoteState.READY and edition not in kept:
                yield actions.AskZygoteToLeave(edition, deadline)
        yield from self._kill_loading(kept)

    def _kill_loading(self, kept: frozenset[int]) -> Iterator[Action]:
        for edition, zygote in self.pool.zygotes.items():
            if zygote.state is ZygoteState.LOADING and not zygote.is_killed and edition not in kept:
                yield actions.KillZygote(edition)

    def _empty(self, slots: Mapping[int, Slot], deadline: float) -> Iterator[Action]:
        for number, slot in slots.items():
            if slot.state in LIVE:
                yield actions.AskToLeave(number, deadline, is_last=True)
            elif slot.state in (SlotState.BACKING_OFF, SlotState.FINISHED):
                yield actions.Vacate(number)

    def _close(self, zygote_deadline: float) -> Iterator[Action]:
        """Once no slot has a process the zygotes leave, then the pool is gone. One that loads need not wait for it."""
        if any(slot.state is not SlotState.ABSENT for slot in self.pool.slots.values()):
            yield from self._kill_loading(frozenset())
            return
        yield from self._retire(frozenset(), zygote_deadline)
        if all(zygote.state is ZygoteState.ABSENT for zygote in self.pool.zygotes.values()):
            yield actions.PoolBecomes(PoolState.GONE)

    def _kill_late(self) -> Iterator[Action]:
        """What is past its deadline. A worker that has no pid yet, or is killed, is the zygote's to answer for."""
        late = set()
        for edition, zygote in self.pool.zygotes.items():
            if zygote.state is ZygoteState.LEAVING and not zygote.is_killed and self.clock.is_due(zygote.deadline):
                late.add(edition)
        for number, slot in self.pool.slots.items():
            if slot.state is not SlotState.DRAINING:
                continue
            if slot.pid is not None and not slot.is_killed:
                if self.clock.is_due(slot.deadline + KILL_GRACE_S):
                    yield actions.Kill(number)
                continue
            zygote = self.pool.zygote(slot.edition)
            is_there = zygote.state is not ZygoteState.ABSENT and not zygote.is_killed
            if is_there and self.clock.is_due(_untold_at(slot)):
                late.add(slot.edition)
        yield from (actions.KillZygote(edition) for edition in sorted(late))


def _start_at(slot: Slot, edition: int) -> float:
    """When a slot without a process is to have one; one that has finished starts again with a new edition only."""
    match slot.state:
        case SlotState.BACKING_OFF if slot.edition >= edition:
            return slot.due_at
        case SlotState.FINISHED if slot.edition >= edition:
            return math.inf
        case _:
            return -math.inf


def _condemned_at(slot: Slot) -> float:
    """When a condemned worker is to be killed; never where there is none, or it is killed already."""
    is_alive = slot.state in LIVE and slot.pid is not None and not slot.is_killed
    return slot.condemned.kill_at if is_alive and slot.condemned is not None else math.inf


def _untold_at(slot: Slot) -> float:
    """When a zygote should have told of the end of a worker that drains: a zygote that is stopped reaps nobody."""
    return slot.deadline + (2 * KILL_GRACE_S if slot.is_killed else KILL_GRACE_S)
