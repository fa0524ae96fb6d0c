"""How much memory a process has of its own, and what the kernel kills for want of it. Runs in the master; Linux."""

from __future__ import annotations

from pathlib import Path

_OF_ITS_OWN = ("Private_Clean:", "Private_Dirty:", "SwapPss:")
_OWN_CGROUP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")


def own_bytes(pid: int) -> int | None:
    """What would be free without this process (its USS, and what of it is swapped out); None where nobody may know.

    The kernel walks the process's pages for it: about a millisecond for a hundred megabytes.
    """
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii")
    except OSError:
        return None
    return own_bytes_in(text)


def own_bytes_in(rollup: str) -> int:
    """The same of the text of `smaps_rollup`; its numbers are in KiB."""
    lines = (line.split() for line in rollup.splitlines())
    return 1024 * sum(int(line[1]) for line in lines if len(line) > 1 and line[0] in _OF_ITS_OWN)


class OomKills:
    """The counter `oom_kill` of the cgroup (v2) of the master, in which its workers are, or below."""

    def __init__(self, events: Path | None = None) -> None:
        """events: the cgroup's `memory.events`; None: our own, where there is one."""
        self._events = events or _own_events()
        self._seen = self._count()
        self._unclaimed = 0

    def claim(self) -> bool:
        """Whether the kernel has killed one more than were claimed. False where nobody can read that."""
        seen = self._count()
        self._unclaimed += max(0, seen - self._seen)
        self._seen = seen
        if not self._unclaimed:
            return False
        self._unclaimed -= 1
        return True

    def _count(self) -> int:
        try:
            lines = dict(line.split() for line in self._events.read_text().splitlines())
            return int(lines.get("oom_kill", 0))
        except (OSError, ValueError):
            return 0


def _own_events() -> Path:
    try:
        for line in _OWN_CGROUP.read_text().splitlines():
            if line.startswith("0::/"):
                return _CGROUPS / line.removeprefix("0::/") / "memory.events"
    except OSError:
        pass  # no such file: nobody can read the counter either
    return _CGROUPS / "memory.events"
