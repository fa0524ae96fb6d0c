"""The keeper thread: the I/O that must go on while a handler runs. Runs in workers and the foreground.

Once a second it lets the source poll and renew, and renews the claims on parked tasks; every ten seconds, more often
where the pool is scaled by it in a shorter time, the keeper of one worker of the pool measures the lag. While all that
runs is past the task's timeout it neither polls nor renews: a handler that hangs must not hold its partition, or its
claims, for ever.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from consumerd import events
from consumerd.clock import Clock, monotonic
from consumerd.config.keys.worker_range import WorkerRange
from consumerd.errors import ConsumerdError
from consumerd.sources.abilities import Listens, Planned
from consumerd.sources.contract import Leased, Measured, ShardLag, Source
from consumerd.wire.board import look_at
from consumerd.wire.messages import Lag, ParkedNow, Scheduled
from consumerd.wire.standing import Standing, standing
from consumerd.worker.tasks.context import Link, WorkerContext
from consumerd.worker.tasks.due import DueTasks
from consumerd.worker.tasks.threads import BEAT_S, BeatingThread

LAG_INTERVAL_S = 10.0


class OwnWatch:
    """Dates the worker's own running attempts, as the master does from without."""

    def __init__(self, words: memoryview, task_timeout_s: float, clock: Clock) -> None:
        self._words = words
        self._task_timeout_s = task_timeout_s
        self._clock = clock
        self._standing: Standing | None = None

    def is_overdue(self) -> bool:
        """Whether each attempt that runs takes longer than it may; asked once a beat. While others go on, what they
        work on must be kept, and so is what hangs: until the master replaces the worker for it.
        """
        now = self._clock.monotonic()
        self._standing = standing(self._standing, look_at(self._words), now)
        youngest_s = self._standing.youngest_s
        return youngest_s is not None and now - youngest_s >= self._task_timeout_s


LOOKS_A_TARGET = 4
"""So often the lag is measured within the time in which a backlog is to be worked off."""


def lag_interval_s(scaling: WorkerRange | None) -> float:
    """How often the lag is measured."""
    if scaling is None:
        return LAG_INTERVAL_S
    return min(LAG_INTERVAL_S, max(BEAT_S, scaling.target_seconds / LOOKS_A_TARGET))


class Keeper:
    """The thread, with what it does in each beat."""

    def __init__(
        self, context: WorkerContext, source: Source, due: DueTasks, link: Link, *, is_open: Callable[[], bool]
    ) -> None:
        """link: says whether it is this worker that measures, and is told what it finds. is_open: asked of the source.

        Without a master nobody replaces anybody, and no attempt is overdue.
        """
        self._context = context
        self._source = source
        self._due = due
        self._link = link
        self._is_open = is_open
        watch = OwnWatch(context.words, context.common.task_timeout, context.clock)
        self._watch = None if context.member is None else watch
        self._has_let_go = False
        self._lag_interval_s = lag_interval_s(context.common.scaling)
        self._next_lag = 0.0
        duties = (self.hold, self.listen, self.measure_lag, self._tell_schedule, self._count_parked)
        beats = [partial(self._try, duty) for duty in duties]
        thread = BeatingThread("keeper", beats, report=partial(context.report, events.keeper_failed))
        self.start, self.close = thread.start, thread.close

    def _try(self, duty: Callable[[], None]) -> None:
        try:
            duty()
        except ConsumerdError as error:  # away or refused: the loop meets the same and acts
            self._context.emit(events.keeper_hindered(error=str(error)))

    def hold(self) -> None:
        """Keep what the worker has, its partitions and its claims, while it may have them. Once a beat."""
        if not self._is_open():
            return
        is_overdue = self._watch is not None and self._watch.is_overdue()
        if is_overdue and not self._has_let_go:
            reason = "the running attempt is past task_timeout"
            self._context.emit(events.keeper_let_go(reason=reason))
        self._has_let_go = is_overdue
        if not is_overdue:
            try:
                if isinstance(self._source, Leased):
                    self._source.tick()
            finally:
                self._due.renew()

    def listen(self) -> None:
        """Listen for new tasks, while it is this worker's duty. Once a beat."""
        if isinstance(self._source, Listens) and self._is_open():
            self._source.listen(is_wanted=self._link.measures_lag)

    def measure_lag(self) -> None:
        """Measure it, while it is this worker's duty, and tell the master. Once a beat, if it is time."""
        now = monotonic()
        if self._link.measures_lag and self._is_open() and now >= self._next_lag:
            self._next_lag = now + self._lag_interval_s
            lag = self._source.lag() if isinstance(self._source, Measured) else ()
            if lag is None:
                self._next_lag = now
            else:
                self._link.tell(lag_message(lag))

    def _tell_schedule(self) -> None:
        if not (isinstance(self._source, Planned) and self._link.measures_lag and self._is_open()):
            return
        if (schedule := self._source.schedule()) is not None:
            self._link.tell(Scheduled(schedule))

    def _count_parked(self) -> None:
        if self._link.measures_lag and self._is_open() and (counted := self._due.parked_count()) is not None:
            self._link.tell(ParkedNow(*counted))


def lag_message(lag: tuple[ShardLag, ...]) -> Lag:
    """What the master is told of the lag."""
    shards = tuple((shard.shard, shard.tasks, shard.oldest_s, shard.position) for shard in lag)
    complaints = tuple(dict.fromkeys(shard.complaint for shard in lag if shard.complaint))
    blocked = frozenset(shard.shard for shard in lag if shard.is_blocked)
    ahead_s = next((shard.clock_ahead_s for shard in lag if shard.clock_ahead_s is not None), None)
    return Lag(shards, sum(shard.later for shard in lag), complaints, blocked, ahead_s)
