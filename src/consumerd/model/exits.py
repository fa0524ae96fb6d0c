"""A worker's exit codes: what its end means to the master."""

from __future__ import annotations

from enum import IntEnum


class WorkerExit(IntEnum):
    """Exit codes that are part of the protocol; any other end is the task's crash."""

    DRAINED = 0
    FINISHED = 10
    LOAD_FAILED = 11
    SOURCE_REFUSED = 12
    MASTER_GONE = 13
    RECYCLE = 14
    DEADLINE_PASSED = 15
    SYSTEM_REFUSED = 16
    BUG = 70
