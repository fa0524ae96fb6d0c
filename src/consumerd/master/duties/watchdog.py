"""The watchdog: looks at the boards of running workers, flags and condemns those that are stuck. Runs in the master.

What is stuck is decided in `watch` and `flow`; a condemned worker is asked for its stacks and killed a moment later, by
`plan`. One that goes on meanwhile is let off.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

from consumerd import events
from consumerd.errors import WireError
from consumerd.master.pools.pool import Pool
from consumerd.master.pools.worker import Worker
from consumerd.master.pools.worker_messages import break_worker
from consumerd.master.rules import history
from consumerd.master.rules.flow import Flow, flowed, one_replaced
from consumerd.master.rules.observed import Condemned
from consumerd.master.rules.watch import SCAN_BUSY_S, Observation, Stuck, judged, scan_every_s, seen
from consumerd.model.slots import LOOPING, SlotState
from consumerd.wire.board import look_at

LEAST_START_S = 30.0
"""A worker may take so long to come to its loop, however short its tasks are."""

ENDS_IN_S = 5.0
"""A worker whose channel has ended, and that has not ended by then, hears nothing any more, and is killed."""

DIAGNOSE_S = 1.0
"""How long a condemned worker has to write its stacks. A signal's handler in C does it in milliseconds."""

NONSENSE = "its board holds nonsense: something in it writes where it must not"


def watch(pool: Pool, now: float) -> float | None:
    """Look when it is time: at a busy pool once a second, at an idle one every five."""
    for number, late_at in list(_starting(pool)):
        if now >= late_at:
            start_s = now - pool.observed.slots[number].since
            reason = f"stuck: it has not come to its loop for {start_s:.0f} s: see what its pre_consume waits for"
            condemn(pool, number, Condemned(reason, now, now + DIAGNOSE_S), now)
    if now >= _due_at(pool):
        for number, worker in list(_looping(pool)):
            _look(pool, number, worker, now)
        observations = [worker.observation for _, worker in _looping(pool) if worker.observation is not None]
        _look_at_flow(pool, observations, now)
        pool.watch_at = now + scan_every_s(observations)
    times = [late_at for _, late_at in _starting(pool)]
    return min([*times, _due_at(pool)] if any(_looping(pool)) else times, default=None)


def condemn(pool: Pool, number: int, sentence: Condemned, now: float) -> None:
    """Have a worker replaced: asked for its stacks now, killed at `sentence.kill_at`."""
    worker = pool.workers[number]
    assert worker.pid is not None
    _see(pool, worker, now)
    worker.ends.board.forget_stacks()
    pool.tools.launcher.ask_stacks(worker.pid, worker.pidfd)
    pool.become(history.condemned(pool.observed, number, sentence))
    pool.watch_at = min(pool.watch_at or now, sentence.kill_at)


def _due_at(pool: Pool) -> float:
    """When to look at a pool next: at once where nobody has looked at one of its workers yet."""
    unseen = any(worker.observation is None for worker in pool.workers.values())
    is_new = unseen and any(worker.observation is None and worker.reading() for _, worker in _looping(pool))
    return 0.0 if is_new else pool.watch_at


def _looping(pool: Pool) -> Iterator[tuple[int, Worker]]:
    for number, slot in pool.observed.slots.items():
        if slot.state in LOOPING and not slot.is_killed and slot.pid is not None:
            yield number, pool.workers[number]


def _starting(pool: Pool) -> Iterator[tuple[int, float]]:
    """The workers that are not in their loops yet, and when each of them should have been."""
    for number, slot in pool.observed.slots.items():
        if slot.state is SlotState.STARTING and slot.pid is not None and slot.condemned is None:
            yield number, slot.since + max(LEAST_START_S, _timeout_s(pool, slot.edition))


def _timeout_s(pool: Pool, edition: int) -> float:
    return pool.entry_of(edition).settings.common.task_timeout


# One worker


