"""Why the loop must leave its batch. The flags are set by signal handlers and threads, and read by the loop."""

from __future__ import annotations

from enum import Enum, auto


class Interrupt(Enum):
    """One reason to look up from the batch."""

    STOP = auto()
    MASTER_GONE = auto()
    SETTLE_DUE = auto()
    REVOKED = auto()
    PARKED_DUE = auto()
    FORKED = auto()
    OUT_OF_MEMORY = auto()
    STALE = auto()
    PAUSE = auto()
    AMENDED = auto()
