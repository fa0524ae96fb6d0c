"""What a worker says and how it ends, as history and events of its pool. Runs in the master."""

from __future__ import annotations

import signal
from collections.abc import Iterator
from dataclasses import asdict, replace
from typing import Any

from consumerd import clock, events
from consumerd.events.facts import Fact, Level
from consumerd.master.pools import suspects
from consumerd.master.pools.mailbox import Arrival, EndOfChannel, Origin
from consumerd.master.pools.pool import Pool
from consumerd.master.pools.worker import Worker, recent_of, running_in, told_recent
from consumerd.master.rules import history
from consumerd.master.rules.flow import MeasuredLag
from consumerd.master.rules.observed import ObservedPool
from consumerd.master.rules.restart import Cause, Ended, cause_of, has_settled, is_proven, is_refuted
from consumerd.model.exits import exit_code, worker_described
from consumerd.model.slots import PoolState, SlotState
from consumerd.wire.board import BoardFlag, Reading
from consumerd.wire.messages import Cleared, Lag, ParkedNow, Ready, Reported, Scheduled, Wake
from consumerd.wire.status import Culprit, Flag, LastEnd

LOOK_S = 0.1
"""How often to look whether a worker on which something depends has proved itself."""


def hear_worker(pool: Pool, arrival: Arrival, now: float) -> None:
    """Note what a worker says, if it is the one that the slot has now."""
    slot = arrival.origin.slot
    worker = None if slot is None else pool.workers.get(slot)
    if slot is None or worker is None or worker.generation != arrival.origin.generation:
        return
    match arrival.content:
        case Ready():
            worker.ready_at = now
            if worker.pid is not None:  # else once its zygote has named it
                become_ready(pool, slot, worker, now)
        case Reported() as reported:
            _reported(pool, slot, worker, reported)
        case Cleared(task_id):
            suspects.clear(pool, task_id)
        case Lag(shards, later, complaints, blocked, clock_ahead_s):
            _measured(pool, MeasuredLag(shards, now, later, complaints, blocked, clock_ahead_s))
        case ParkedNow() as parked:
            pool.parked_now, pool.parked_heard_at = parked, now
        case Scheduled(schedule):
            pool.schedule = schedule
        case EndOfChannel(None):
            worker.silent_since = now  # it ends, and its reaping says how; else the watchdog sees that it does not
        case EndOfChannel(broken):
            break_worker(pool, slot, worker, str(broken))
        case other:
            break_worker(pool, slot, worker, f"a worker sent {type(other).__name__}")


def become_ready(pool: Pool, slot: int, worker: Worker, now: float) -> None:
    """A worker has been named by its zygote, and its loop has begun."""
    pid, generation = worker.pid, worker.generation
    fact = events.worker_ready(consumer=pool.consumer, worker_id=slot, pid=pid, generation=generation)
    pool.become(history.ready(pool.observed, slot, now), fact)


def break_worker(pool: Pool, slot: int, worker: Worker, error: str) -> None:
    """A worker does what the protocol does not allow: it is killed."""
    pool.tools.emit(events.worker_broken(consumer=pool.consumer, worker_id=slot, pid=worker.pid, error=error))
    if worker.pid is not None:
        pool.tools.launcher.kill(worker.pid, worker.pidfd)


def unproven(pool: Pool) -> Iterator[tuple[int, Worker]]:
    """The running workers whose proof is waited for: of an edition on trial, or of a failed pool."""
    observed = pool.observed
    for number, slot in observed.slots.items():
        is_tried = observed.state is PoolState.FAILED and slot.since >= observed.since
        if slot.state is SlotState.RUNNING and (is_tried or observed.is_trial(slot.edition)):
            yield number, pool.workers[number]


def look_for_proof(pool: Pool, now: float) -> float | None:
    """Look whether the workers whose proof is waited for have given it; soon again, while there are any."""
    for number, worker in list(unproven(pool)):
        loop_s, reading, edition = worker.loop_s(now), worker.reading(), pool.observed.slots[number].edition
        if is_proven(loop_s, reading):
            pool.become(history.proved(pool.observed, number, now))
        elif pool.observed.is_trial(edition) and is_refuted(loop_s, reading):
            last = "" if worker.failed is None else f", the last with {worker.failed.fields.get('error')}"
            reason = f"its first worker handled tasks, and each of them failed{last}: see consumerd parked list"
            pool.become(history.rejected(pool.observed, edition, reason=reason, traceback=""))
    _forget_overcome(pool, now)
    return now + LOOK_S if any(unproven(pool)) else None


def _forget_overcome(pool: Pool, now: float) -> None:
    """What a worker has ended of, as a topic that was not there, is over once the next one of its slot is proven."""
    last = pool.last_error
    if last is None or last.name != events.consume_failed.name:
        return
    worker = pool.workers.get(last.fields["worker_id"])
    if worker is not None and worker.failed is None and is_proven(worker.loop_s(now), worker.reading()):
        pool.last_error = None


