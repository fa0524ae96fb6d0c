"""The status document: what `consumerd status` shows, and whether it is healthy. Runs in the master.

Counts are read from the boards when somebody asks. Times are seconds: `since_s` ago, `at` on the wall clock. A worker
whose process is dead is `ended` until its zygote tells of it, which one that is stopped or busy does late.
"""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import asdict

from consumerd import clock
from consumerd.master.observed import Pool, Zygote
from consumerd.master.pools import Pools
from consumerd.master.processes import Processes, Worker
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import PoolState, SlotState, ZygoteState
from consumerd.version import __version__
from consumerd.wire.board import BoardFlag, Reading

LONG_IMPORT_S = 30.0
"""An import that has taken so long may never end."""

_FLAGS = {BoardFlag.STORE_AWAY: "store", BoardFlag.SOURCE_AWAY: "source"}


def status_document(pools: Pools, *, config: str, started_at: float, stop_deadline: float | None) -> dict[str, object]:
    """Everything that is running, as plain values."""
    now = clock.monotonic()
    documents = [pool_document(pools, name, now) for name in pools]
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
    }


def pool_document(pools: Pools, name: ConsumerName, now: float) -> dict[str, object]:
    """One pool and its workers."""
    pool, processes, entry = pools[name], pools.processes[name], pools.entry(name)
    wanted, target = pools.workers_wanted(name), pools.target_edition(name)
    zygote = pool.zygote(target)
    dead = {number for number, worker in processes.workers.items() if worker.has_ended()}
    running = sum(slot.state is SlotState.RUNNING for number, slot in pool.slots.items() if number not in dead)
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
        "zygote": _zygote_document(zygote, now),
        "is_paused": pools.is_paused(name),
        "workers_configured": entry.settings.common.workers,
        "workers_pinned": pools.scaled(name),
        "workers_wanted": wanted,
        "workers_running": running,
        "workers_finished": finished,
        **asdict(processes.counts()),
        "restarts": sum(slot.restarts for slot in pool.slots.values()),
        "lag": [] if processes.lag is None else [list(shard) for shard in processes.lag.shards],
        "lag_age_s": None if processes.lag is None else round(now - processes.lag.heard_at, 3),
        "flags": flags,
        "reason": pool.reason,
        "traceback": pool.traceback,
        "last_error": None if processes.last_error is None else asdict(processes.last_error),
        "problems": _problems(name, pools, running + finished, flags, now=now),
        "workers": [
            _worker_document(pool, number, processes.workers.get(number), now)
            for number, slot in sorted(pool.slots.items())
            if number < wanted or slot.is_occupied
        ],
    }


def _zygote_document(zygote: Zygote, now: float) -> dict[str, object]:
    return {"state": zygote.state.value, "since_s": round(now - zygote.since, 3), "pid": zygote.pid}


def _worker_document(pool: Pool, number: int, worker: Worker | None, now: float) -> dict[str, object]:
    slot = pool.slots[number]
    document: dict[str, object] = {
        "slot": number,
        "state": "ended" if worker is not None and worker.has_ended() else slot.state.value,
        "since_s": round(now - slot.since, 3),
        "pid": slot.pid,
        "generation": slot.generation,
        "edition": slot.edition,
        "restarts": slot.restarts,
        "starts_in_s": round(max(0.0, slot.due_at - now), 3) if slot.state is SlotState.BACKING_OFF else None,
    }
    reading = None if worker is None else worker.reading()
    if reading is not None:
        busy_s = round(now - reading.busy_since_ns / 1e9, 3) if reading.busy_since_ns else None
        document |= {"handled": reading.handled, "failed": reading.failed, "parked": reading.parked}
        document |= {"unsettled": reading.unsettled, "busy_s": busy_s, "shard": reading.shard, "offset": reading.cursor}
    if worker is not None:
        document["flags"] = [f"{away}_away" for away in _away(worker, reading)]
    return document


def _flags(processes: Processes) -> list[dict[str, object]]:
    """What is away for any of those who run; since when and why, by the earliest of their reports."""
    workers = processes.workers.values()
    seen = {away for worker in workers for away in _away(worker, worker.reading())}
    return [{"away": away, **_earliest(workers, away)} for away in _FLAGS.values() if away in seen]


def _away(worker: Worker, reading: Reading | None) -> list[str]:
    """What is away for one worker. Its board and its reports both count: each alone can say it, or say it first."""
    flags = BoardFlag(0) if reading is None else reading.flags
    return [away for flag, away in _FLAGS.items() if flag in flags or away in worker.away]


def _earliest(workers: Iterable[Worker], away: str) -> dict[str, object]:
    reports = [worker.away[away] for worker in workers if away in worker.away]
    if not reports:
        return {"since": None, "error": ""}
    return asdict(min(reports, key=lambda report: report.since))


def _problems(name: ConsumerName, pools: Pools, up: int, flags: list[dict[str, object]], *, now: float) -> list[str]:
    """Why a pool is not healthy, one sentence each."""
    pool, wanted = pools[name], pools.workers_wanted(name)
    if pool.state is PoolState.FAILED:
        return [f"{name} has failed: {_first_line(pool.reason)}"]
    long_import = _long_import(name, pool.zygote(pools.target_edition(name)), now)
    if pool.state is not PoolState.UP:
        return long_import or [f"{name} is {pool.state.value}, for {now - pool.since:.0f} s"]
    problems = [*long_import, *(f"{name}: its {flag['away']} is away" for flag in flags)]
    if pool.rejected > pool.established:
        problems.append(f"{name}: its last change did not hold up and was taken back: {_first_line(pool.reason)}")
    if up < wanted:
        problems.append(f"{name}: {up} of {wanted} workers are up")
    return problems


def _first_line(reason: str) -> str:
    return reason.splitlines()[0] if reason else "no reason is known"


def _long_import(name: ConsumerName, zygote: Zygote, now: float) -> list[str]:
    """The import of a zygote that does not end. Nothing kills it; workers that run already run on."""
    import_s = now - zygote.since
    if zygote.state is not ZygoteState.LOADING or import_s < LONG_IMPORT_S:
        return []
    problem = f"{name}: the import of its module has not ended for {import_s:.0f} s, and no worker of it can start"
    return [f"{problem}: find out what process {zygote.pid} waits for"]


def _texts(value: object) -> list[str]:
    assert isinstance(value, list)
    return value
