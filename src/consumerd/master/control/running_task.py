"""The task that a worker runs now, by the name that `consumerd cancel` takes. Runs in the master.

`group/name#SLOT` is whatever that worker runs, one task at a time; `group/name#SLOT:SHARD:OFFSET` only this task, and
nothing where the worker is on others by now.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

from consumerd.errors import UsageError
from consumerd.master.pools.pools import Pools
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import LOOPING
from consumerd.wire.board import Lane, Reading

_FORM = re.compile(r"(?P<pool>[^#]+)#(?P<slot>\d{1,9})(?::(?P<shard>\d{1,20}):(?P<offset>\d{1,20}))?")
ADVICE = "TASK is group/name#WORKER or group/name#WORKER:SHARD:OFFSET, from what consumerd status --workers shows"


@dataclass(frozen=True, slots=True)
class RunningTask:
    """A worker's task."""

    pool: ConsumerName
    slot: int
    shard: int
    offset: int
    lane: Lane

    def __str__(self) -> str:
        return f"{self.pool}#{self.slot}:{self.shard}:{self.offset}"


def running_tasks(pool: ConsumerName, slot: int, reading: Reading) -> list[RunningTask]:
    """What a board says that its worker runs, the oldest first. Rows of two batches may have the same name."""
    return [
        RunningTask(pool, slot, lane.shard, lane.cursor, lane)
        for lane in sorted(reading.busy, key=lambda lane: lane.attempt_since_ns)
        if lane.shard is not None and lane.cursor is not None
    ]


def find_running_task(pools: Pools, task: str) -> RunningTask:
    """The task of this name. UsageError with one sentence where no worker runs it, or it cannot be cancelled now."""
    match = _FORM.fullmatch(task)
    if match is None:
        raise UsageError(f"{task!r} is no task: {ADVICE}")
    pool = next((pool for pool in pools if pool.consumer == match["pool"]), None)
    if pool is None:
        raise UsageError(f"there is no pool {match['pool']!r}: {ADVICE}")
    number = int(match["slot"])
    slot = pool.observed.slots.get(number)
    if slot is None or slot.state not in LOOPING or slot.pid is None:
        state = "not there" if slot is None else slot.state.value
        raise UsageError(f"worker {number} of {pool.name} is {state}, and runs no task that could be cancelled")
    reading = pool.workers[number].reading()
    running = [] if reading is None else running_tasks(pool.name, number, reading)
    if not running:
        raise UsageError(f"worker {number} of {pool.name} runs no task now")
    meant = [one for one in running if match["shard"] is None or str(one) == task]
    oldest = running[0]
    if len(meant) > 1 and match["shard"] is None:
        raise UsageError(f"worker {number} of {pool.name} runs {len(meant)} tasks: name one, as {oldest}, its oldest")
    if not meant:
        others = "" if len(running) == 1 else f" and {len(running) - 1} others"
        raise UsageError(f"worker {number} of {pool.name} does not run {task} any more: it is on {oldest}{others}")
    return meant[0]
