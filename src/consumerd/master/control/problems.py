"""Why a pool is not healthy, a sentence each: what `consumerd status` says below its table. Runs in the master."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import islice

from consumerd import clock
from consumerd.master.pools.pool import Pool
from consumerd.master.pools.worker import how_ended
from consumerd.master.rules.restart import is_proven
from consumerd.model.slots import PoolState, SlotState, ZygoteState
from consumerd.wire.board import BoardFlag
from consumerd.wire.status import Flag

LONG_IMPORT_S = 30.0
"""An import that has taken so long may never end."""

SLOW_START_S = 15.0
"""A worker that has been starting for so long is worth a word."""

DEATHS_THAT_TELL = 2
"""So many unproven deaths in a row of a slot, or a refusal of its source, tell of the next as well."""


@dataclass(frozen=True)
class Diagnosis:
    """What is wrong with one pool now. flags: what is away; up: how many of its workers run or have finished."""

    pool: Pool
    flags: Sequence[Flag]
    up: int
    now: float

    def problems(self) -> list[str]:
        """Every problem, the gravest first; one that explains the others stands alone."""
        pool = self.pool.observed
        if pool.state is PoolState.FAILED:
            return [f"{self.name} has failed: {_first_line(pool.reason)}"]
        if pool.state is not PoolState.UP:
            usual = f"{self.name} is {pool.state.value}, for {self.now - pool.since:.0f} s"
            return [*islice(self._of_the_start(), 1)] or [usual]
        return [*self._of_the_start(), *self._of_tasks(), *self._of_workers()]

    @property
    def name(self) -> str:
        return self.pool.consumer

    def _of_the_start(self) -> Iterator[str]:
        """An import that does not end, which nothing kills; what the system refuses, the first of it."""
        pool = self.pool.observed
        zygote = pool.zygote(self.pool.target_edition)
        import_s = self.now - zygote.since
        if zygote.state is ZygoteState.LOADING and import_s >= LONG_IMPORT_S:
            problem = f"the import of its module has not ended for {import_s:.0f} s, and no worker of it can start"
            yield f"{self.name}: {problem}: find out what process {zygote.pid} waits for"
        refused = [f"no process can be executed: {each.refused}" for each in pool.zygotes.values() if each.refused]
        slots = [(number, slot.refused) for number, slot in sorted(pool.slots.items()) if slot.refused]
        refused += [f"worker {number} cannot be started: {why}" for number, why in slots]
        yield from (f"{self.name}: {sentence}" for sentence in refused[:1])

    def _of_tasks(self) -> Iterator[str]:
        """What keeps tasks from being done: something away, a store that refuses one, a change that was taken back."""
        pool, readings = self.pool.observed, [worker.reading() for worker in self.pool.workers.values()]
        yield from (f"{self.name}: {_absence(flag)}" for flag in self.flags)
        if any(reading is not None and BoardFlag.UNSTORABLE in reading.flags for reading in readings):
            yield f"{self.name}: a task cannot be parked, and stays unfinished: see consumerd events"
        if pool.rejected > pool.established and pool.reason:
            yield f"{self.name}: its last change did not hold up and was taken back: {_first_line(pool.reason)}"
        before, lag = self.pool.lag_at_pause, self.pool.lag
        if self.pool.is_paused and before is not None and lag is not None and lag.tasks > before:
            told = f"{lag.tasks} tasks wait, {before} when it was: consumerd resume {self.name}"
            yield f"{self.name} is paused, and {told}"

    def _of_workers(self) -> Iterator[str]:
        """Workers that die, wait, fail or hang; shards of which nothing comes; too few workers."""
        pool, wanted = self.pool, self.pool.wanted.workers
        yield from islice(self._unproven(), 1)
        if failures := pool.tally.failures_in_a_row(pool.workers.values()):
            yield f"{self.name}: its last {failures} attempts have all failed: see consumerd parked list"
        yield from self._stalled()
        if pool.stalled_shards:
            shards = ", ".join(map(str, sorted(pool.stalled_shards)))
            yield f"{self.name}: tasks wait, and none comes to any worker, in shard {shards}"
        yield from (f"{self.name}: {complaint}" for complaint in (pool.lag.complaints if pool.lag else ()))
        if self.up < wanted:
            yield f"{self.name}: {self.up} of {wanted} workers are up{self._slow_start()}"

    def _unproven(self) -> Iterator[str]:
        """Workers that run and have shown nothing: those before them have not either, or their source is silent."""
        for number, slot in sorted(self.pool.observed.slots.items()):
            worker, last = self.pool.workers.get(number), self.pool.last_ends.get(number)
            if slot.state is not SlotState.RUNNING or worker is None or worker.ready_at is None:
                continue
            loop_s, reading = self.now - worker.ready_at, worker.reading()
            if is_proven(loop_s, reading):
                continue
            if slot.failures >= DEATHS_THAT_TELL and last is not None:
                yield f"{self.name}: worker {number} dies before it can do anything, the last time {how_ended(last)}"
            elif loop_s >= SLOW_START_S and (reading is None or not reading.has_answered):
                yield f"{self.name}: the source has not answered worker {number} for {loop_s:.0f} s"

    def _stalled(self) -> Iterator[str]:
        """Workers that make no progress: the first, and how many there are."""
        slots = self.pool.observed.slots
        stuck = [
            (number, worker.stuck)
            for number, worker in sorted(self.pool.workers.items())
            if worker.stuck is not None and slots[number].state is SlotState.STALLED
        ]
        if stuck:
            (number, why), others = stuck[0], f"{len(stuck)} workers are stalled; " if len(stuck) > 1 else ""
            yield f"{self.name}: {others}worker {number} {why.told(self.now)}"

    def _slow_start(self) -> str:
        """What to look at, where a worker does not come to its loop."""
        slots = self.pool.observed.slots.items()
        starting = [(slot.since, number) for number, slot in slots if slot.state is SlotState.STARTING]
        since, number = min(starting, default=(self.now, None))
        if self.now - since < SLOW_START_S:
            return ""
        return f"; worker {number} has been starting for {self.now - since:.0f} s: see what its pre_consume waits for"


def _absence(flag: Flag) -> str:
    """What is away, since when, with the reason that was told first."""
    since, why = f"since {clock.moment(flag.since)}", f": {flag.error}" if flag.error else ""
    if flag.away == "starved":
        return f"it has handled nothing {since}, for {flag.error}"
    if flag.away == "destination":
        return f"what its tasks need has not answered {since}, so it tries one at a time, and gives none up{why}"
    return f"its {flag.away} has been away {since}{why}"


def _first_line(reason: str) -> str:
    return reason.splitlines()[0] if reason else "no reason is known"
