"""What the verbs act with: the master, as `consumerd.verbs` sees it. Runs in the master."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass

from consumerd import clock
from consumerd.errors import UsageError
from consumerd.events.facts import Fact
from consumerd.master.control import overrides
from consumerd.master.control.broadcast import Broadcast
from consumerd.master.control.configuration import Configuration
from consumerd.master.control.happened import Happened
from consumerd.master.control.limits import Limits
from consumerd.master.control.metrics import pool_metrics
from consumerd.master.control.reloader import Reloader
from consumerd.master.control.running_task import RunningTask, find_running_task
from consumerd.master.control.stacks import stacks_of
from consumerd.master.control.status import Extent, pool_status
from consumerd.master.duties.autoscaler import shards_of
from consumerd.master.duties.watchdog import condemn
from consumerd.master.helper import StoreHelper
from consumerd.master.kept_child import KeptChild
from consumerd.master.pools.pool import Pool
from consumerd.master.pools.pools import Pools
from consumerd.master.pools.stopping import told_waited_for
from consumerd.master.rules.observed import Condemned
from consumerd.master.supervisor import Supervisor
from consumerd.model.limits import SECOND_NS
from consumerd.model.slots import LOOPING
from consumerd.version import __version__
from consumerd.wire.destination_rows import counts_by_consumer
from consumerd.wire.messages import CancelTask, Wake
from consumerd.wire.metrics import Metrics
from consumerd.wire.shared_table import SharedTable
from consumerd.wire.status import Paused, Status

SOFT_S = 5.0
"""So long an attempt that an operator has cancelled may take to end, before its worker is killed for it."""


@dataclass(frozen=True)
class Controls:
    """The master's parts, and what several of them do together. A wrong name or state is a UsageError.

    emit: tells the log, and whoever follows.
    wake: makes the supervisor take a turn.
    page: what answers HTTP.
    config: what is run; a file by its whole path, so that it is found from any directory.
    started_at: wall time.
    """

    pools: Pools
    emit: Callable[[Fact], None]
    wake: Callable[[], None]
    supervisor: Supervisor
    helper: StoreHelper
    configuration: Configuration
    reloader: Reloader
    broadcast: Broadcast
    limits: Limits
    happened: Happened
    page: KeptChild
    config: str
    started_at: float

    def status(self, *targets: str, tasks: bool = False, recent: bool = False, workers_of: str | None = None) -> Status:
        """All that runs, or what these targets mean. The others say how much of each worker is told, as in `Extent`."""
        extent = Extent(tasks, recent, workers_of)
        now, stop_deadline = clock.monotonic(), self.supervisor.stop_deadline
        paused = self.configuration.paused
        found = [
            pool_status(pool, now, paused=_told(paused.get(pool.consumer)), extent=extent)
            for pool in self.meant(*targets)
        ]
        problems = [problem for pool in found for problem in pool.problems]
        if self.page.trouble:
            problems.insert(0, f"the page does not run: {self.page.trouble}")
        if stop_deadline is not None:
            who = told_waited_for(self.pools)
            within = f"the master is stopping, and ends within {max(0.0, stop_deadline - now):.0f} s"
            problems.insert(0, f"{within}, and waits for {who}" if who else within)
        return Status(
            version=__version__,
            pid=os.getpid(),
            config=self.config,
            started_at=self.started_at,
            state="running" if stop_deadline is None else "stopping",
            is_healthy=not problems,
            problems=problems,
            pools=found,
            disabled=list(map(str, self.configuration.disabled)),
            limits=self.limits.shown(),
        )

    def metrics(self) -> Metrics:
        """All numbers."""
        found = counts_by_consumer(self.table, int(clock.monotonic() * SECOND_NS))
        pools = [pool_metrics(pool, self.happened, found.get(pool.consumer)) for pool in self.pools]
        return Metrics(self.status(), pools, dict(self.happened.events[""]))

    @property
    def table(self) -> SharedTable:
        """What the workers know together."""
        return self.pools.tools.holders.table

    def consumers(self) -> list[str]:
        """The full names of all that are configured."""
        return [*(pool.consumer for pool in self.pools), *map(str, self.configuration.disabled)]

    def meant(self, *targets: str) -> list[Pool]:
        """The pools that one of these targets means; all, where there are none. UsageError where one means nobody."""
        for target in targets:
            if not any(pool.name.matches(target) for pool in self.pools):
                raise UsageError(f"there is no consumer {target!r}: the master runs {', '.join(self.consumers())}")
        return [pool for pool in self.pools if not targets or any(map(pool.name.matches, targets))]

    def helping(self, pool: Pool) -> int | None:
        """For how many of a pool's workers its source has something to do, where that is fewer than are wanted."""
        shards = shards_of(pool)
        return shards if shards and shards < pool.wanted.workers else None

    async def stacks(self, worker: str) -> str:
        """What the threads of a worker do now. UsageError; ConsumerdError where it does not say."""
        return await stacks_of(self.pools, worker)

    def running_task(self, task: str) -> RunningTask:
        """The task of this name, which a worker runs now. UsageError where none does."""
        return find_running_task(self.pools, task)

    def cancel(self, task: RunningTask, reason: str, *, does_park: bool) -> None:
        """Have a worker end its attempt at a task; where it has not done so in a while, replace the worker.

        does_park: the worker parks the task as dead, or whichever meets it next.
        """
        now, pool, lane = clock.monotonic(), self.pools[task.pool], task.lane
        blame = "was cancelled by an operator, and did not end"
        condemned = Condemned(reason, now, now + SOFT_S, lane, blame=blame, does_park=does_park, is_asked=True)
        condemn(pool, task.slot, condemned, now)
        pool.send(task.slot, CancelTask(lane.number, lane.busy_since_ns, task.offset, does_park))

    def wake_workers(self, target: str | None = None) -> int:
        """Have running workers look at the parking store; how many."""
        meant = [pool for pool in self.pools if target is None or pool.name.matches(target)]
        woken = [(pool, slot) for pool in meant for slot in pool.workers if pool.observed.slots[slot].state in LOOPING]
        for pool, slot in woken:
            pool.send(slot, Wake())
        return len(woken)


def _told(paused: overrides.Paused | None) -> Paused | None:
    return None if paused is None else Paused(at=paused.at, by=paused.by)
