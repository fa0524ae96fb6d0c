"""How processes end: a worker's exit codes, and what the kernel says of an end, as a code and in words."""

from __future__ import annotations

import os
import signal
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


_SIGNALS = {int(number): number.name for number in signal.Signals}  # those between 34 and 64 have no names
_WORKER_EXITS: dict[int | None, str] = {int(known): known.name.lower() for known in WorkerExit}


def exit_code(status: int | None) -> int | None:
    """Of a wait status: the exit code, or minus the number of the signal; None where nobody could read it."""
    return None if status is None else os.waitstatus_to_exitcode(status)


def described(status: int | None) -> str:
    """The end of any process: `exit 3`, `SIGKILL`."""
    code = exit_code(status)
    if code is None:
        return "unknown"
    return f"exit {code}" if code >= 0 else _SIGNALS.get(-code, f"signal {-code}")


def worker_described(status: int | None) -> str:
    """The end of a worker or zygote, whose exit codes have meanings: `drained`, `exit 3`, `SIGKILL`."""
    return _WORKER_EXITS.get(exit_code(status)) or described(status)


def end_with(end: str, said: str) -> str:
    """The end of a process, and the last line of what it said."""
    lines = said.strip().splitlines()
    return f"{end}: {lines[-1].strip()[:200]}" if lines else end
