"""Who holds a file lock, and when a holder that does not run any more must go.

A process that was stopped (SIGSTOP, Ctrl-Z) inside a transaction holds its lock for ever, and with it every other
worker. After `STOPPED_LIMIT_S` it is killed: the kernel then drops the lock, SQLite rolls the transaction back.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from consumerd.state.locks import holder_of, kill_if

STOPPED_LIMIT_S = 10.0

_STATE, _START_TICKS = 0, 19  # fields of /proc/<pid>/stat, counted after the name's closing parenthesis


@dataclass(frozen=True, slots=True)
class Sighting:
    """The process that holds a lock, as it was seen once.

    Two equal sightings of a stopped process mean that it never ran in between.

    pid: its id.
    owner_uid: the user that it runs as.
    started_ticks: when it was started, by which a pid that was given again is told.
    switches: how often its main thread left the processor.
    is_stopped: whether it was stopped by a signal.
    """

    pid: int
    owner_uid: int
    started_ticks: int
    switches: int
    is_stopped: bool


@dataclass(frozen=True, slots=True)
class Watch:
    """The holder that was seen last.

    sighting: how it was seen.
    since: from when on it has been seen exactly so, on the monotonic clock.
    """

    sighting: Sighting
    since: float


def watched(before: Watch | None, sighting: Sighting | None, now: float) -> Watch | None:
    """What is known after one more look. The time starts anew unless the holder is exactly as it was before."""
    if sighting is None:
        return None
    if before is not None and before.sighting == sighting:
        return before
    return Watch(sighting, now)


def must_go(watch: Watch | None, now: float, own_uid: int) -> bool:
    """Whether the holder is one of ours and has been stopped for the limit.

    A holder is one of ours when it runs as our user: only such a process can have opened a lock file of mode 0600.
    """
    if watch is None or not watch.sighting.is_stopped or watch.sighting.owner_uid != own_uid:
        return False
    return now - watch.since >= STOPPED_LIMIT_S


def look_at_holder(lock_fd: int) -> Sighting | None:
    """The process that holds the lock on `lock_fd`; None when free, ours, gone, or in another pid namespace."""
    pid = holder_of(lock_fd)
    if pid is None:
        return None
    try:
        return _sight(pid)
    except (FileNotFoundError, ProcessLookupError):
        return None


def kill_holder(lock_fd: int, sighting: Sighting) -> bool:
    """Kill the holder if, with a handle on it, it still is exactly what was seen; whether it was killed."""
    return kill_if(sighting.pid, lambda: look_at_holder(lock_fd) == sighting)


def _sight(pid: int) -> Sighting:
    folder = Path("/proc") / str(pid)
    fields = (folder / "stat").read_text(errors="replace").rpartition(")")[2].split()
    status = (folder / "status").read_text(errors="replace").splitlines()
    return Sighting(
        pid=pid,
        owner_uid=folder.stat().st_uid,
        started_ticks=int(fields[_START_TICKS]),
        switches=sum(int(line.split()[1]) for line in status if "ctxt_switches:" in line),
        is_stopped=fields[_STATE] == "T",
    )
