"""A number for a process that no later one has: the kernel gives a pid again once it has counted to its last one."""

from __future__ import annotations

from pathlib import Path

_STARTED = 19
"""Of the fields of /proc/PID/stat after the name: when it started, in ticks since the machine did."""


def process_number(pid: int | str = "self") -> int:
    """Of a process that is there, or that nobody has waited for; ProcessLookupError."""
    try:
        fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except FileNotFoundError:
        raise ProcessLookupError(f"there is no process {pid}") from None
    return int(fields[_STARTED]) << 22 | int(Path(f"/proc/{pid}").resolve().name)
