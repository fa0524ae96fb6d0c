"""Performing what `plan` says: the thin part that starts, asks, and kills processes. Runs in the master."""

from __future__ import annotations

from consumerd import events
from consumerd.errors import UnreadError, WireError
from consumerd.events.facts import Fact, Level
from consumerd.master.pools.mailbox import Origin
from consumerd.master.pools.pool import Pool
from consumerd.master.pools.worker import Worker
from consumerd.master.rules import actions, history
from consumerd.master.rules.actions import Action
from consumerd.model.failure import refusal
from consumerd.model.slots import ZygoteState
from consumerd.wire import messages
from consumerd.wire.figures.stacks import handler_first
from consumerd.wire.inherited import EXECUTION_MODULE, ZYGOTE_MODULE
from consumerd.wire.messages import Stop


def perform(pool: Pool, action: Action, now: float) -> None:
    """Do one thing, and note it in the pool's history."""
    match action:
        case actions.ExecuteZygote(edition):
            _execute_zygote(pool, edition, now)
        case actions.ForkWorker(slot, edition):
            _fork(pool, slot, edition, now)
        case actions.AskToLeave(slot, deadline, is_last):
            pool.send(slot, Stop(deadline, is_last))
            pool.become(history.asked_to_leave(pool.observed, slot, now, deadline=deadline))
        case actions.Kill(slot):
            _kill(pool, slot)
        case actions.Vacate(slot):
            pool.become(history.vacated(pool.observed, slot, now))
        case actions.AskZygoteToLeave(edition, deadline):
            pool.tools.mailbox.send(pool.zygotes[edition].channel, Stop(deadline))
            pool.become(pool.observed.zygote_becomes(edition, ZygoteState.LEAVING, now, deadline=deadline))
        case actions.KillZygote(edition):
            kill_zygote(pool, edition)
        case actions.PoolBecomes(state):
            pool.become(pool.observed.becomes(state, now))


def kill_zygote(pool: Pool, edition: int) -> None:
    """End a zygote at once."""
    pool.tools.launcher.kill(pool.zygotes[edition].pid, None)
    pool.become(pool.observed.with_zygote(edition, is_killed=True))


def note_not_forked(pool: Pool, slot: int, edition: int, now: float, *, error: OSError | UnreadError | str) -> None:
    """The system refuses a slot its worker: here, in its zygote, or where the zygote tells of it."""
    why = refusal(error) if isinstance(error, OSError) else str(error)
    fact = events.worker_not_forked(consumer=pool.consumer, worker_id=slot, error=why)
    before = pool.observed.slots[slot].refused
    after = history.not_forked(pool.observed, slot, edition, now, error=why, jitter=pool.tools.jitter())
    pool.become(after, _once(fact, why, before))


def _execute_zygote(pool: Pool, edition: int, now: float) -> None:
    tools, entry = pool.tools, pool.entry_of(edition)
    try:
        executed = tools.launcher.execute(ZYGOTE_MODULE if entry.settings.execution.is_plain else EXECUTION_MODULE)
    except OSError as error:
        why = refusal(error)
        fact = _once(
            events.zygote_not_executed(consumer=pool.consumer, error=why), why, pool.observed.zygote(edition).refused
        )
        pool.become(history.zygote_not_executed(pool.observed, edition, now, tools.jitter(), error=why), fact)
        return
    pool.zygotes[edition] = executed
    tools.stderr.open(executed.stderr_fd, pool.consumer)
    tools.mailbox.open(executed.channel, Origin(pool.name, edition=edition))
    fact = events.zygote_executed(consumer=pool.consumer, edition=edition, pid=executed.pid)
    pool.become(history.zygote_executed(pool.observed, edition, executed.pid, now), fact)
    try:
        tools.mailbox.send(executed.channel, entry.assignment)
    except WireError as error:
        reason = f"its configs cannot be sent to its processes: {error}"
        pool.become(history.load_failed(pool.observed, edition, now, reason=reason, traceback=""))


def _fork(pool: Pool, slot: int, edition: int, now: float) -> None:
    tools, entry, zygote = pool.tools, pool.entry_of(edition), pool.zygotes[edition].channel
    holder = tools.holders.take()
    fork = messages.Fork(
        slot,
        generation=pool.observed.slots[slot].generation + 1,
        workers=pool.wanted.workers,
        is_paused=pool.is_held,
        suspects=pool.suspects.told(),
        is_wary=slot in pool.wary,
        holder=holder,
    )
    awaited = sum(worker.pid is None for worker in pool.workers.values())
    try:
        lock, table_fd = entry.state_dir.slot_lock(pool.name, slot), tools.holders.table.fileno()
        ends = tools.launcher.fork(zygote, fork, lock=lock, table_fd=table_fd, awaited=awaited)
    except (OSError, UnreadError) as error:
        tools.holders.give_back(holder)
        note_not_forked(pool, slot, edition, now, error=error)
        return
    pool.become(history.fork_asked(pool.observed, slot, edition, now))
    pool.workers[slot] = Worker(fork.generation, ends, holder, jitter=tools.jitter())
    tools.stderr.open(ends.stderr_fd, pool.consumer)
    tools.mailbox.open(ends.channel, Origin(pool.name, slot, fork.generation))
    tools.mailbox.flush(zygote)


def _once(fact: Fact, why: str, before: str) -> Fact:
    """What the system goes on refusing is told once."""
    return fact.at(Level.DEBUG) if why == before else fact


def _kill(pool: Pool, slot: int) -> None:
    """A condemned worker is killed for its reason, and with its stacks; any other is past its deadline."""
    worker, sentence = pool.workers[slot], pool.observed.slots[slot].condemned
    assert worker.pid is not None
    pool.tools.launcher.kill(worker.pid, worker.pidfd)
    fact = events.worker_killed(
        consumer=pool.consumer,
        worker_id=slot,
        pid=worker.pid,
        reason="it was not gone by its deadline" if sentence is None else sentence.reason,
        shard=None if sentence is None else sentence.shard,
        offset=None if sentence is None else sentence.offset,
        stacks=None if sentence is None else handler_first(worker.ends.board.stacks()),
    )
    pool.become(pool.observed.with_slot(slot, is_killed=True), fact)
