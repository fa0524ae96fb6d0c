"""The pools: each with its entries, how it should be, how it is, and its processes. Runs in the master."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace

from consumerd import clock, events
from consumerd.config.shape import ConsumerSettings
from consumerd.master.pools.entry import Entry
from consumerd.master.pools.mailbox import Origin
from consumerd.master.pools.processes import LastError, Processes, Worker
from consumerd.master.rules import history
from consumerd.master.rules.observed import Observed, ObservedPool, Wanted, WantedPool
from consumerd.master.rules.plan import target_edition
from consumerd.model.identity import ConsumerName
from consumerd.model.slots import PoolState, SlotState, ZygoteState
from consumerd.wire.messages import Loaded

LAST_WORDS_S = 5.0
"""A failure that a worker told so shortly before its end is why it ended."""


class Pools:
    """Every pool. What is observed of one is changed by assignment, and what is wanted follows.

    amendments: what the zygote of an edition was asked to take over and has not answered yet, oldest first.
    """

    def __init__(self, entries: Iterable[Entry], now: float) -> None:
        self.processes: dict[ConsumerName, Processes] = {}
        self._entries: dict[ConsumerName, dict[int, Entry]] = {}
        self._wanted: dict[ConsumerName, WantedPool] = {}
        self._observed: dict[ConsumerName, ObservedPool] = {}
        self._scaled: dict[ConsumerName, int] = {}
        self._autoscaled: dict[ConsumerName, int] = {}
        self._coming: dict[ConsumerName, Entry] = {}
        self._paused: set[ConsumerName] = set()
        self.amendments: dict[tuple[ConsumerName, int], list[Entry]] = {}
        self.is_stopping = False
        for entry in entries:
            self.add(entry, now)
        self._of_the_start = frozenset(self._observed)

    def __getitem__(self, name: ConsumerName) -> ObservedPool:
        return self._observed[name]

    def __setitem__(self, name: ConsumerName, pool: ObservedPool) -> None:
        before = self._observed[name]
        self._observed[name] = pool
        if (before.established, before.rejected) != (pool.established, pool.rejected):
            self._refresh(name)

    def __iter__(self) -> Iterator[ConsumerName]:
        return iter(tuple(self._observed))

    def __len__(self) -> int:
        return len(self._observed)

    @property
    def observed(self) -> Observed:
        return self._observed

    @property
    def wanted(self) -> Wanted:
        return self._wanted

    # Entries and editions

    def entry(self, name: ConsumerName) -> Entry:
        """The entry in force: of the newest edition, but while that is on trial, or rejected, of the established."""
        pool, newest = self._observed[name], self._wanted[name].edition
        is_trial = pool.is_trial(target_edition(self._wanted[name], pool))
        return self.entry_of(name, pool.established if is_trial or newest == pool.rejected else newest)

    def entry_of(self, name: ConsumerName, edition: int) -> Entry:
        return self._entries[name][edition]

    def newest_entry(self, name: ConsumerName) -> Entry:
        """As the configuration has it, on trial or not."""
        return self.entry_of(name, self._wanted[name].edition)

    def settings(self) -> tuple[ConsumerSettings, ...]:
        """Of all pools that are to run: the newest, but where that was rejected what runs instead."""
        entries = {name: self._kept_entry(name) for name in self if self.is_wanted(name)}
        return tuple(entry.settings for entry in (entries | self._coming).values())

    def is_wanted(self, name: ConsumerName) -> bool:
        """Whether this pool is to run, and was not asked to stop."""
        return self._wanted[name].stop_deadline is None

    def _kept_entry(self, name: ConsumerName) -> Entry:
        is_rejected = self._wanted[name].edition == self._observed[name].rejected
        return self.entry(name) if is_rejected else self.newest_entry(name)

    def add(self, entry: Entry, now: float) -> None:
        """A pool that is to be loaded; where one of that name still stops, once that is gone."""
        name = entry.name
        if name in self._observed:
            self._coming[name] = entry
            return
        self._autoscaled.pop(name, None)
        workers = self._count(entry)
        self.processes[name] = Processes()
        self._entries[name] = {1: entry}
        self._wanted[name] = entry.wanted(1, workers)
        self._observed[name] = history.new_pool(workers, now)

    def remove(self, name: ConsumerName, now: float) -> None:
        """Want this pool gone, by its own deadline, and nothing in its place."""
        self._coming.pop(name, None)
        wanted = self._wanted[name]
        if wanted.stop_deadline is None:
            self._wanted[name] = replace(wanted, stop_deadline=now + wanted.stop_timeout_s)

    def change(self, entry: Entry, now: float) -> None:
        """A new edition, with this entry; of code that is as it is now. In place of one that stops, another entry."""
        name = entry.name
        if name in self._coming:
            self._coming[name] = entry
            return
        edition = self._wanted[name].edition + 1
        self._entries[name][edition] = entry
        self._wanted[name] = replace(self._wanted[name], edition=edition)
        self._observed[name] = history.renewed(self._observed[name], now)
        self._refresh(name)

    def amend(self, entry: Entry, now: float) -> None:
        """Another entry, which differs in what concerns the master alone: nobody restarts, unless the workers divide
        the keys by their number, and that is another."""
        if entry.name in self._coming:
            self._coming[entry.name] = entry
            return
        name, before = entry.name, self._wanted[entry.name].workers
        kept, newest = self._entries[name], self._wanted[name].edition
        self._entries[name] = {edition: old.with_masters_keys_of(entry) for edition, old in kept.items()}
        self._entries[name][newest] = replace(entry, seated=kept[newest].seated)
        self._refresh(name)
        if self._wanted[name].is_split and self._workers(name) != before:
            self.change(entry, now)

    def withdraw_rejected(self, name: ConsumerName) -> None:
        """The configuration asks again for what runs, in place of an entry that did not hold up."""
        rejected, established = self.newest_entry(name).settings, self.entry(name).settings
        if rejected == established or self._wanted[name].edition != self._observed[name].rejected:
            return  # the same entry: it was its code
        self._observed[name] = history.rejection_withdrawn(self._observed[name])
        self.processes[name].last_error = None

    def take_over(self, entry: Entry, edition: int, now: float) -> None:
        """The processes of this edition have taken over an entry. Where a newer one is wanted, that keeps its own."""
        if edition == self._wanted[entry.name].edition:
            self.amend(entry, now)
        if edition in self._entries[entry.name]:
            self._entries[entry.name][edition] = entry
            self._refresh(entry.name)

    def forget_gone(self, now: float) -> None:
        """Drop the pools of which nothing is left; what is to come in place of one is loaded."""
        for name in [name for name, pool in self._observed.items() if pool.state is PoolState.GONE]:
            for kept in (self.processes, self._entries, self._wanted, self._observed):
                del kept[name]
            self.amendments = {asked: entries for asked, entries in self.amendments.items() if asked[0] != name}
            self._of_the_start -= {name}
            if (entry := self._coming.pop(name, None)) is not None:
                self.add(entry, now)

    # What operators want

    def scale(self, name: ConsumerName, workers: int | None, now: float) -> None:
        """Want so many workers, whatever the configuration says; None: what it says.

        Workers that divide the keys by their number all have to start anew.
        """
        before = self._workers(name)
        self.pin(name, workers)
        if self._wanted[name].is_split and self._workers(name) != before:
            self.change(self._kept_entry(name), now)
        self._refresh(name)

    def pin(self, name: ConsumerName, workers: int | None) -> None:
        """Keep a number for a pool whose entry is about to change, or that is about to be added; None: forget it.

        Scaled by its lag, the pool goes on from the number that is forgotten.
        """
        if (pinned := self._scaled.pop(name, None)) is not None:
            self._autoscaled[name] = pinned
        if workers is not None:
            self._scaled[name] = workers

    def autoscale(self, name: ConsumerName, workers: int) -> None:
        """Want so many workers, because of the lag: where the entry has bounds, within those, and nobody pins it."""
        self._autoscaled[name] = workers
        self._refresh(name)

    def scaled(self, name: ConsumerName) -> int | None:
        """The number that an operator has pinned."""
        return self._scaled.get(name)

    def pause(self, name: ConsumerName, *, is_paused: bool) -> None:
        (self._paused.add if is_paused else self._paused.discard)(name)

    def is_paused(self, name: ConsumerName) -> bool:
        return name in self._paused

    def workers_wanted(self, name: ConsumerName) -> int:
        return self._wanted[name].workers

    def is_of_the_start(self, name: ConsumerName, edition: int) -> bool:
        """Whether an edition is the first of a pool with which the master began."""
        return edition == 1 and name in self._of_the_start

    def target_edition(self, name: ConsumerName) -> int:
        """Which edition every slot should come to run."""
        return target_edition(self._wanted[name], self._observed[name])

    def want_stop(self, now: float) -> float:
        """Want every pool gone, each by its own deadline; the latest of them. Asked again, nothing changes."""
        self.is_stopping = True
        for name in self._observed:
            self.remove(name, now)
        return max((wanted.stop_deadline or now for wanted in self._wanted.values()), default=now)

    # Processes

    def owner_of(self, pid: int) -> Origin | None:
        """Whose process it is: an edition's zygote, or the worker of a slot."""
        for name, processes in self.processes.items():
            for edition, zygote in processes.zygotes.items():
                if zygote.pid == pid:
                    return Origin(name, edition=edition)
            for slot, worker in processes.workers.items():
                if worker.pid == pid:
                    return Origin(name, slot, worker.generation)
        return None

    def unnamed_workers(self) -> int:
        """How many workers were asked for and are not named yet: for each, a descriptor is still to come."""
        return sum(worker.pid is None for each in self.processes.values() for worker in each.workers.values())

    def unproven(self) -> Iterator[tuple[ConsumerName, int, Worker]]:
        """The running workers whose proof is waited for: of an edition on trial, or of a failed pool."""
        for name, pool in self._observed.items():
            for number, slot in pool.slots.items():
                is_tried = pool.state is PoolState.FAILED and slot.since >= pool.since
                if slot.state is SlotState.RUNNING and (is_tried or pool.is_trial(slot.edition)):
                    yield name, number, self.processes[name].workers[number]

    def note_loaded(self, name: ConsumerName, edition: int, loaded: Loaded) -> None:
        """What a loaded edition reads, what that can do, and which keys its class takes live."""
        processes = self.processes[name]
        processes.source = loaded.source
        processes.traits[edition] = loaded.traits
        processes.live[edition] = frozenset(loaded.live)
        self._refresh(name)

    def live_keys(self, name: ConsumerName) -> frozenset[str]:
        """The keys of `configs` whose change restarts nobody now: none while the pool is not up, or changes itself."""
        if name not in self._observed:
            return frozenset()
        pool, edition = self._observed[name], self._wanted[name].edition
        is_settled = pool.state is PoolState.UP and pool.established == edition and self.is_wanted(name)
        is_alone = all(slot.edition == edition for slot in pool.slots.values() if slot.is_occupied)
        if not (is_settled and is_alone and pool.zygote(edition).state is ZygoteState.READY):
            return frozenset()
        return self.processes[name].live.get(edition, frozenset())

    def traits(self, name: ConsumerName) -> Mapping[str, bool]:
        """What the source of the established edition can do; nothing is known before there is one."""
        return self.processes[name].traits.get(self._observed[name].established, {})

    def note_error(self, name: ConsumerName, what: str, fields: Mapping[str, object]) -> None:
        self.processes[name].last_error = LastError(what, dict(fields), clock.wall())

    def note_end(self, name: ConsumerName, slot: int, end: str) -> None:
        """A worker's end that nobody asked for: an error, unless the worker has just said itself why it ends."""
        last, now = self.processes[name].last_error, clock.wall()
        is_told = last is not None and last.name == events.consume_failed.name and last.fields.get("worker_id") == slot
        if last is None or not is_told or now - last.at > LAST_WORDS_S:
            self.note_error(name, events.worker_ended.name, {"worker_id": slot, "end": end})

    def _workers(self, name: ConsumerName) -> int:
        return self._count(self.entry(name))

    def _count(self, entry: Entry) -> int:
        """How many workers are wanted: as pinned, as scaled by the lag, or as the entry says."""
        common = entry.settings.common
        if (pinned := self._scaled.get(entry.name)) is not None:
            return pinned
        return min(common.most_workers, max(common.fewest_workers, self._autoscaled.get(entry.name, 0)))

    def _refresh(self, name: ConsumerName) -> None:
        """What is wanted, from the entry in force; slots for all that are wanted. Entries out of use are dropped."""
        before, pool, entry = self._wanted[name], self._observed[name], self.entry(name)
        workers = self._workers(name)
        wanted = entry.wanted(before.edition, workers)
        target = target_edition(replace(wanted, edition=before.edition), pool)
        loaded = (self.processes[name].traits.get(edition, {}) for edition in (target, pool.established))
        is_split = any(traits.get("splits_keys", False) for traits in loaded)
        self._wanted[name] = replace(wanted, stop_deadline=before.stop_deadline, is_split=is_split)
        in_use = {before.edition, pool.established, *(slot.edition for slot in pool.slots.values())}
        pool = history.editions_forgotten(history.scaled(pool, workers, clock.monotonic()), in_use)
        self._observed[name] = pool
        in_use |= pool.zygotes.keys()
        self._entries[name] = {edition: kept for edition, kept in self._entries[name].items() if edition in in_use}
        self.processes[name].forget_editions(but=in_use)
