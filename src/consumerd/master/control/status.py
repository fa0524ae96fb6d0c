"""The answer to `status`: how everything is that runs. Runs in the master.

Counts are read from the boards when somebody asks. A worker whose process is dead is `ended` until its zygote tells of
it, which one that is stopped or busy does late.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict
from typing import Any

from consumerd.master.control import overrides
from consumerd.master.control.problems import problems_of
from consumerd.master.control.running_task import running_tasks
from consumerd.master.duties.autoscaler import scaling_of, shards_of
from consumerd.master.pools.pool import Pool
from consumerd.master.pools.worker import Worker
from consumerd.master.rules.history import REFUSALS_THAT_TELL
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import LOOPING, SlotState
from consumerd.wire.board import Lane
from consumerd.wire.standing import mark_of
from consumerd.wire.status import (
    Flag,
    ParkedCounts,
    Paused,
    PoolStatus,
    WorkerStatus,
    ZygoteStatus,
)


def pool_status(pool: Pool, now: float, *, paused: overrides.Paused | None = None) -> PoolStatus:
    """One pool and its workers."""
    observed, wanted, target, slots = pool.observed, pool.wanted.workers, pool.target_edition, pool.observed.slots
    zygote, loaded = observed.zygote(target), list(pool.loaded.values())
    running, finished = _running(pool), sum(slot.state is SlotState.FINISHED for slot in slots.values())
    flags = _flags(pool.workers.values())
    return PoolStatus(
        name=pool.consumer,
        target=pool.entry.settings.target,
        source=loaded[-1].source if loaded else None,
        state=observed.state.value,
        since_s=round(now - observed.since, 3),
        edition=target,
        established=observed.established,
        rejected=observed.rejected,
        zygote=ZygoteStatus(state=zygote.state.value, since_s=round(now - zygote.since, 3), pid=zygote.pid),
        is_paused=pool.is_paused,
        workers_configured=pool.entry.settings.common.model_dump()["workers"],
        workers_pinned=pool.pin,
        workers_wanted=wanted,
        workers_helping=shards_of(pool),
        workers_running=running,
        workers_stalled=sum(slot.state is SlotState.STALLED for slot in slots.values()),
        scaling=scaling_of(pool, now),
        workers_finished=finished,
        **asdict(pool.tally.counts(pool.workers.values())),
        suspects=len(pool.suspects.deaths),
        restarts=sum(slot.restarts for slot in slots.values()),
        **_measured(pool, now),
        flags=flags,
        reason=observed.reason,
        traceback=observed.traceback,
        last_error=pool.last_error,
        problems=problems_of(pool, flags, running + finished, now),
        workers=[
            _worker(pool, number, now) for number, slot in sorted(slots.items()) if number < wanted or slot.is_occupied
        ],
        paused=None if paused is None else Paused(at=paused.at, by=paused.by),
        throttled=pool.throttled,
    )


def _running(pool: Pool) -> int:
    """How many workers are in their loop. One whose process is dead is not, though nobody may have reaped it yet."""
    dead = {number for number, worker in pool.workers.items() if worker.has_ended()}
    return sum(slot.state in LOOPING for number, slot in pool.observed.slots.items() if number not in dead)


def _measured(pool: Pool, now: float) -> dict[str, Any]:  # fields of PoolStatus
    """What workers have measured and counted, with its age."""
    lag, parked, age_s = pool.lag, pool.parked_now, round(now - pool.parked_heard_at, 3)
    return {
        "lag": [] if lag is None else list(lag.shards),
        "lag_age_s": None if lag is None else round(now - lag.heard_at, 3),
        "later": None if lag is None else lag.later,
        "schedule": pool.schedule,
        "parked_now": None if parked is None else ParkedCounts(waiting=parked.waiting, dead=parked.dead, age_s=age_s),
    }


def _worker(pool: Pool, number: int, now: float) -> WorkerStatus:
    slot, worker = pool.observed.slots[number], pool.workers.get(number)
    is_stalled = slot.state is SlotState.STALLED
    return WorkerStatus(
        slot=number,
        state="ended" if worker is not None and worker.has_ended() else slot.state.value,
        since_s=round(now - slot.since, 3),
        pid=slot.pid,
        generation=slot.generation,
        edition=slot.edition,
        restarts=slot.restarts,
        is_worn=slot.is_worn,
        refused=slot.refused,
        is_refused=slot.refusals >= REFUSALS_THAT_TELL,
        starts_in_s=round(max(0.0, slot.due_at - now), 3) if slot.state is SlotState.BACKING_OFF else None,
        stuck=worker.stuck.told(now) if worker is not None and worker.stuck and is_stalled else None,
        last_end=pool.last_ends.get(number),
        **({} if worker is None else _doing(pool.name, number, worker, now)),
    )


def _doing(name: ConsumerName, number: int, worker: Worker, now: float) -> dict[str, Any]:  # fields of WorkerStatus
    """What a worker's board says, as far as it can be read, and what is known of its process."""
    reading = worker.reading()
    flags = [away if away in ("starved", "standby", "failing") else f"{away}_away" for away in sorted(worker.away)]
    known = {"memory_bytes": worker.memory_bytes, "flags": flags}
    if reading is None:
        return known
    tasks, lane = running_tasks(name, number, reading), reading.lanes[0]
    busy_s = round(now - _since_s(worker, lane), 3) if lane.busy_since_ns else None
    counts = {"handled": reading.handled, "failed": reading.failed, "parked": reading.parked}
    counts |= {"unsettled": reading.unsettled}
    task = str(tasks[0]) if tasks else None
    return {**known, **counts, "task": task, "busy_s": busy_s, "shard": lane.shard, "offset": lane.cursor}


def _since_s(worker: Worker, lane: Lane) -> float:
    """Since when the task of a lane runs at most: since its batch began, its board stands as it does, or the last look,
    at which it stood otherwise.
    """
    observation, looked_s = worker.observation, 0.0
    if observation is not None:
        is_same = mark_of(worker.ends.board.words) == observation.standing.mark
        looked_s = observation.standing.since_s if is_same else observation.seen_at
    return max(lane.busy_since_ns / 1e9, lane.attempt_since_ns / 1e9, looked_s)


def _flags(workers: Collection[Worker]) -> list[Flag]:
    """What is away for any of those who run, by the earliest of their reports."""
    reports = sorted((flag for worker in workers for flag in worker.away.values()), key=lambda flag: -flag.since)
    return sorted({flag.away: flag for flag in reports}.values(), key=lambda flag: flag.away)
