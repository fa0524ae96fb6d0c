"""What the kernel kills for want of memory, as the cgroup counts it. Runs in the master."""

from __future__ import annotations

from pathlib import Path

_OWN_CGROUP = Path("/proc/self/cgroup")
_CGROUPS = Path("/sys/fs/cgroup")


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
