"""Acts: the thin part that does what `plan` says. Runs in the master."""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass

from consumerd import clock, events
from consumerd.errors import UnreadError, WireError
from consumerd.events.facts import Fact, Level
from consumerd.master.host.launcher import Launcher
from consumerd.master.host.stderr import StderrPipes
from consumerd.master.pools.mailbox import Mailbox, Origin
from consumerd.master.pools.pools import Pools
from consumerd.master.pools.processes import Worker
from consumerd.master.rules import history
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
    LookForHolder,
    StopPool,
    Vacate,
)
from consumerd.master.rules.observed import ObservedPool
from consumerd.model.identity import ConsumerName
from consumerd.model.refusal import refusal
from consumerd.model.slots import PoolState
from consumerd.wire import messages
from consumerd.wire.board import BoardFlag
from consumerd.wire.inherited import ENTRANCE_MODULE, ZYGOTE_MODULE
from consumerd.wire.messages import Stop
from consumerd.wire.recent import Recent


@dataclass(frozen=True)
class Means:
    """What the master acts with. jitter: a number from [0, 1). tell: takes facts that are in the log already.

    claim_oom_kill: whether the kernel has killed for want of memory once more than was asked for.
    """

    pools: Pools
    launcher: Launcher
    post: Mailbox
    relay: StderrPipes
    emit: Callable[[Fact], None]
    jitter: Callable[[], float] = random.random
    claim_oom_kill: Callable[[], bool] = lambda: False
    tell: Callable[[Fact], None] = lambda fact: None


def perform(means: Means, action: Action, now: float) -> None:
    """Do one thing, and note it in the pool's history. `GiveUp` is the supervisor's own."""
    pools = means.pools
    match action:
        case ExecuteZygote(name, edition):
            _execute_zygote(means, name, edition, now)
        case Fork(name, slot, edition):
            _fork(means, name, slot, edition, now)
        case AskToLeave(name, slot, deadline, is_last):
            stop = Stop(deadline, is_last)
            means.post.send(pools.processes[name].workers[slot].seating.channel, stop)
            pools[name] = history.asked_to_leave(pools[name], slot, now, deadline=deadline)
        case Kill(name, slot):
            _kill(means, name, slot)
        case LookForHolder(name, slot):
            _kill_holder(means, name, slot, now)
        case Vacate(name, slot):
            pools[name] = history.vacated(pools[name], slot, now)
        case AskZygoteToLeave(name, edition, deadline):
            means.post.send(pools.processes[name].zygotes[edition].channel, Stop(deadline))
            pools[name] = history.zygote_asked_to_leave(pools[name], edition, now, deadline=deadline)
        case KillZygote(name, edition):
            means.launcher.kill(pools.processes[name].zygotes[edition].pid, None)
            pools[name] = history.zygote_killed(pools[name], edition)
        case StopPool(name):
            pools[name] = history.stopping(pools[name], now)
        case ClosePool(name):
            pools[name] = history.gone(pools[name], now)
        case GiveUp():
            raise AssertionError("giving up is the supervisor's")


def tell_what_became(means: Means, name: ConsumerName, was: ObservedPool) -> None:
    """Where a pool has failed or is back, or an edition was rejected or is established: one fact."""
    pool = means.pools[name]
    if pool.state is PoolState.FAILED and was.state is not PoolState.FAILED:
        means.pools.note_error(name, events.pool_failed.name, {"reason": pool.reason})
        means.emit(events.pool_failed(consumer=str(name), reason=pool.reason, traceback=pool.traceback))
    elif pool.rejected != was.rejected:
        means.pools.note_error(name, events.change_taken_back.name, {"reason": pool.reason})
        fact = events.change_taken_back(
            consumer=str(name), reason=pool.reason, traceback=pool.traceback, edition=pool.rejected
        )
        means.emit(fact)
    elif pool.state is PoolState.UP and was.state is PoolState.LOADING:
        means.pools.processes[name].last_error = None  # of an edition that failed before
    elif pool.state is PoolState.UP and was.state is PoolState.FAILED:
        means.pools.processes[name].last_error = None
        means.emit(events.pool_recovered(consumer=str(name)))
    elif 0 < was.established < pool.established:
        processes = means.pools.processes[name]
        processes.last_error = None
        processes.recent = Recent(done_ns=int(clock.monotonic() * 1e9))  # of this code nothing has failed
        means.emit(events.edition_established(consumer=str(name), edition=pool.established))


