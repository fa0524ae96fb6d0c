"""The answer to `status`: how everything is that runs. Runs in the master.

Counts are read from the boards when somebody asks. A worker whose process is dead is `ended` until its zygote tells of
it, which one that is stopped or busy does late.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import asdict, dataclass
from itertools import zip_longest
from typing import Any

from msgspec.structs import replace

from consumerd.errors import WireError
from consumerd.master.control.problems import problems_of
from consumerd.master.control.running_task import running_tasks
from consumerd.master.duties.autoscaler import scaling_of, shards_of
from consumerd.master.pools.pool import Pool
from consumerd.master.pools.worker import Worker, recent_of
from consumerd.master.rules.history import REFUSALS_THAT_TELL
from consumerd.master.rules.plan import next_starts
from consumerd.model.slots import LOOPING, SlotState
from consumerd.wire.board import lanes_in, look_at, reading_in
from consumerd.wire.problems import PoolProblem
from consumerd.wire.standing import standing
from consumerd.wire.status import (
    Flag,
    ParkedCounts,
    Paused,
    PoolStatus,
    ShardStatus,
    TaskStatus,
    WorkerStatus,
    ZygoteStatus,
)

_NOT_AWAY = ("starved", "standby", "failing", "settling")
"""What else keeps tasks from being done; all others are called by what is away."""


@dataclass(frozen=True, slots=True)
class Extent:
    """How much of each worker is told. tasks: each task that it runs; recent: what it has ended last.

    workers_of: of which pool they are told, by its full name; None: of each.
    """

    tasks: bool = False
    recent: bool = False
    workers_of: str | None = None


BRIEF = Extent()


def pool_status(pool: Pool, now: float, *, paused: Paused | None = None, extent: Extent = BRIEF) -> PoolStatus:
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
        **_wrong(problems_of(pool, flags, running + finished, now)),
        workers=_workers(pool, now, extent),
        paused=paused,
        throttled=pool.throttled,
    )


def _wrong(problems: list[PoolProblem]) -> dict[str, Any]:  # fields of PoolStatus
    return {"problems": [problem.sentence for problem in problems], "wrong": problems}


def _running(pool: Pool) -> int:
    """How many workers are in their loop. One whose process is dead is not, though nobody may have reaped it yet."""
    dead = {number for number, worker in pool.workers.items() if worker.has_ended()}
    return sum(slot.state in LOOPING for number, slot in pool.observed.slots.items() if number not in dead)


def _measured(pool: Pool, now: float) -> dict[str, Any]:  # fields of PoolStatus
    """What workers have measured and counted, with its age."""
    lag, parked, age_s = pool.lag, pool.parked_now, round(now - pool.parked_heard_at, 3)
    return {
        "lag": [
            ShardStatus(shard=shard, tasks=tasks, oldest_s=oldest_s, position=position)
            for shard, tasks, oldest_s, position in ([] if lag is None else lag.shards)
        ],
        "lag_age_s": None if lag is None else round(now - lag.heard_at, 3),
        "later": None if lag is None else lag.later,
        "clock_ahead_s": None if lag is None else lag.clock_ahead_s,
        "ordered": pool.entry.settings.common.ordered,
        "limits": list(pool.entry.settings.common.limits),
        "schedule": pool.schedule,
        "parked_now": None if parked is None else ParkedCounts(waiting=parked.waiting, dead=parked.dead, age_s=age_s),
    }


def _workers(pool: Pool, now: float, extent: Extent) -> list[WorkerStatus]:
    """Those that are wanted, or there all the same; none where only another pool's are asked for."""
    if extent.workers_of not in (None, pool.consumer):
        return []
    slots, starts = pool.observed.slots, next_starts(pool.wanted, pool.observed, now)
    shown = sorted(number for number, slot in slots.items() if number < pool.wanted.workers or slot.is_occupied)
    return [_worker(pool, number, now, extent, starts.get(number)) for number in shown]


def _worker(pool: Pool, number: int, now: float, extent: Extent, starts_at: float | None) -> WorkerStatus:
    slot, worker, last = pool.observed.slots[number], pool.workers.get(number), pool.last_ends.get(number)
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
        starts_in_s=None if starts_at is None else round(max(0.0, starts_at - now), 3),
        stuck=worker.stuck.told(now) if worker is not None and worker.stuck and is_stalled else None,
        stuck_in=worker.stuck.why.value if worker is not None and worker.stuck and is_stalled else None,
        last_end=last if last is None or extent.recent else replace(last, recent=None),
        **({} if worker is None else _doing(pool, number, worker, now, extent)),
    )


def _doing(pool: Pool, number: int, worker: Worker, now: float, extent: Extent) -> dict[str, Any]:
    """Fields of WorkerStatus: what the board says, as far as it can be read, and what is known of the process."""
    flags = [away if away in _NOT_AWAY else f"{away}_away" for away in sorted(worker.away)]
    known: dict[str, Any] = {"memory_bytes": worker.memory_bytes, "flags": flags}
    board = worker.ends.board
    if extent.recent:
        known["recent"] = recent_of(board)
    try:
        words = look_at(board.words)
        ids = [board.id_in(lane) for lane in lanes_in(words)] if extent.tasks else []
        later = lanes_in(look_at(board.words)) if extent.tasks else ()
    except WireError:
        return known
    reading, since_s = reading_in(words), _dates(worker, words)
    tasks = running_tasks(pool.name, number, reading)
    lane = min(reading.busy, key=lambda lane: since_s[lane.number], default=reading.lanes[0])
    busy_s = round(now - since_s[lane.number], 3) if lane.busy_since_ns else None
    counts = {"handled": reading.handled, "failed": reading.failed, "parked": reading.parked}
    counts |= {"unsettled": reading.unsettled, "running": len(tasks), "at_once": reading.width}
    task = next((str(task) for task in tasks if task.lane == lane), None)
    doing = {**known, **counts, "task": task, "busy_s": busy_s, "shard": lane.shard, "offset": lane.cursor}
    doing["hold"] = reading.hold.name.lower()
    if extent.tasks:
        doing["tasks"] = [
            TaskStatus(
                task=str(each),
                id=ids[each.lane.number] if later[each.lane.number].is_on(each.lane) else None,
                busy_s=round(now - since_s[each.lane.number], 3),
            )
            for each in tasks
        ]
    return doing


def _dates(worker: Worker, words: list[int]) -> list[float]:
    """Since when the task of each lane runs at most: since its batch began, since its lane stands as it does, or since
    the last look at which it stood otherwise.
    """
    seen = worker.observation
    looked = () if seen is None else standing(seen.standing, words, seen.seen_at).lanes
    dates = [max(lane.busy_since_ns / 1e9, lane.attempt_since_ns / 1e9) for lane in lanes_in(words)]
    return [max(date, seen_s or 0.0) for date, seen_s in zip_longest(dates, looked, fillvalue=0.0)]


def _flags(workers: Collection[Worker]) -> list[Flag]:
    """What is away for any of those who run, by the earliest of their reports."""
    reports = sorted((flag for worker in workers for flag in worker.away.values()), key=lambda flag: -flag.since)
    return sorted({flag.away: flag for flag in reports}.values(), key=lambda flag: flag.away)
