"""Wait statuses, pure: what the kernel says of a process's end, as a code and in words. Runs in the master."""

from __future__ import annotations

import os
import signal

from consumerd.model.exits import WorkerExit

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
