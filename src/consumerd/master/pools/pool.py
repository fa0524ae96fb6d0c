"""A pool: one consumer's entries, what is wanted of it, what is observed, its processes, and what they said.

Runs in the master.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace

from consumerd import clock, events
from consumerd.events.facts import Fact
from consumerd.master.host.launcher import Executed
from consumerd.master.pools.entry import Entry
from consumerd.master.pools.tally import Tally
from consumerd.master.pools.tools import Tools
from consumerd.master.pools.worker import Worker
from consumerd.master.rules import history
from consumerd.master.rules.autoscale import Judgement
from consumerd.master.rules.flow import Flow, MeasuredLag
from consumerd.master.rules.observed import ObservedPool
from consumerd.master.rules.plan import target_edition
from consumerd.master.rules.suspects import Suspects
from consumerd.model.slots import PoolState, ZygoteState
from consumerd.wire.messages import Loaded, Message, ParkedNow
from consumerd.wire.schedules import ScheduleStatus
from consumerd.wire.status import LastEnd, LastError


class Pool:
    """One consumer's pool.

    `observed` is what it is, and is changed by `become` alone. `wanted` is what it should be: it follows from the entry
    in force, and from what operators and the autoscaler have asked for.

    pin: the number of workers that an operator has fixed.
    successor: the entry of the pool that takes its place when it is gone.
    amendments: by edition, what its zygote was asked to take over and has not answered yet, oldest first.
    loaded: by edition, what its zygote said of the consumer.
    zygotes: by edition; workers: by slot.
    last_ends: by slot, of the last worker that ended though nobody had asked it to.
    wary: slots whose last worker ended while nothing answered its tasks; opened_by: an error for each destination.
    parked_now: how many tasks are parked, as a worker counted them at parked_heard_at.
    schedule: how its schedule stands, where it has one, as a worker said last.
    refusal: why the master must not run this consumer, where it began with it.
    are_suspects_told: whether the workers know of the suspects as they are now.
    lag_at_pause: how many tasks waited when the lag was first measured in the pause that lasts.
    lag_measurer: the worker that measures the lag: slot and generation.
    flow: whether its source gives what waits; stalled_shards: those of which it does not.
    leftovers_since: when workers of an earlier master were first looked for; has_leftovers: there are some still.
    throttled: why its `throttle` holds it back, empty while it does not; is_throttle_at_fault: it cannot be asked.
    watch_at, recycle_at, throttle_at: when its workers are looked at next, whether stuck or worn out; its throttle.
    judgement: how many workers its lag asks for, where that is asked; judged_at: when that lag was heard.
    """

    def __init__(
        self, entry: Entry, tools: Tools, now: float, *, pin: int | None = None, is_paused: bool = False
    ) -> None:
        self.name = entry.name
        self.consumer = str(entry.name)
        self.tools = tools
        self.is_of_the_start = False
        self.pin = pin
        self.is_paused = is_paused
        self.throttled, self.is_throttle_at_fault, self.throttle_at = "", False, 0.0
        self.successor: Entry | None = None
        self.amendments: dict[int, list[Entry]] = {}
        self.loaded: dict[int, Loaded] = {}
        self.zygotes: dict[int, Executed] = {}
        self.workers: dict[int, Worker] = {}
        self.last_error: LastError | None = None
        self.last_ends: dict[int, LastEnd] = {}
        self.wary, self.opened_by = set[int](), dict[object, object]()
        self.refusal: str | None = None
        self.tally, self.suspects = Tally(), Suspects()
        self.are_suspects_told = True
        self.parked_now: ParkedNow | None = None
        self.parked_heard_at = 0.0
        self.schedule: ScheduleStatus | None = None
        self.lag: MeasuredLag | None = None
        self.lag_at_pause: int | None = None
        self.lag_measurer: tuple[int, int] | None = None
        self.flow: Flow | None = None
        self.stalled_shards: frozenset[int] = frozenset()
        self.leftovers_since: float | None = None
        self.has_leftovers = False
        self.watch_at = self.recycle_at = 0.0
        self.judgement: Judgement | None = None
        self.judged_at = -math.inf
        self._autoscaled = 0
        self._entries = {1: entry}
        self.wanted = entry.wanted(1, self._count(entry))
        self.observed = history.new_pool(self.wanted.workers, now)

    # What becomes of it

    def become(self, observed: ObservedPool, *facts: Fact) -> None:
        """Be from now on as `history` has it, and tell so: first `facts`, then what that means for the whole pool."""
        was, self.observed = self.observed, observed
        if (was.established, was.rejected) != (observed.established, observed.rejected):
            self._follow_entry()
        for fact in facts:
            self.tools.emit(fact)
        self._tell_news(was)

    def note_error(self, what: str, /, **fields: object) -> None:
        """Keep what went wrong for `status`."""
        self.last_error = LastError(name=what, fields=fields, at=clock.wall())

    def take_back(self, reason: str, traceback: str | None = None, edition: int | None = None) -> None:
        """A change does not hold up: the pool goes on as before."""
        self.note_error(events.change_taken_back.name, reason=reason)
        fact = events.change_taken_back(consumer=self.consumer, reason=reason, traceback=traceback, edition=edition)
        self.tools.emit(fact)

    def _tell_news(self, was: ObservedPool) -> None:
        pool, before = self.observed, was.state
        if pool.state is PoolState.FAILED and before is not PoolState.FAILED:
            self.note_error(events.pool_failed.name, reason=pool.reason)
            self.tools.emit(events.pool_failed(consumer=self.consumer, reason=pool.reason, traceback=pool.traceback))
        elif pool.rejected != was.rejected:
            self.take_back(pool.reason, pool.traceback, pool.rejected)
        elif pool.state is PoolState.UP and before in (PoolState.LOADING, PoolState.FAILED):
            self.last_error = None  # of the time before
            if before is PoolState.FAILED:
                self.tools.emit(events.pool_recovered(consumer=self.consumer))
        elif 0 < was.established < pool.established:
            self.last_error = None
            self.tally.begin_anew(clock.monotonic())
            self.tools.emit(events.edition_established(consumer=self.consumer, edition=pool.established))

    # Entries and editions

    @property
    def entry(self) -> Entry:
        """The entry in force: of the newest edition, but while that is on trial, or rejected, of the established."""
        target, pool = self.target_edition, self.observed
        return self.entry_of(pool.established if pool.is_trial(target) else target)

    @property
    def newest_entry(self) -> Entry:
        """As the configuration has it, on trial or not."""
        return self._entries[self.wanted.edition]

    @property
    def lasting_entry(self) -> Entry | None:
        """The entry with which a reload compares the configuration: the newest, or, where that was rejected, the one
        that runs instead. Of a pool that stops it is its successor's, and None where it has none.
        """
        if self.successor is not None or not self.is_wanted:
            return self.successor
        return self.entry_of(self.target_edition)

    @property
    def target_edition(self) -> int:
        """Which edition every slot should come to run."""
        return target_edition(self.wanted, self.observed)

    @property
    def is_wanted(self) -> bool:
        """Whether it is to run, and was not asked to stop."""
        return self.wanted.stop_deadline is None

    @property
    def traits(self) -> Mapping[str, bool]:
        """What the source of the established edition can do; nothing is known before there is one."""
        return self._traits(self.observed.established)

    @property
    def live_keys(self) -> frozenset[str]:
        """The keys of `configs` whose change restarts nobody now: none while it is not up, or changes itself."""
        pool, edition = self.observed, self.wanted.edition
        is_settled = pool.state is PoolState.UP and pool.established == edition and self.is_wanted
        is_alone = all(slot.edition == edition for slot in pool.slots.values() if slot.is_occupied)
        if not (is_settled and is_alone and pool.zygote(edition).state is ZygoteState.READY):
            return frozenset()
        return frozenset(self.loaded[edition].live) if edition in self.loaded else frozenset()

    def entry_of(self, edition: int) -> Entry:
        return self._entries[edition]

    def note_loaded(self, edition: int, loaded: Loaded) -> None:
        """What a loaded edition reads, what that can do, and which keys its class takes live."""
        self.loaded[edition] = loaded
        self._follow_entry()

    def change(self, entry: Entry, now: float) -> None:
        """Begin a new edition, with this entry and the code as it is now; where the pool stops, its successor does."""
        if self.successor is not None:
            self.successor = entry
            return
        edition = self.wanted.edition + 1
        self._entries[edition] = entry
        self.wanted = replace(self.wanted, edition=edition)
        self.become(history.renewed(self.observed, now))
        self._follow_entry()

    def amend(self, entry: Entry, now: float) -> None:
        """Take an entry that differs only in what concerns the master: nobody restarts, unless the workers divide the
        keys by their number, and the number is another one.
        """
        if self.successor is not None:
            self.successor = entry
            return
        before, newest = self.wanted.workers, self.newest_entry
        self._entries = {edition: old.with_masters_keys_of(entry) for edition, old in self._entries.items()}
        self._entries[self.wanted.edition] = replace(entry, assignment=newest.assignment)
        self._follow_entry()
        if self.traits.get("splits_keys") and self.wanted.workers != before:
            self.change(entry, now)

    def take_over(self, entry: Entry, edition: int, now: float) -> None:
        """Note that the processes of an edition have taken an entry over. A newer edition keeps its own."""
        if edition == self.wanted.edition:
            self.amend(entry, now)
        if edition in self._entries:
            self._entries[edition] = entry
            self._follow_entry()

    def withdraw_rejected(self) -> None:
        """The configuration asks again for what runs, in place of an entry that did not hold up."""
        is_rejected = self.wanted.edition == self.observed.rejected
        if is_rejected and self.newest_entry.settings != self.entry.settings:  # else it was its code
            self.become(replace(self.observed, reason="", traceback=""))
            self.last_error = None

    # What operators and the autoscaler want

    def scale(self, workers: int | None, now: float) -> None:
        """Want so many workers, whatever the configuration says; None: what it says.

        Workers that divide the keys by their number all have to start anew.
        """
        before = self.wanted.workers
        self.set_pin(workers)
        self._follow_entry()
        if self.traits.get("splits_keys") and self.wanted.workers != before:
            self.change(self.entry_of(self.target_edition), now)

    def set_pin(self, workers: int | None) -> None:
        """Keep a number, for the entry that is about to come as well; None: forget it.

        Scaled by its lag, the pool goes on from the number that is forgotten.
        """
        if self.pin is not None:
            self._autoscaled = self.pin
        self.pin = workers

    def autoscale(self, workers: int) -> None:
        """Want so many workers, because of the lag: where the entry has bounds, within those, and nobody pins it."""
        self._autoscaled = workers
        self._follow_entry()

    def remove(self, now: float) -> None:
        """Want it gone, by its own deadline, and nothing in its place."""
        self.successor = None
        if self.is_wanted:
            self.wanted = replace(self.wanted, stop_deadline=now + self.wanted.stop_timeout_s)

    # Its processes

    def send(self, slot: int, message: Message) -> None:
        """Send a worker a message."""
        self.tools.mailbox.send(self.workers[slot].ends.channel, message)

    @property
    def is_held(self) -> bool:
        """Whether its workers are to fetch nothing."""
        return self.is_paused or bool(self.throttled)

    def tell_workers(self, message: Message, edition: int | None = None) -> None:
        """Send it to every worker that lives, or to those of one edition."""
        for number, worker in self.workers.items():
            slot = self.observed.slots[number]
            if slot.is_occupied and edition in (None, slot.edition) and not worker.has_ended():
                self.send(number, message)

    # Within

    def _traits(self, edition: int) -> Mapping[str, bool]:
        return self.loaded[edition].traits if edition in self.loaded else {}

    def _count(self, entry: Entry) -> int:
        """How many workers are wanted: as pinned, as scaled by the lag, or as the entry says."""
        common = entry.settings.common
        if self.pin is not None:
            return self.pin
        return min(common.most_workers, max(common.fewest_workers, self._autoscaled))

    def _follow_entry(self) -> None:
        """Want what the entry in force says, and have slots for it. Editions that are not in use are dropped."""
        before, pool, entry = self.wanted, self.observed, self.entry
        workers = self._count(entry)
        self.wanted = replace(entry.wanted(before.edition, workers), stop_deadline=before.stop_deadline)
        in_use = {before.edition, pool.established, *(slot.edition for slot in pool.slots.values())}
        self.observed = history.editions_forgotten(history.scaled(pool, workers, clock.monotonic()), in_use)
        in_use |= self.observed.zygotes.keys()
        self._entries = {edition: kept for edition, kept in self._entries.items() if edition in in_use}
        self.loaded = {edition: kept for edition, kept in self.loaded.items() if edition in in_use}
