"""How long a task takes, learned from those that were attempted. Runs in workers and the foreground."""

from __future__ import annotations


class Pace:
    """Says how many tasks fit into a time. Until something is known, first_s is taken for what one takes."""

    def __init__(self, first_s: float) -> None:
        self._task_s = first_s

    def learn(self, tasks: int, seconds: float) -> None:
        """So many tasks took so long; a mean in which the last of them count most."""
        if tasks:
            self._task_s += (seconds / tasks - self._task_s) / 4

    def fitting(self, seconds: float) -> int:
        """How many tasks take about so long; at least one."""
        return max(1, int(seconds / max(self._task_s, 1e-9)))
