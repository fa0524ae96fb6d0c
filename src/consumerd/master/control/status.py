"""The status document: what `consumerd status` shows, and whether it is healthy. Runs in the master.

Counts are read from the boards when somebody asks. Times are seconds: `since_s` ago, `at` on the wall clock. A worker
whose process is dead is `ended` until its zygote tells of it, which one that is stopped or busy does late.
"""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterable, Mapping
from dataclasses import asdict
from types import MappingProxyType

from consumerd import clock
from consumerd.master.control.overrides import Paused
from consumerd.master.control.running_task import running_tasks
from consumerd.master.duties.autoscaler import scaling_document, shards_of
from consumerd.master.pools.pools import Pools
from consumerd.master.pools.processes import ParkedCount, Processes, Worker
from consumerd.master.rules.history import REFUSALS_THAT_TELL
from consumerd.master.rules.observed import ObservedPool, Zygote
from consumerd.master.rules.restart import is_proven
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import LOOPING, PoolState, SlotState, ZygoteState
from consumerd.version import __version__
from consumerd.wire.board import BoardFlag, Lane, Reading
from consumerd.wire.standing import standing

LONG_IMPORT_S = 30.0
"""An import that has taken so long may never end."""

SLOW_START_S = 15.0
"""A worker that has been starting for so long is worth a word."""

DEATHS_THAT_TELL = 2
"""So many unproven deaths in a row of a slot, or a refusal of its source, tell of the next as well."""

STARVED, DESTINATION = "starved", "destination"
_FLAGS = {BoardFlag.STORE_AWAY: "store", BoardFlag.SOURCE_AWAY: "source", BoardFlag.DESTINATION_AWAY: DESTINATION}


def status_document(
    pools: Pools,
    *,
    config: str,
    started_at: float,
    stop_deadline: float | None,
    disabled: Iterable[ConsumerName] = (),
    paused: Mapping[str, Paused] = MappingProxyType({}),
) -> dict[str, object]:
    """Everything that is running, as plain values. disabled: consumers that the configuration does not want to
    run. paused: pools, by `group/name`."""
    now = clock.monotonic()
    documents = [pool_document(pools, name, now) | {"paused": _plain(paused.get(str(name)))} for name in pools]
    problems = [problem for document in documents for problem in _texts(document["problems"])]
    if stop_deadline is not None:
        problems.insert(0, f"the master is stopping, and ends within {max(0.0, stop_deadline - now):.0f} s")
    return {
        "version": __version__,
        "pid": os.getpid(),
        "config": config,
        "started_at": started_at,
        "state": "running" if stop_deadline is None else "stopping",
        "is_healthy": not problems,
        "problems": problems,
        "pools": documents,
        "disabled": [str(name) for name in disabled],
    }


def pool_document(pools: Pools, name: ConsumerName, now: float) -> dict[str, object]:
    """One pool and its workers."""
    pool, processes, entry = pools[name], pools.processes[name], pools.entry(name)
    wanted, target = pools.workers_wanted(name), pools.target_edition(name)
    zygote = pool.zygote(target)
    dead = {number for number, worker in processes.workers.items() if worker.has_ended()}
    running = sum(slot.state in LOOPING for number, slot in pool.slots.items() if number not in dead)
    finished = sum(slot.state is SlotState.FINISHED for slot in pool.slots.values())
    flags = _flags(processes)
    return {
        "name": str(name),
        "class": entry.settings.target,
        "source": processes.source,
        "state": pool.state.value,
        "since_s": round(now - pool.since, 3),
        "edition": target,
        "established": pool.established,
        "rejected": pool.rejected,
        "zygote": _zygote_document(zygote, now),
        "is_paused": pools.is_paused(name),
        "workers_configured": entry.settings.common.model_dump()["workers"],
        "workers_pinned": pools.scaled(name),
        "workers_wanted": wanted,
        "workers_helping": shards_of(pools, name),
        "workers_running": running,
        "workers_stalled": sum(slot.state is SlotState.STALLED for slot in pool.slots.values()),
        "scaling": scaling_document(pools, name, now),
        "workers_finished": finished,
        **asdict(processes.counts()),
        "parked_now": _parked_now(processes.parked_now, now),
        "suspects": len(processes.suspects.deaths),
        "restarts": sum(slot.restarts for slot in pool.slots.values()),
        "lag": [] if processes.lag is None else [list(shard) for shard in processes.lag.shards],
        "lag_age_s": None if processes.lag is None else round(now - processes.lag.heard_at, 3),
        "later": None if processes.lag is None else processes.lag.later,
        "flags": flags,
        "reason": pool.reason,
        "traceback": pool.traceback,
        "last_error": None if processes.last_error is None else asdict(processes.last_error),
        "problems": _problems(name, pools, running + finished, flags, now=now),
        "workers": [
            _worker_document(name, number, pools, now)
            for number, slot in sorted(pool.slots.items())
            if number < wanted or slot.is_occupied
        ],
    }


