"""LeftoverWorkers: workers that an earlier master left, which finish and leave. Runs in the master.

A slot's lock keeps the next worker of the same slot waiting. Where workers divide the keys by their number that is not
enough: with another number, two of different slots own the same key. So each pool is looked at once when it is new, and
as long as there are strangers; those that have not left by the time that a stop may take are killed.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from consumerd import events
from consumerd.master.pools.acts import Means
from consumerd.master.rules import history
from consumerd.model.identity import ConsumerName

LOOK_S = 0.05


@dataclass
class LeftoverWorkers:
    """Looks at the locks of pools, until they have forked somebody."""

    means: Means
    _known: dict[ConsumerName, float] = field(default_factory=dict)
    _next_look_at: float | None = None

    def turn(self, now: float) -> None:
        """Look at each new pool, and at those that wait."""
        pools = self.means.pools
        self._known = {name: since for name, since in self._known.items() if name in pools}
        for name in pools:
            is_new = name not in self._known
            if is_new or pools[name].has_leftovers:
                since = self._known.setdefault(name, now)
                pools[name] = history.leftovers_seen(pools[name], are_there=self._are_there(name, since, now))
        self._next_look_at = now + LOOK_S if any(pools[name].has_leftovers for name in pools) else None

    def next_turn_at(self) -> float | None:
        """Soon again while there are strangers."""
        return self._next_look_at

    def _are_there(self, name: ConsumerName, since: float, now: float) -> bool:
        if any(slot.is_occupied for slot in self.means.pools[name].slots.values()):
            return False  # the locks are our own workers' by now
        entry = self.means.pools.entry(name)
        is_late = now - since >= entry.stop_timeout_s
        found = False
        for lock in entry.state_dir.slot_locks(name):
            try:
                pid = self.means.launcher.kill_holder(lock, but=None) if is_late else self.means.launcher.holder(lock)
            except OSError as error:
                self.means.emit(events.lock_not_read(consumer=str(name), lock=str(lock), error=str(error)))
                continue
            if pid is not None and is_late:
                self.means.emit(events.lock_holder_killed(consumer=str(name), pid=pid))
            found = found or pid is not None
        return found
