"""The keeper thread: the I/O that must go on while a handler runs. Runs in workers and the foreground.

Once a second it lets the source poll and renew, and renews the claims on parked tasks; every ten seconds the keeper
of the pool's lowest slot measures the lag.
"""

from __future__ import annotations

import threading
from collections.abc import Callable

from consumerd.clock import monotonic
from consumerd.errors import ConsumerdError
from consumerd.events.facts import Fact, Level
from consumerd.model.failure import describe
from consumerd.sources.contract import ShardLag, Source
from consumerd.worker.due import DueTasks

BEAT_S = 1.0
LAG_INTERVAL_S = 10.0


class Keeper:
    """The thread. `report_lag` is None where another worker measures it."""

    def __init__(
        self,
        source: Source,
        due: DueTasks,
        *,
        report_lag: Callable[[tuple[ShardLag, ...]], None] | None,
        emit: Callable[[Fact], None],
        redact: Callable[[str], str],
    ) -> None:
        self._source = source
        self._due = due
        self._report_lag = report_lag
        self._emit = emit
        self._redact = redact
        self._closing = threading.Event()
        self._next_lag = 0.0
        self._thread = threading.Thread(target=self._run, name="keeper", daemon=True)

    def start(self) -> None:
        self._thread.start()

    def close(self, timeout_s: float) -> None:
        """End the thread; it may be within a call, which has a deadline of its own."""
        self._closing.set()
        self._thread.join(max(0.0, timeout_s))

    def _run(self) -> None:
        while not self._closing.wait(BEAT_S):
            for duty in (self._source.tick, self._due.renew, self._measure_lag):
                try:
                    duty()
                except ConsumerdError as error:  # away or refused: the loop meets the same and acts
                    self._emit(Fact("keeper_hindered", Level.DEBUG, {"error": str(error)}))
                except Exception as error:  # noqa: BLE001 - the top of a thread, around any source; it must go on
                    failure = describe(error, self._redact)
                    fields: dict[str, object] = {"error": failure.error, "traceback": failure.traceback}
                    self._emit(Fact("keeper_failed", Level.ERROR, fields))

    def _measure_lag(self) -> None:
        now = monotonic()
        if self._report_lag is not None and now >= self._next_lag:
            self._next_lag = now + LAG_INTERVAL_S
            self._report_lag(self._source.lag())