def _parked_now(parked: ParkedCount | None, now: float) -> dict[str, object] | None:
    """What is parked, unlike `parked`, which counts how often something was since the start."""
    if parked is None:
        return None
    return {"waiting": parked.waiting, "dead": parked.dead, "age_s": round(now - parked.heard_at, 3)}


def _zygote_document(zygote: Zygote, now: float) -> dict[str, object]:
    return {"state": zygote.state.value, "since_s": round(now - zygote.since, 3), "pid": zygote.pid}


def _worker_document(name: ConsumerName, number: int, pools: Pools, now: float) -> dict[str, object]:
    slot, processes = pools[name].slots[number], pools.processes[name]
    worker, last_end = processes.workers.get(number), processes.last_ends.get(number)
    is_stalled = slot.state is SlotState.STALLED
    document: dict[str, object] = {
        "slot": number,
        "state": "ended" if worker is not None and worker.has_ended() else slot.state.value,
        "since_s": round(now - slot.since, 3),
        "pid": slot.pid,
        "generation": slot.generation,
        "edition": slot.edition,
        "restarts": slot.restarts,
        "is_worn": slot.is_worn,
        "refused": slot.refused,
        "is_refused": slot.refusals >= REFUSALS_THAT_TELL,
        "starts_in_s": round(max(0.0, slot.due_at - now), 3) if slot.state is SlotState.BACKING_OFF else None,
        "stuck": worker.stuck.told(now) if worker is not None and worker.stuck and is_stalled else None,
        "last_end": None if last_end is None else last_end.document(),
    }
    reading = None if worker is None else worker.reading()
    if reading is not None:
        assert worker is not None
        tasks, lane = running_tasks(name, number, reading), reading.lanes[0]
        document["task"] = str(tasks[0]) if tasks else None
        busy_s = round(now - _since_s(worker, reading, lane), 3) if lane.busy_since_ns else None
        document |= {"handled": reading.handled, "failed": reading.failed, "parked": reading.parked}
        document |= {"unsettled": reading.unsettled, "busy_s": busy_s, "shard": lane.shard, "offset": lane.cursor}
    if worker is not None:
        document["memory_bytes"] = worker.memory_bytes
        document["flags"] = [away if away == STARVED else f"{away}_away" for away in _away(worker, reading)]
    return document


def _since_s(worker: Worker, reading: Reading, lane: Lane) -> float:
    """Since when the task of a lane runs at most: since its batch began, its board stands as it does, or the last look,
    at which it stood otherwise.
    """
    sight, looked_s = worker.sight, 0.0
    if sight is not None:
        is_same = standing(sight.standing, reading, 0.0).mark == sight.standing.mark
        looked_s = sight.standing.since_s if is_same else sight.seen_at
    return max(lane.busy_since_ns / 1e9, lane.attempt_since_ns / 1e9, looked_s)


def _flags(processes: Processes) -> list[dict[str, object]]:
    """What is away for any of those who run; since when and why, by the earliest of their reports."""
    workers = processes.workers.values()
    seen = {away for worker in workers for away in _away(worker, worker.reading())}
    return [{"away": away, **_earliest(workers, away)} for away in sorted(seen)]


def _away(worker: Worker, reading: Reading | None) -> list[str]:
    """What is away for one worker. Its board and its reports both count: each alone can say it, or say it first."""
    flags = BoardFlag(0) if reading is None else reading.flags
    return sorted({away for flag, away in _FLAGS.items() if flag in flags} | worker.away.keys())


def _earliest(workers: Iterable[Worker], away: str) -> dict[str, object]:
    reports = [worker.away[away] for worker in workers if away in worker.away]
    if not reports:
        return {"since": None, "error": ""}
    return asdict(min(reports, key=lambda report: report.since))


def _paused(name: ConsumerName, pools: Pools) -> list[str]:
    """A pause is somebody's wish, until what waits grows behind it."""
    processes = pools.processes[name]
    before, lag = processes.lag_at_pause, processes.lag
    if not pools.is_paused(name) or before is None or lag is None or lag.tasks <= before:
        return []
    return [f"{name} is paused, and {lag.tasks} tasks wait, {before} when it was: consumerd resume {name}"]


def _unproven(name: ConsumerName, pools: Pools, now: float) -> list[str]:
    """Workers that run and have shown nothing: those before them have not either, or their source does not answer. The
    first of them.
    """
    for number, slot in sorted(pools[name].slots.items()):
        worker = pools.processes[name].workers.get(number)
        if slot.state is not SlotState.RUNNING or worker is None or worker.ready_at is None:
            continue
        loop_s, reading = now - worker.ready_at, worker.reading()
        if is_proven(loop_s, reading):
            continue
        last = pools.processes[name].last_ends.get(number)
        if slot.failures >= DEATHS_THAT_TELL and last is not None:
            return [f"{name}: worker {number} dies before it can do anything, the last time {last.how}"]
        if loop_s >= SLOW_START_S and (reading is None or not reading.has_answered):
            return [f"{name}: the source has not answered worker {number} for {loop_s:.0f} s"]
    return []