def worker_ended(pool: Pool, slot: int, status: int | None, now: float) -> None:
    """A worker is reaped: hear its last words, add up its board, decide nothing; `plan` does."""
    worker = pool.workers[slot]
    pool.tools.mailbox.drain(worker.ends.channel)
    for arrival in pool.tools.mailbox.take_of(Origin(pool.name, slot, worker.generation)):
        hear_worker(pool, arrival, now)
    was = pool.observed.slots[slot]
    pool.tally.add_dead(worker)
    reading, loop_s = worker.reading(), worker.loop_s(now)
    is_out_of_memory = exit_code(status) == -signal.SIGKILL and not was.is_killed and pool.tools.claim_oom_kill()
    suspect_deaths = suspects.note_end(pool, worker, was, status, is_out_of_memory=is_out_of_memory)
    cause = cause_of(was, status, is_out_of_memory=is_out_of_memory)
    record, (_, traceback) = _last_end(pool, slot, worker, status), worker.told_end()
    # to hang proves nothing
    has_proved = has_settled(reading) if was.condemned is not None else is_proven(loop_s, reading)
    ended = Ended(
        status,
        has_proved,
        pool.tools.jitter(),
        how=record.how,
        trace=record.stacks or traceback or record.stderr,
        suspect_deaths=suspect_deaths,
    )
    after = history.worker_ended(pool.observed, slot, ended, now, pool.wanted)
    if reading is not None and BoardFlag.DESTINATION_AWAY in reading.flags:
        pool.wary.add(slot)
    else:
        pool.wary.discard(slot)
    _become_without(pool, slot, record, after, cause)


def _become_without(pool: Pool, slot: int, record: LastEnd, after: ObservedPool, cause: Cause) -> None:
    """Without a worker that has ended. What nobody has asked for is a warning, and an error of the pool."""
    was, becomes = pool.observed.slots[slot], after.slots[slot]
    leaves = was.state is SlotState.DRAINING or becomes.state is SlotState.FINISHED
    is_asked = leaves or (was.condemned is not None and was.condemned.is_asked)
    fact = events.worker_ended(
        consumer=pool.consumer,
        worker_id=slot,
        pid=record.pid,
        generation=record.generation,
        end=record.end,
        cause=cause.value,
        restarts_in_s=None if leaves else round(max(0.0, becomes.due_at - becomes.since), 3),
        stderr=None if leaves else record.stderr[-1000:],
    )
    if leaves:
        pool.wary.discard(slot)
    else:
        pool.last_ends[slot] = record
    if not is_asked:
        _note_end(pool, slot, record)
    pool.become(after, fact.at(Level.INFO) if is_asked else fact)
    ran, before = ", ".join(record.running), told_recent(record)
    if not is_asked and (ran or before):
        told = events.death_recorded(consumer=pool.consumer, worker_id=slot, pid=record.pid, ran=ran, before=before)
        pool.tools.emit(told)


def _note_end(pool: Pool, slot: int, record: LastEnd) -> None:
    """An end that nobody asked for is an error, unless the worker has said itself why it ends."""
    is_condemned = pool.observed.slots[slot].condemned is not None
    if is_condemned or not record.reason:
        end = record.how if is_condemned else record.end
        pool.note_error(events.worker_ended.name, worker_id=slot, end=end)


def _last_end(pool: Pool, slot: int, worker: Worker, status: int | None) -> LastEnd:
    """What is to be kept of a dead worker, whose ends are closed with this.

    The culprit is the task that it died of, where that is known for sure: it hung, or was cancelled. What a worker that
    crashed had in hand is on its board, and a suspect only.
    """
    reading, condemned = worker.reading(), pool.observed.slots[slot].condemned
    culprit = None
    if condemned is not None and condemned.shard is not None and condemned.offset is not None:
        culprit = Culprit(shard=condemned.shard, offset=condemned.offset)
    return LastEnd(
        at=clock.wall(),
        pid=worker.pid,
        generation=worker.generation,
        end=worker_described(status),
        reason=worker.told_end()[0] if condemned is None else condemned.reason,
        culprit=culprit,
        board=None if reading is None else _board(reading),
        stacks="" if condemned is None else worker.ends.board.stacks(),
        running=running_in(worker.ends.board),
        recent=recent_of(worker.ends.board),
        stderr=let_go(pool, slot, worker),
    )


def _board(reading: Reading) -> dict[str, Any]:  # for people
    """What a board said at the end; of its lanes, those in which something ran."""
    return asdict(replace(reading, lanes=reading.busy)) | {"state": reading.state.name.lower()}


def let_go(pool: Pool, slot: int, worker: Worker) -> str:
    """Close the master's ends of a worker, which leaves if it still lives; what it last wrote to stderr."""
    del pool.workers[slot]
    pool.tools.mailbox.close(worker.ends.channel)
    worker.close()
    pool.tools.holders.give_back(worker.holder)
    return pool.tools.stderr.close(worker.ends.stderr_fd)


def _measured(pool: Pool, lag: MeasuredLag) -> None:
    pool.lag = lag
    before = lag.tasks if pool.lag_at_pause is None else pool.lag_at_pause
    pool.lag_at_pause = before if pool.is_paused else None


def _reported(pool: Pool, slot: int, worker: Worker, reported: Reported) -> None:
    """The worker has logged it; here it is kept for `status`, and passed on to who follows."""
    fields: dict[str, object] = {"worker_id": slot, **reported.fields}
    fact = Fact(reported.name, Level(reported.level), {"consumer": pool.consumer, **fields})
    pool.tools.tell(fact)
    event = events.event_of(fact)
    if event in (events.task_failed, events.consume_failed):
        worker.failed = reported
    elif event is events.destination_opened:
        pool.opened_by[fact.fields.get("destination")] = fact.fields.get("error")
    elif event is events.destination_closed:
        pool.opened_by.pop(fact.fields.get("destination"), None)
    elif event in (events.work_found, events.ranges_moved):
        for other in pool.workers.keys() - {slot}:
            pool.send(other, Wake())
    if event is not None and event.away:
        why = reported.fields.get("error", reported.fields.get("advice", ""))
        before = worker.away.get(event.away)
        since = clock.wall() if before is None else before.since
        worker.away[event.away] = Flag(away=event.away, since=since, error=str(why))
    elif event is not None and event.back:
        worker.away.pop(event.back, None)
    elif fact.level is Level.ERROR and event is not events.task_died:  # those that died are counted
        pool.note_error(fact.name, **fields)