def _look(pool: Pool, number: int, worker: Worker, now: float) -> None:
    slot = pool.observed.slots[number]
    if worker.silent_since is not None and now - worker.silent_since > ENDS_IN_S:
        break_worker(pool, number, worker, "it has closed its channel to the master, and lives on")
        worker.silent_since = None
    observation = _see(pool, worker, now)
    if observation is None:
        if slot.condemned is None:
            condemn(pool, number, Condemned(NONSENSE, now, now + DIAGNOSE_S), now)
        return
    if slot.condemned is not None and not slot.condemned.is_let_off(observation.standing):
        return
    timeout_s, is_waiting_free = _timeout_s(pool, slot.edition), pool.traits.get("gives_away", False)
    stuck = worker.stuck = (
        None if observation.is_idling else judged(observation, timeout_s, is_waiting_free=is_waiting_free)
    )
    if stuck is not None and stuck.lane is not None and not pool.traits.get("positional", False):
        stuck = worker.stuck = replace(stuck, row=worker.ends.board.id_in(stuck.lane))
    if slot.condemned is not None or (stuck is None and slot.state is SlotState.STALLED):
        _went_on(pool, number, worker, now)
    if stuck is None:
        return
    if pool.observed.slots[number].state is SlotState.RUNNING:
        _stalled(pool, number, worker, stuck, now)
    if stuck.is_overdue:
        reason = f"stuck: it {stuck.told(now)}, and task_timeout is {timeout_s:g} s"
        blame = stuck.blame(timeout_s)
        condemn(pool, number, Condemned(reason, now, now + DIAGNOSE_S, stuck.lane, blame=blame), now)


def _see(pool: Pool, worker: Worker, now: float) -> Observation | None:
    """Look at its board; at its process only where the board stands still. None where the board holds nonsense."""
    assert worker.pid is not None
    try:
        words = look_at(worker.ends.board.words)
    except WireError:
        return None
    planned_s = (
        SCAN_BUSY_S if worker.observation is None else max(0.0, (pool.watch_at or now) - worker.observation.seen_at)
    )
    observation = seen(worker.observation, words, now, is_stopped=False, planned_s=planned_s)
    if observation.is_still and pool.tools.launcher.is_stopped(worker.pid):
        observation = seen(worker.observation, words, now, is_stopped=True, planned_s=planned_s)
    worker.observation = observation
    return observation


def _stalled(pool: Pool, number: int, worker: Worker, stuck: Stuck, now: float) -> None:
    fact = events.task_stalled(
        consumer=pool.consumer,
        worker_id=number,
        pid=worker.pid,
        why=stuck.why.value,
        shard=stuck.shard,
        offset=stuck.offset,
        for_s=round(now - stuck.since_s, 1),
    )
    pool.become(history.stalled(pool.observed, number, now), fact)


def _went_on(pool: Pool, number: int, worker: Worker, now: float) -> None:
    was, after = pool.observed.slots[number], history.went_on(pool.observed, number, now)
    if was.state is SlotState.STALLED:
        stalled_s = round(now - was.since, 1)
        pid = worker.pid
        fact = events.task_went_on(consumer=pool.consumer, worker_id=number, pid=pid, stalled_s=stalled_s)
        pool.become(after, fact)
    else:
        pool.become(after)  # it was condemned for another reason, cancelled perhaps


# The pool


def _look_at_flow(pool: Pool, observations: list[Observation], now: float) -> None:
    if not observations:
        return
    dead = pool.tally.dead
    done = dead.handled + dead.failed + dead.asked + dead.parked + sum(each.finished for each in observations)
    is_at_work = pool.is_held or any(each.is_at_work for each in observations)
    pool.flow = flowed(pool.flow, pool.lag, done=done, is_at_work=is_at_work, now=now)
    _tell_of_shards(pool, frozenset(pool.flow.stalled(now)))
    if pool.flow.must_replace(now):
        _replace_one(pool, pool.flow, now)


def _tell_of_shards(pool: Pool, stalled: frozenset[int]) -> None:
    was, pool.stalled_shards = pool.stalled_shards, stalled
    if stalled - was:
        pool.tools.emit(events.shard_stalled(consumer=pool.consumer, shards=sorted(stalled)))
    elif was and not stalled:
        pool.tools.emit(events.shard_went_on(consumer=pool.consumer, shards=sorted(was)))


def _replace_one(pool: Pool, flow: Flow, now: float) -> None:
    """The worker that had last a task of a stalled shard; where nobody had, one after the other."""
    stalled = flow.stalled(now)
    workers = list(_looping(pool))
    having = [
        pair
        for pair in workers
        if pair[1].observation is not None and any(lane.shard in stalled for lane in pair[1].observation.reading.lanes)
    ]
    number, _ = having[0] if having else workers[flow.replaced % len(workers)]
    for_s = now - min(stalled.values())
    reason = f"its source is silent: tasks wait in shard {min(stalled)}, and no worker got one for {for_s:.0f} s"
    pool.flow = one_replaced(flow, now)
    condemn(pool, number, Condemned(reason, now, now + DIAGNOSE_S, is_final=True), now)