def _problems(name: ConsumerName, pools: Pools, up: int, flags: list[dict[str, object]], *, now: float) -> list[str]:
    """Why a pool is not healthy, one sentence each."""
    pool, wanted = pools[name], pools.workers_wanted(name)
    if pool.state is PoolState.FAILED:
        return [f"{name} has failed: {_first_line(pool.reason)}"]
    long_import = _long_import(name, pool.zygote(pools.target_edition(name)), now)
    refused = _refused(name, pool)
    if pool.state is not PoolState.UP:
        return long_import or refused or [f"{name} is {pool.state.value}, for {now - pool.since:.0f} s"]
    problems = [*long_import, *refused, *(_absence(name, flag) for flag in flags)]
    readings = (worker.reading() for worker in pools.processes[name].workers.values())
    if any(reading is not None and BoardFlag.UNSTORABLE in reading.flags for reading in readings):
        problems.append(f"{name}: a task cannot be parked, and stays unfinished: see consumerd events")
    if pool.rejected > pool.established and pool.reason:
        problems.append(f"{name}: its last change did not hold up and was taken back: {_first_line(pool.reason)}")
    problems += _paused(name, pools)
    problems += _unproven(name, pools, now)
    if failures := pools.processes[name].failures_in_a_row:
        problems.append(f"{name}: its last {failures} attempts have all failed: see consumerd parked list")
    problems += _stuck(name, pool, pools.processes[name], now)
    lag = pools.processes[name].lag
    problems += [f"{name}: {complaint}" for complaint in (() if lag is None else lag.complaints)]
    if up < wanted:
        problems.append(f"{name}: {up} of {wanted} workers are up{_slow_start(pool, now)}")
    return problems


def _stuck(name: ConsumerName, pool: ObservedPool, processes: Processes, now: float) -> list[str]:
    """Workers that make no progress, and shards of which nothing comes: a sentence each."""
    workers = [(number, worker) for number, worker in processes.workers.items() if worker.stuck is not None]
    stalled = [pair for pair in sorted(workers) if pool.slots[pair[0]].state is SlotState.STALLED]
    problems = []
    if stalled:
        number, worker = stalled[0]
        told = f"worker {number} {'' if worker.stuck is None else worker.stuck.told(now)}"
        told = told if len(stalled) == 1 else f"{len(stalled)} workers are stalled; {told}"
        problems.append(f"{name}: {told}")
    if processes.stalled_shards:
        shards = ", ".join(map(str, sorted(processes.stalled_shards)))
        problems.append(f"{name}: tasks wait, and none comes to any worker, in shard {shards}")
    return problems


def _slow_start(pool: ObservedPool, now: float) -> str:
    """What to look at, where a worker does not come to its loop."""
    since = {number: slot.since for number, slot in pool.slots.items() if slot.state is SlotState.STARTING}
    number = min(since, key=lambda number: since[number], default=None)
    if number is None or now - since[number] < SLOW_START_S:
        return ""
    return f"; worker {number} has been starting for {now - since[number]:.0f} s: see what its pre_consume waits for"


def _refused(name: ConsumerName, pool: ObservedPool) -> list[str]:
    """What the system refuses the pool: the first of what it waits for."""
    zygotes = (f"{name}: no process can be executed: {each.refused}" for each in pool.zygotes.values() if each.refused)
    refused = {number: slot.refused for number, slot in pool.slots.items() if slot.refused}
    workers = (f"{name}: worker {number} cannot be started: {why}" for number, why in sorted(refused.items()))
    return list(itertools.islice(itertools.chain(zygotes, workers), 1))


def _absence(name: ConsumerName, flag: Mapping[str, object]) -> str:
    """What is away, with the reason that was told first."""
    if flag["away"] == STARVED:
        return f"{name}: it handles nothing, for {flag['error']}"
    why = f": {flag['error']}" if flag["error"] else ""
    if flag["away"] == DESTINATION:
        return f"{name}: what its tasks need does not answer, so it tries one at a time, and gives none up{why}"
    return f"{name}: its {flag['away']} is away{why}"


def _first_line(reason: str) -> str:
    return reason.splitlines()[0] if reason else "no reason is known"


def _long_import(name: ConsumerName, zygote: Zygote, now: float) -> list[str]:
    """The import of a zygote that does not end. Nothing kills it; workers that run already run on."""
    import_s = now - zygote.since
    if zygote.state is not ZygoteState.LOADING or import_s < LONG_IMPORT_S:
        return []
    problem = f"{name}: the import of its module has not ended for {import_s:.0f} s, and no worker of it can start"
    return [f"{problem}: find out what process {zygote.pid} waits for"]


def _plain(paused: Paused | None) -> dict[str, object] | None:
    return None if paused is None else asdict(paused)


def _texts(value: object) -> list[str]:
    assert isinstance(value, list)
    return value
