"""History, pure: what a pool becomes when something has happened to it. Runs in the master.

Each function takes a pool and returns it changed; `plan` decides, from the result, what to do.
"""

from __future__ import annotations

from dataclasses import replace

from consumerd.master.rules.observed import Condemned, ObservedPool, Slot, WantedPool
from consumerd.master.rules.restart import BUDGET_WINDOW_S, MOST_OF_A_SUSPECT, Ended, budget_of, pause_s
from consumerd.model.exits import WorkerExit, exit_code
from consumerd.model.slots import PoolState, SlotState, ZygoteState

ENDS_WHILE_LOADING = 3
"""So many zygotes in a row that end without a word while they import, and the pool has failed."""

REFUSALS_THAT_TELL = 6
"""So many times in a row, over some ten seconds, the system refuses a process: nobody should wait for it any more."""

ZYGOTE_LEAVES_IN_S = 5.0
"""How long a zygote that cannot load, or is not needed any more, may take to end."""

TRY_EVERY_S = 60.0
"""How often a failed pool tries one slot, or to load, again."""


def new_pool(workers: int, now: float) -> ObservedPool:
    """A pool that is to be loaded."""
    return ObservedPool(since=now, slots={number: Slot(since=now) for number in range(workers)})


# Zygotes.


def zygote_executed(pool: ObservedPool, edition: int, pid: int, now: float) -> ObservedPool:
    pool = _tried(pool, now)
    return pool.zygote_becomes(edition, ZygoteState.LOADING, now, pid=pid, is_killed=False, refused="")


def zygote_not_executed(pool: ObservedPool, edition: int, now: float, jitter: float, *, error: str) -> ObservedPool:
    """The system refused a process or a descriptor. It is tried again; what waits for this edition alone is not."""
    failures = pool.zygote(edition).failures + 1
    due_at = now + pause_s(failures + 1, jitter)
    pool = pool.with_zygote(edition, failures=failures, due_at=due_at, refused=error)
    if failures < REFUSALS_THAT_TELL or not _is_awaited(pool, edition):
        return pool
    return _not_held_up(pool, edition, now, reason=f"its process cannot be executed: {error}", traceback="")


def loaded(pool: ObservedPool, edition: int, now: float) -> ObservedPool:
    """Its code is sound: the first edition of a pool, or of one that failed to load, is established by that."""
    pool = pool.zygote_becomes(edition, ZygoteState.READY, now, failures=0)
    is_first = pool.established == 0 and pool.state in (PoolState.LOADING, PoolState.FAILED)
    if not is_first:
        return pool
    return replace(pool, established=edition, reason="", traceback="").becomes(PoolState.UP, now)


def load_failed(
    pool: ObservedPool, edition: int, now: float, *, reason: str, traceback: str, is_newest: bool = True
) -> ObservedPool:
    """A failed pool tries again in a while; an edition that was on trial is rejected. is_newest: no other one is wanted
    by now, which a pool that has not begun loads next.
    """
    pool = pool.zygote_becomes(edition, ZygoteState.LEAVING, now, deadline=now + ZYGOTE_LEAVES_IN_S)
    if pool.state is PoolState.LOADING and not is_newest:
        return pool
    return _not_held_up(pool, edition, now, reason=reason, traceback=traceback)


def zygote_ended(
    pool: ObservedPool, edition: int, now: float, *, jitter: float, how: str = "", trace: str = ""
) -> ObservedPool:
    """A zygote is reaped. Workers that it named run on; a fork that it was asked for and did not report is void.

    how: the end in words, with the last line that it said; trace: its last lines.
    """
    was = pool.zygote(edition)
    is_expected = was.state is ZygoteState.LEAVING or was.is_dropped
    failures = 0 if is_expected else was.failures + 1
    due_at = now if is_expected else now + pause_s(failures, jitter)
    pool = pool.zygote_becomes(edition, ZygoteState.ABSENT, now, pid=None, failures=failures, due_at=due_at)
    for number, slot in pool.slots.items():
        if slot.is_occupied and slot.pid is None and slot.edition == edition:
            pool = pool.slot_becomes(number, SlotState.ABSENT, now)
    if _is_awaited(pool, edition) and was.state is ZygoteState.LOADING and failures >= ENDS_WHILE_LOADING:
        reason = f"its process ended {failures} times while it imported the consumer's module; the last: {how}"
        return _not_held_up(pool, edition, now, reason=reason, traceback=trace)
    return pool


# Workers.


def fork_asked(pool: ObservedPool, number: int, edition: int, now: float) -> ObservedPool:
    slot = pool.slots[number]
    return _tried(pool, now).slot_becomes(
        number,
        SlotState.STARTING,
        now,
        generation=slot.generation + 1,
        edition=edition,
        restarts=slot.restarts + (slot.state is SlotState.BACKING_OFF),
        is_worn=False,
        pid=None,
        is_killed=False,
        condemned=None,
    )


