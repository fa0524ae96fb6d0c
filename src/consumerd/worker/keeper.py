"""The keeper thread: the I/O that must go on while a handler runs. Runs in workers and the foreground.

Once a second it lets the source poll and renew, and renews the claims on parked tasks; every ten seconds, more often
where the pool is scaled by it in a shorter time, the keeper of one worker of the pool measures the lag. While an
attempt is past the task's timeout it neither polls nor renews: a handler that hangs must not hold its partition, or its
claims, for ever.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from consumerd import events
from consumerd.clock import Clock, monotonic
from consumerd.config.common_keys import WorkerRange
from consumerd.errors import ConsumerdError
from consumerd.events.facts import Fact
from consumerd.model.failure import describe
from consumerd.sources.contract import Leased, Measured, ShardLag, Source
from consumerd.wire.board import read_words
from consumerd.wire.standing import Standing, standing
from consumerd.worker.orders import LagDuty
from consumerd.worker.tasks import threads
from consumerd.worker.tasks.due import DueTasks

BEAT_S = 1.0
LAG_INTERVAL_S = 10.0


class OwnWatch:
    """Dates the worker's own running attempt, as the master does from without."""

    def __init__(self, words: memoryview, task_timeout_s: float, clock: Clock) -> None:
        self._words = words
        self._task_timeout_s = task_timeout_s
        self._clock = clock
        self._standing: Standing | None = None

    def is_overdue(self) -> bool:
        """Whether the attempt takes longer than it may; asked once a beat."""
        now = self._clock.monotonic()
        self._standing = standing(self._standing, read_words(self._words), now)
        return self._standing.is_busy and now - self._standing.since_s >= self._task_timeout_s


LOOKS_A_TARGET = 4
"""So often the lag is measured within the time in which a backlog is to be worked off."""


def lag_interval_s(scaling: WorkerRange | None) -> float:
    """How often the lag is measured."""
    if scaling is None:
        return LAG_INTERVAL_S
    return min(LAG_INTERVAL_S, max(BEAT_S, scaling.target_seconds / LOOKS_A_TARGET))


class Keeper:
    """The thread. report_lag, report_parked: are told the lag, and how many tasks are waiting and dead, while `duty`
    is on.
    """

    def __init__(
        self,
        source: Source,
        due: DueTasks,
        *,
        duty: LagDuty,
        report_lag: Callable[[tuple[ShardLag, ...]], None],
        report_parked: Callable[[int, int], None] = lambda waiting, dead: None,
        is_open: Callable[[], bool],
        is_overdue: Callable[[], bool],
        lag_interval_s: float = LAG_INTERVAL_S,
        emit: Callable[[Fact], None],
        redact: Callable[[str], str],
    ) -> None:
        self._source = source
        self._due = due
        self._duty = duty
        self._report_lag = report_lag
        self._report_parked = report_parked
        self._is_open = is_open
        self._is_overdue = is_overdue
        self._has_let_go = False
        self._lag_interval_s = lag_interval_s
        self._emit = emit
        self._redact = redact
        self._closing = threading.Event()
        self._next_lag = 0.0
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        threads.start(self._thread)

    def close(self, timeout_s: float) -> None:
        """End the thread; it may be within a call, which has a deadline of its own."""
        self._closing.set()
        self._thread.join(max(0.0, timeout_s))

    def _run(self) -> None:
        while not self._closing.wait(BEAT_S):
            for duty in (self.hold, self._measure_lag, self._count_parked):
                try:
                    duty()
                except ConsumerdError as error:  # away or refused: the loop meets the same and acts
                    self._emit(events.keeper_hindered(error=str(error)))
                except Exception as error:  # noqa: BLE001 - the top of a thread, around any source; it must go on
                    failure = describe(error, self._redact)
                    self._emit(events.keeper_failed(error=failure.error, traceback=failure.traceback))

    def hold(self) -> None:
        """Keep what the worker has, its partitions and its claims, while it may have them. Once a beat."""
        if not self._is_open():
            return
        is_overdue = self._is_overdue()
        if is_overdue and not self._has_let_go:
            self._emit(events.keeper_let_go(reason="the running attempt is past task_timeout"))
        self._has_let_go = is_overdue
        if not is_overdue:
            try:
                if isinstance(self._source, Leased):
                    self._source.tick()
            finally:
                self._due.renew()

    def _measure_lag(self) -> None:
        now = monotonic()
        if self._duty.is_on and self._is_open() and now >= self._next_lag:
            self._next_lag = now + self._lag_interval_s
            self._report_lag(self._source.lag() if isinstance(self._source, Measured) else ())

    def _count_parked(self) -> None:
        if self._duty.is_on and self._is_open() and (counted := self._due.parked_count()) is not None:
            self._report_parked(*counted)
