"""What a worker's loop is made of, and how it is set. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from consumerd.clock import Clock
from consumerd.events.facts import Fact
from consumerd.sources.contract import Source
from consumerd.wire.board_writer import BoardWriter
from consumerd.worker.tasks.attempt import Attempts
from consumerd.worker.tasks.breaker import Breaker
from consumerd.worker.tasks.due import DueTasks
from consumerd.worker.tasks.fast import Handler
from consumerd.worker.tasks.handler import Decode
from consumerd.worker.tasks.hooks import Hooks
from consumerd.worker.tasks.interrupts import Interrupts
from consumerd.worker.tasks.parking import Parking
from consumerd.worker.tasks.suspects import Suspects


@dataclass(frozen=True, slots=True)
class LoopSettings:
    """How the loop is set: from the common keys, and from what the consumer's class overrides.

    validate: makes a model of a decoded record; None: records are used as they are decoded.
    stays_for_retries: when the source has ended, the worker ends only when no task waits to be tried again.
    """

    settle_interval_s: float
    max_unsettled: int
    is_general: bool
    validate: Decode | None = None
    stays_for_retries: bool = False


@dataclass(frozen=True)
class Parts:
    """What the loop works with; all of one worker."""

    source: Source
    handle: Handler
    hooks: Hooks
    attempts: Attempts
    parking: Parking
    due: DueTasks
    suspects: Suspects
    breaker: Breaker
    renew: Callable[[], None]
    interrupts: Interrupts
    wait: Callable[[float], None]
    board: BoardWriter
    emit: Callable[[Fact], None]
    clock: Clock
