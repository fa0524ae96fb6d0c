"""Holds pools back that have a `throttle`, as a pause would. Runs in the master.

The master asks, for all workers: every few seconds, by the clock and by a look at a file of this machine.
"""

from __future__ import annotations

import os
from datetime import UTC, datetime
from pathlib import Path

from consumerd import clock, events
from consumerd.master.pools.pool import Pool
from consumerd.master.rules.throttle import why_held
from consumerd.wire.messages import Pause

ASK_S = 5.0
READ_BYTES = 100


def throttle(pool: Pool, now: float) -> float | None:
    """Ask again, when it is time; what has changed is told to the workers."""
    wanted = pool.entry.settings.common.throttle
    if wanted is None and not pool.throttled:
        return None
    if now < pool.throttle_at and wanted is not None:
        return pool.throttle_at
    pool.throttle_at = now + ASK_S
    held = None
    if wanted is not None:
        moment = datetime.fromtimestamp(clock.wall(), UTC)
        content = None if wanted.file is None else _content(Path(pool.entry.settings.directory, wanted.file))
        held = why_held(wanted, moment, content)
    reason = held.reason if held else ""
    before, pool.throttled = pool.throttled, reason
    pool.is_throttle_at_fault = held is not None and held.is_fault
    if bool(before) != bool(reason):
        pool.tell_workers(Pause(pool.is_held))
        fact = events.pool_throttled(consumer=pool.consumer, reason=reason)
        pool.tools.emit(fact if reason else events.throttle_ended(consumer=pool.consumer))
    return pool.throttle_at


def _content(file: Path) -> str | OSError | None:
    try:
        opened = os.open(file, os.O_RDONLY | os.O_NONBLOCK | os.O_CLOEXEC)  # a pipe without a writer must not hold us
        try:
            return os.read(opened, READ_BYTES).decode("utf-8", "replace")
        finally:
            os.close(opened)
    except FileNotFoundError:
        return None
    except OSError as error:
        return error
