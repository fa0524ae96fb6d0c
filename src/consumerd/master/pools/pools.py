"""All pools of a master, by their consumers. Runs in the master."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from consumerd.config.shape import ConsumerSettings
from consumerd.master.pools.entry import Entry
from consumerd.master.pools.mailbox import Origin
from consumerd.master.pools.pool import Pool
from consumerd.master.pools.tools import Tools
from consumerd.master.rules.observed import Observed, Wanted
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import PoolState


class Pools:
    """Every pool; they may come and go while one iterates over them."""

    def __init__(self, entries: Iterable[Entry], tools: Tools, now: float) -> None:
        self.tools = tools
        self._pools: dict[ConsumerName, Pool] = {}
        self.is_stopping = False
        for entry in entries:
            self.add(entry, now)
        for pool in self:
            pool.is_of_the_start = True

    def __getitem__(self, name: ConsumerName) -> Pool:
        return self._pools[name]

    def __iter__(self) -> Iterator[Pool]:
        return iter(tuple(self._pools.values()))

    def __len__(self) -> int:
        return len(self._pools)

    def get(self, name: ConsumerName) -> Pool | None:
        return self._pools.get(name)

    @property
    def observed(self) -> Observed:
        return {name: pool.observed for name, pool in self._pools.items()}

    @property
    def wanted(self) -> Wanted:
        return {name: pool.wanted for name, pool in self._pools.items()}

    def settings(self) -> tuple[ConsumerSettings, ...]:
        """Of all pools that are to run: the newest, but where that was rejected what runs instead."""
        entries = (pool.lasting_entry for pool in self)
        return tuple(entry.settings for entry in entries if entry is not None)

    def add(self, entry: Entry, now: float, *, pin: int | None = None, is_paused: bool = False) -> None:
        """A pool that is to be loaded; where one of that name still stops, once that is gone."""
        stopping = self._pools.get(entry.name)
        if stopping is None:
            self._pools[entry.name] = Pool(entry, self.tools, now, pin=pin, is_paused=is_paused)
        else:
            stopping.successor, stopping.pin, stopping.is_paused = entry, pin, is_paused

    def want_stop(self, now: float) -> float:
        """Want every pool gone, each by its own deadline; the latest of them. Asked again, nothing changes."""
        self.is_stopping = True
        for pool in self:
            pool.remove(now)
        return max((pool.wanted.stop_deadline or now for pool in self), default=now)

    def forget_gone(self, now: float) -> None:
        """Drop the pools of which nothing is left; what is to come in place of one is loaded."""
        for pool in self:
            if pool.observed.state is PoolState.GONE:
                del self._pools[pool.name]
                if pool.successor is not None:
                    self.add(pool.successor, now, pin=pool.pin, is_paused=pool.is_paused)

    def owner_of(self, pid: int) -> Origin | None:
        """Whose process it is: an edition's zygote, or the worker of a slot."""
        for pool in self:
            for edition, zygote in pool.zygotes.items():
                if zygote.pid == pid:
                    return Origin(pool.name, edition=edition)
            for slot, worker in pool.workers.items():
                if worker.pid == pid:
                    return Origin(pool.name, slot, worker.generation)
        return None
