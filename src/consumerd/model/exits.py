"""A worker's exit codes: what its end means to the master."""

from __future__ import annotations

from enum import IntEnum

from consumerd.errors import LoadError, SourceRefusedError, SystemRefusedError


class WorkerExit(IntEnum):
    """Exit codes that are part of the protocol; any other end is the task's crash."""

    DRAINED = 0
    FINISHED = 10
    LOAD_FAILED = LoadError.exit_code
    SOURCE_REFUSED = SourceRefusedError.exit_code
    MASTER_GONE = 13
    RECYCLE = 14
    DEADLINE_PASSED = 15
    SYSTEM_REFUSED = SystemRefusedError.exit_code
    BUG = 70