def not_forked(pool: ObservedPool, number: int, edition: int, now: float, *, error: str, jitter: float) -> ObservedPool:
    """The system refused a process or a descriptor. It is tried again, later each time; a trial ends."""
    refusals = pool.slots[number].refusals + 1
    pool = pool.with_slot(number, edition=edition, pid=None, refused=error, refusals=refusals)
    if pool.slots[number].state is SlotState.DRAINING:
        return pool.slot_becomes(number, SlotState.ABSENT, now, failures=0)
    pool = _backed_off(pool, number, now, failures=min(refusals, REFUSALS_THAT_TELL) + 1, jitter=jitter)
    if refusals < REFUSALS_THAT_TELL or not pool.is_trial(edition):
        return pool
    reason = f"its first worker cannot be started: {error}"
    return vacated(rejected(pool, edition, reason=reason, traceback=""), number, now)


def ready(pool: ObservedPool, number: int, now: float) -> ObservedPool:
    """A worker's loop has begun. A sentence against it is lifted, unless it is killed already; one that was asked to
    leave meanwhile goes on leaving.
    """
    is_starting = pool.slots[number].state is SlotState.STARTING
    sentence = pool.slots[number].condemned if pool.slots[number].is_killed else None
    return pool.slot_becomes(number, SlotState.RUNNING, now, condemned=sentence, refusals=0) if is_starting else pool


def proved(pool: ObservedPool, number: int, now: float) -> ObservedPool:
    """The worker of a slot has shown that it works, and so has its edition; a failed pool is back, where it began
    since."""
    edition = pool.slots[number].edition
    if pool.established < edition:
        pool = replace(pool, established=edition, reason="", traceback="")  # of an edition that was rejected before
    if pool.state is not PoolState.FAILED or pool.slots[number].since < pool.since:
        return pool
    return replace(pool, deaths=(), reason="", traceback="").becomes(PoolState.UP, now)


def stalled(pool: ObservedPool, number: int, now: float) -> ObservedPool:
    """The worker of a slot makes no progress."""
    return pool.slot_becomes(number, SlotState.STALLED, now)


def went_on(pool: ObservedPool, number: int, now: float) -> ObservedPool:
    """A worker makes progress again, and a sentence against it is lifted."""
    pool = pool.with_slot(number, condemned=None)
    is_stalled = pool.slots[number].state is SlotState.STALLED
    return pool.slot_becomes(number, SlotState.RUNNING, now) if is_stalled else pool


def condemned(pool: ObservedPool, number: int, sentence: Condemned) -> ObservedPool:
    """A worker has to be replaced. The first reason counts."""
    slot = pool.slots[number]
    return pool if slot.condemned is not None else pool.with_slot(number, condemned=sentence)


def asked_to_leave(pool: ObservedPool, number: int, now: float, *, deadline: float) -> ObservedPool:
    """A worker drains. From now on the deadline of its drain counts, and a sentence against it is lifted."""
    slot = pool.slots[number]
    sentence = slot.condemned if slot.is_killed else None
    return pool.slot_becomes(number, SlotState.DRAINING, now, deadline=deadline, condemned=sentence)


def hurried(pool: ObservedPool, deadline: float) -> ObservedPool:
    """What is on its way out has to be gone sooner."""
    for number, slot in pool.slots.items():
        if slot.state is SlotState.DRAINING:
            pool = pool.with_slot(number, deadline=min(slot.deadline, deadline))
    for edition, zygote in pool.zygotes.items():
        if zygote.state is ZygoteState.LEAVING:
            pool = pool.with_zygote(edition, deadline=min(zygote.deadline, deadline))
    return pool


def vacated(pool: ObservedPool, number: int, now: float) -> ObservedPool:
    """A slot that backs off or has finished is not wanted any more."""
    return pool.slot_becomes(number, SlotState.ABSENT, now, failures=0)