def _execute_zygote(means: Means, name: ConsumerName, edition: int, now: float) -> None:
    pools, entry, was = means.pools, means.pools.entry_of(name, edition), means.pools[name]
    try:
        executed = means.launcher.execute(ZYGOTE_MODULE if entry.settings.execution.is_plain else ENTRANCE_MODULE)
    except OSError as error:
        why = refusal(error)
        pools[name] = history.zygote_not_executed(pools[name], edition, now, means.jitter(), error=why)
        level = _level(why, was.zygote(edition).refused)
        means.emit(events.zygote_not_executed(consumer=str(name), error=why).at(level))
        tell_what_became(means, name, was)
        return
    pools[name] = history.zygote_executed(pools[name], edition, executed.pid, now)
    pools.processes[name].zygotes[edition] = executed
    means.relay.open(executed.stderr_fd, str(name))
    means.post.open(executed.channel, Origin(name, edition=edition))
    means.emit(events.zygote_executed(consumer=str(name), edition=edition, pid=executed.pid))
    try:
        means.post.send(executed.channel, entry.seated)
    except WireError as error:
        reason = f"its configs cannot be sent to its processes: {error}"
        pools[name] = history.load_failed(pools[name], edition, now, reason=reason, traceback="")
        tell_what_became(means, name, was)


def _fork(means: Means, name: ConsumerName, slot: int, edition: int, now: float) -> None:
    pools, entry, processes = means.pools, means.pools.entry_of(name, edition), means.pools.processes[name]
    generation = pools[name].slots[slot].generation + 1
    zygote = processes.zygotes[edition].channel
    told, is_paused = processes.suspects.told(), pools.is_paused(name)
    last = processes.last_ends.get(slot)
    reading = None if last is None or last.generation != generation - 1 else last.reading
    is_wary = reading is not None and BoardFlag.DESTINATION_AWAY in reading.flags
    workers = pools.workers_wanted(name)
    fork = messages.Fork(slot, generation, workers, is_paused=is_paused, suspects=told, is_wary=is_wary)
    try:
        seating = means.launcher.fork(zygote, fork, lock=entry.slot_lock(slot), awaited=pools.unnamed_workers())
    except (OSError, UnreadError) as error:
        note_not_forked(means, name, slot, edition, now, error=error)
        return
    pools[name] = history.fork_asked(pools[name], slot, edition, now, look_at=now + entry.stop_timeout_s)
    processes.workers[slot] = Worker(generation, seating, jitter=means.jitter())
    means.relay.open(seating.stderr_fd, str(name))
    means.post.open(seating.channel, Origin(name, slot, generation))
    means.post.flush(zygote)


def note_not_forked(
    means: Means, name: ConsumerName, slot: int, edition: int, now: float, *, error: OSError | UnreadError | str
) -> None:
    """The system refuses a slot its worker: here, in its zygote, or where the zygote tells of it."""
    why, was = refusal(error) if isinstance(error, OSError) else str(error), means.pools[name]
    means.pools[name] = history.not_forked(was, slot, edition, now, error=why, jitter=means.jitter())
    fact = events.worker_not_forked(consumer=str(name), worker_id=slot, error=why)
    means.emit(fact.at(_level(why, was.slots[slot].refused)))
    tell_what_became(means, name, was)


def _level(why: str, before: str) -> Level:
    """What the system goes on refusing is told once."""
    return Level.DEBUG if why == before else Level.ERROR


def _kill(means: Means, name: ConsumerName, slot: int) -> None:
    """A condemned worker is killed for its reason, and with its stacks; any other is past its deadline."""
    worker, sentence = means.pools.processes[name].workers[slot], means.pools[name].slots[slot].condemned
    assert worker.pid is not None
    means.launcher.kill(worker.pid, worker.pidfd)
    means.pools[name] = history.killed(means.pools[name], slot)
    fact = events.worker_killed(
        consumer=str(name),
        worker_id=slot,
        pid=worker.pid,
        reason="it was not gone by its deadline" if sentence is None else sentence.reason,
        shard=None if sentence is None else sentence.shard,
        offset=None if sentence is None else sentence.offset,
        stacks=None if sentence is None else worker.seating.board.stacks(),
    )
    means.emit(fact)


def _kill_holder(means: Means, name: ConsumerName, slot: int, now: float) -> None:
    entry = means.pools.entry(name)
    lock, own_pid = entry.slot_lock(slot), means.pools.processes[name].workers[slot].pid
    try:
        holder = means.launcher.kill_holder(lock, but=own_pid)
    except OSError as error:
        means.emit(events.lock_not_read(consumer=str(name), worker_id=slot, error=str(error)))
        holder = None
    means.pools[name] = history.holder_looked_up(means.pools[name], slot, look_at=now + entry.stop_timeout_s)
    if holder is not None:
        means.emit(events.lock_holder_killed(consumer=str(name), worker_id=slot, pid=holder))
