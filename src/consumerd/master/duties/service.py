"""What the service manager is told: that we are ready, reload, stop and live, and one line of how things are.

Runs in the master. Nothing here waits, and nothing that fails here hinders a pool.
"""

from __future__ import annotations

import contextlib
from collections import deque
from collections.abc import Callable, Iterator

from consumerd import clock, events
from consumerd.events.facts import Fact
from consumerd.master.host.own_process import ServiceSocket
from consumerd.master.pools.pools import Pools
from consumerd.master.rules.observed import Observed, Wanted
from consumerd.model.slots import PoolState, SlotState

READY_WITHIN_S = 60.0
"""An import that has taken so long may never end, and takes only its own pool out: the others' master is ready."""

STATUS_EVERY_S = 1.0
RETRY_S = 1.0
MOST_UNSENT = 16
LONGEST_STATUS = 200


class Service:
    """The master as a service. Every method may be called where nobody is to be told, and does nothing then."""

    def __init__(self, notify: ServiceSocket, pools: Pools, emit: Callable[[Fact], None]) -> None:
        self._notify = notify
        self._pools = pools
        self._emit = emit
        self._unsent: deque[str] = deque(maxlen=MOST_UNSENT)
        self._ready_at_latest = clock.monotonic() + READY_WITHIN_S
        self._is_ready = self._is_reloading = self._is_stopping = self._has_failed = False
        self._status = ""
        self._retry_at = self._status_at = self._alive_at = 0.0

    def turn(self, now: float) -> float | None:
        """Tell what has changed, and that the supervisor takes its turns; when one is needed though nothing happens."""
        if not self._notify.address:
            return None
        if not self._is_ready and (
            is_started(self._pools.wanted, self._pools.observed) or now >= self._ready_at_latest
        ):
            self._is_ready = True
            if not (self._is_reloading or self._is_stopping):
                self._unsent.append("READY=1")
        if now >= self._status_at and (status := self._status_now()) != self._status:
            self._status, self._status_at = status, now + STATUS_EVERY_S
            self._unsent.append(f"STATUS={status}")
        if self._notify.watchdog_s is not None and now >= self._alive_at:
            self._alive_at = now + self._notify.watchdog_s / 2
            self._send("WATCHDOG=1", now)
        self._flush(now)
        deadlines = [] if self._notify.watchdog_s is None else [self._alive_at]
        if not self._is_ready:
            deadlines.append(self._ready_at_latest)
        if self._status_now() != self._status:
            deadlines.append(self._status_at)
        if self._unsent:
            deadlines.append(self._retry_at)
        return min(deadlines, default=None)

    @contextlib.contextmanager
    def reloading(self) -> Iterator[None]:
        """Around a reload, however it ends."""
        self._is_reloading = True
        if self._is_ready and not self._is_stopping:
            self._tell(f"RELOADING=1\nMONOTONIC_USEC={int(clock.monotonic() * 1e6)}")
        try:
            yield
        finally:
            self._is_reloading = False
            if self._is_ready and not self._is_stopping:
                self._tell("READY=1")

    def stopping(self) -> None:
        """The stop begins."""
        self._is_stopping = True
        self._status = self._status_now()
        self._tell(f"STOPPING=1\nSTATUS={self._status}")

    def _status_now(self) -> str:
        return "stopping" if self._is_stopping else status_line(self._pools.wanted, self._pools.observed)

    def _tell(self, text: str) -> None:
        if self._notify.address:
            self._unsent.append(text)
            self._flush(clock.monotonic())

    def _flush(self, now: float) -> None:
        """Send what waits, in order; the rest is tried again in a while."""
        while self._unsent and now >= self._retry_at:
            if self._send(self._unsent[0], now):
                self._unsent.popleft()

    def _send(self, text: str, now: float) -> bool:
        try:
            self._notify.send(text)
        except OSError as error:
            self._retry_at = now + RETRY_S
            if not self._has_failed:
                self._emit(events.service_manager_away(socket=self._notify.address, error=str(error)))
            self._has_failed = True
            return False
        self._has_failed = False
        return True


def is_started(wanted: Wanted, observed: Observed) -> bool:
    """Whether every pool that starts at once has loaded its code, or has failed. One `after` another may come later."""
    return not any(
        pool.state is PoolState.LOADING and not any(earlier in observed for earlier in wanted[name].after)
        for name, pool in observed.items()
    )


def status_line(wanted: Wanted, observed: Observed) -> str:
    """How things are: `2 of 3 pools up, 5 of 6 workers running; failed: g/a`."""
    up = sum(pool.state is PoolState.UP for pool in observed.values())
    slots = (slot for pool in observed.values() for slot in pool.slots.values())
    running = sum(slot.state is SlotState.RUNNING for slot in slots)
    workers = sum(wanted[name].workers for name in observed)
    failed = ", ".join(str(name) for name, pool in observed.items() if pool.state is PoolState.FAILED)
    line = f"{up} of {len(observed)} pools up, {running} of {workers} workers running"
    return (f"{line}; failed: {failed}" if failed else line)[:LONGEST_STATUS]