def worker_ended(pool: ObservedPool, number: int, ended: Ended, now: float, wanted: WantedPool) -> ObservedPool:
    """A worker is reaped: what its slot becomes, by how it ended, and whether its pool can bear it."""
    slot = pool.slots[number]
    code = exit_code(ended.status)
    if slot.state is SlotState.DRAINING:
        return pool.slot_becomes(number, SlotState.ABSENT, now, pid=None, failures=0)
    if code == WorkerExit.SYSTEM_REFUSED:
        return not_forked(pool, number, slot.edition, now, error=ended.how, jitter=ended.jitter)
    if ended.is_proven or code == WorkerExit.FINISHED:
        pool = proved(pool, number, now)
    if ended.is_proven:  # who had shown that it works makes up for one that had not
        pool = replace(pool, deaths=pool.deaths[1:])
    if code == WorkerExit.FINISHED and not wanted.restarts_finished:
        return pool.slot_becomes(number, SlotState.FINISHED, now, pid=None, failures=0)
    failures = 1 if ended.is_proven else slot.failures + (not ended.is_excused)
    if code == WorkerExit.SOURCE_REFUSED:
        failures = max(failures, 2)  # it would be refused again at once
    pool = _backed_off(pool, number, now, failures=failures, jitter=ended.jitter, at_least=ended.suspect_deaths)
    if ended.is_proven or ended.is_excused or code == WorkerExit.FINISHED:
        return pool
    if pool.is_trial(slot.edition):
        reason = f"its first worker did not hold up: {ended.how}"
        return vacated(rejected(pool, slot.edition, reason=reason, traceback=ended.trace), number, now)
    is_borne = code == WorkerExit.SOURCE_REFUSED or slot.condemned is not None  # a task is at fault, not the pool
    return pool if is_borne else _unproven_death(pool, ended, now, budget_of(wanted.workers))


def _unproven_death(pool: ObservedPool, ended: Ended, now: float, budget: int) -> ObservedPool:
    """The pool has a budget of them."""
    pool = replace(pool, deaths=(*(death for death in pool.deaths if death > now - BUDGET_WINDOW_S), now))
    if len(pool.deaths) <= budget:
        return pool
    reason = f"{len(pool.deaths)} of its workers died within {BUDGET_WINDOW_S:.0f} s before they had settled a task"
    return failed(pool, now, reason=f"{reason}; the last: {ended.how}", traceback=ended.trace)


# The pool.


def scaled(pool: ObservedPool, workers: int, now: float) -> ObservedPool:
    """There are as many slots as are wanted. Those beyond stay until they are vacant, and keep their generations."""
    added = {number: Slot(since=now) for number in range(workers) if number not in pool.slots}
    return replace(pool, slots={**pool.slots, **added})


def editions_forgotten(pool: ObservedPool, in_use: set[int]) -> ObservedPool:
    """Drop the zygotes that are gone of editions that nobody runs any more."""
    zygotes = pool.zygotes.items()
    kept = {edition: each for edition, each in zygotes if edition in in_use or each.state is not ZygoteState.ABSENT}
    return replace(pool, zygotes=kept)


def failed(pool: ObservedPool, now: float, *, reason: str, traceback: str) -> ObservedPool:
    """What runs runs on; one slot, or the import, is tried in a while. A stopping pool goes on stopping."""
    pool = replace(pool, reason=reason, traceback=traceback)
    if pool.state not in (PoolState.LOADING, PoolState.UP):
        return pool
    return replace(pool, deaths=(), try_at=now + TRY_EVERY_S).becomes(PoolState.FAILED, now)


def renewed(pool: ObservedPool, now: float) -> ObservedPool:
    """Somebody restarts or reloads a pool: one that has failed begins anew, and the newest edition needs no trial."""
    if pool.state is not PoolState.FAILED:
        return pool
    return replace(pool, established=0, deaths=(), reason="", traceback="").becomes(PoolState.LOADING, now)


def rejected(pool: ObservedPool, edition: int, *, reason: str, traceback: str) -> ObservedPool:
    """An edition that was on trial did not hold up: its slot goes back to the established one."""
    return replace(pool, rejected=edition, reason=reason, traceback=traceback)


def _is_awaited(pool: ObservedPool, edition: int) -> bool:
    """Whether something waits for this edition to be loaded: the pool, or a change that is on trial."""
    return pool.state is PoolState.LOADING or pool.is_trial(edition)


def _not_held_up(pool: ObservedPool, edition: int, now: float, *, reason: str, traceback: str) -> ObservedPool:
    """An edition cannot be loaded. A failed pool's zygote is due when the pool is tried again."""
    if pool.is_trial(edition):
        return rejected(pool, edition, reason=reason, traceback=traceback)
    return failed(pool, now, reason=reason, traceback=traceback)


def _tried(pool: ObservedPool, now: float) -> ObservedPool:
    return replace(pool, try_at=now + TRY_EVERY_S) if pool.state is PoolState.FAILED else pool


def _backed_off(
    pool: ObservedPool, number: int, now: float, *, failures: int, jitter: float, at_least: int = 0
) -> ObservedPool:
    """at_least: the pause is as long as after so many failures; where they are a suspect's own, it stays short: tasks
    behind it may wait for this slot.
    """
    due_at = now + pause_s(max(failures, min(at_least, MOST_OF_A_SUSPECT)), jitter)
    return pool.slot_becomes(number, SlotState.BACKING_OFF, now, pid=None, failures=failures, due_at=due_at)
