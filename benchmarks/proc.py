"""What the kernel says of processes: their time on a CPU, their memory, their children. Linux."""

from __future__ import annotations

import contextlib
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

_TICKS = os.sysconf("SC_CLK_TCK")


@dataclass(frozen=True, slots=True)
class Stat:
    """Of /proc/PID/stat. cpu_s: of the process and of its children that were reaped, to the tick (10 ms)."""

    parent: int
    cpu_s: float


def parsed_stat(text: str) -> Stat:
    """The name in it may hold anything, blanks and parentheses too."""
    fields = text.rpartition(") ")[2].split()
    return Stat(int(fields[1]), sum(map(int, fields[11:15])) / _TICKS)


def parsed_pss(rollup: str) -> int:
    """The proportional set size in `smaps_rollup`, in bytes."""
    found = re.search(r"^Pss:\s+(\d+) kB", rollup, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def pss_bytes(pid: int) -> int:
    """The proportional set size of a process: its own pages, and its share of those it shares."""
    return parsed_pss(Path(f"/proc/{pid}/smaps_rollup").read_text())


def running_ns(pid: int) -> int:
    """How long the living threads of a process have been on a CPU: to the nanosecond, unlike its times in ticks."""
    total = 0
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with contextlib.suppress(OSError):  # it has ended
            total += int((thread / "schedstat").read_text().split()[0])
    return total


def stats() -> dict[int, Stat]:
    """Of every process."""
    found = {}
    for folder in Path("/proc").iterdir():
        if folder.name.isdigit():
            with contextlib.suppress(OSError):
                found[int(folder.name)] = parsed_stat((folder / "stat").read_text())
    return found


def descendants(pid: int, stats: dict[int, Stat]) -> list[int]:
    """The processes below one, without itself, by the parents in `stats`."""
    found: list[int] = []
    parents = {pid}
    while parents:
        parents = {child for child, stat in stats.items() if stat.parent in parents}
        found += sorted(parents)
    return found


def tree(pid: int) -> list[int]:
    """A process and all below it, itself first."""
    return [pid, *descendants(pid, stats())]


def spent_s(pids: Iterable[int]) -> float:
    """CPU seconds of these processes and of their reaped children; those that have ended are left out."""
    known = stats()
    return sum(known[pid].cpu_s for pid in pids if pid in known)
