"""One pool's processes, with the master's own ends of them, and what they have told. Runs in the master."""

from __future__ import annotations

import math
import os
import select
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field

from consumerd.errors import WireError
from consumerd.master.host.launcher import Executed, Seating
from consumerd.master.pools.flight import FlightRecord
from consumerd.master.rules.autoscale import Judgement
from consumerd.master.rules.flow import Flow, MeasuredLag
from consumerd.master.rules.suspects import Suspects
from consumerd.master.rules.watch import Glance, Sight, Stuck
from consumerd.wire.board import Reading
from consumerd.wire.messages import Reported
from consumerd.wire.recent import KEPT, Recent, recent_in, together


@dataclass(frozen=True, slots=True)
class Away:
    """What a worker reported of something that is away. since: wall time; error: as it said it."""

    since: float
    error: str


@dataclass
class Worker:
    """A worker's process, from the fork that was asked for until it is reaped.

    jitter: its own, from [0, 1), by which it is recycled earlier. memory_bytes: its own, as read at memory_read_at.
    ready_at: when its loop began. sight: how it was last seen; stuck: why it makes no progress, as of then.
    glance: its board at the last look, which the sight may be older than: then it has idled on since.
    away: by its reports, what is away (`store`, `source`). silent_since: when its channel ended.
    failed: by its reports, the last error of a task, or what it ends of, with `error` and, for an end, `traceback`.
    """

    generation: int
    seating: Seating
    pid: int | None = None
    pidfd: int | None = None
    ready_at: float | None = None
    sight: Sight | None = None
    glance: Glance | None = None
    stuck: Stuck | None = None
    jitter: float = 0.0
    memory_bytes: int | None = None
    memory_read_at: float | None = None
    away: dict[str, Away] = field(default_factory=dict)
    silent_since: float | None = None
    failed: Reported | None = None

    def reading(self) -> Reading | None:
        """Its board; None where a crash has left nonsense on it."""
        try:
            return self.seating.board.read()
        except WireError:
            return None

    def idles_on(self, now: float) -> bool:
        """A quick look: whether it idles as it did at the last one, and its loop has turned since.

        Its sight is left as it was; where it does not idle on, that is first brought up to the last look.
        """
        before, self.glance = self.glance, Glance(self.seating.board.look(), now)
        if before is None or self.sight is None:
            return False
        if self.sight.is_idling and before.has_only_turned(self.glance):
            return True
        if self.sight.seen_at < before.at:
            with suppress(WireError):  # nonsense by now: the look that follows says so
                self.sight = before.sight()
        return False

    def has_ended(self) -> bool:
        """Whether its process is dead, though nobody may have reaped it yet."""
        if self.pidfd is None:
            return False
        ends = select.poll()
        ends.register(self.pidfd, select.POLLIN)
        return bool(ends.poll(0))

    def close(self) -> None:
        """Close what is neither the channel nor the stderr pipe: those end where they are read."""
        self.seating.board.close()
        if self.pidfd is not None:
            os.close(self.pidfd)


@dataclass
class Counts:
    """What the workers of a pool have done; the boards of the dead are added up here."""

    handled: int = 0
    failed: int = 0
    parked: int = 0
    unsettled: int = 0

    def add(self, reading: Reading, *, is_alive: bool) -> None:
        """Add a board. What a dead worker left unsettled comes again, and is counted then."""
        self.handled += reading.handled
        self.failed += reading.failed
        self.parked += reading.parked
        self.unsettled += reading.unsettled if is_alive else 0


@dataclass(frozen=True, slots=True)
class LastError:
    """The last thing that went wrong in a pool. at: wall time."""

    name: str
    fields: Mapping[str, object]
    at: float


@dataclass(frozen=True, slots=True)
class ParkedCount:
    """How many tasks are parked, as a worker counted them. heard_at: monotonic."""

    waiting: int
    dead: int
    heard_at: float


@dataclass
class Processes:
    """One pool's processes, and what they have told. zygotes: by edition; traits: by edition, of its source; live: the
    keys that its class takes live.

    last_ends: by slot, of the last worker that ended though nobody had asked it to. flow: whether its source gives what
    waits; stalled_shards: those of which it does not.
    are_suspects_told: whether the workers know of the suspects as they are now.
    judgement: how many workers its lag asks for, where that is asked; looked_at: when that lag was heard.
    lag_at_pause: how many tasks waited when the lag was first measured in the pause that lasts.
    recent: what became of late of the tasks of workers that are dead.
    surveyor: who was asked to measure the lag in the place of slot 0's worker: slot and generation.
    """

    zygotes: dict[int, Executed] = field(default_factory=dict)
    workers: dict[int, Worker] = field(default_factory=dict)
    buried: Counts = field(default_factory=Counts)
    last_error: LastError | None = None
    lag: MeasuredLag | None = None
    parked_now: ParkedCount | None = None
    lag_at_pause: int | None = None
    source: str | None = None
    traits: dict[int, Mapping[str, bool]] = field(default_factory=dict)
    live: dict[int, frozenset[str]] = field(default_factory=dict)
    last_ends: dict[int, FlightRecord] = field(default_factory=dict)
    flow: Flow | None = None
    stalled_shards: frozenset[int] = frozenset()
    judgement: Judgement | None = None
    looked_at: float = -math.inf
    surveyor: tuple[int, int] | None = None
    recent: Recent = field(default_factory=Recent)
    suspects: Suspects = field(default_factory=Suspects)
    are_suspects_told: bool = True

    def forget_editions(self, *, but: set[int]) -> None:
        """Drop what the zygotes of other editions have told."""
        self.traits = {edition: traits for edition, traits in self.traits.items() if edition in but}
        self.live = {edition: keys for edition, keys in self.live.items() if edition in but}

    def note_lag(self, lag: MeasuredLag, *, is_paused: bool) -> None:
        """A worker has measured it."""
        self.lag = lag
        before = lag.tasks if self.lag_at_pause is None else self.lag_at_pause
        self.lag_at_pause = before if is_paused else None

    def counts(self) -> Counts:
        """Of the dead and the living."""
        counts = Counts(self.buried.handled, self.buried.failed, self.buried.parked)
        for worker in self.workers.values():
            reading = worker.reading()
            if reading is not None:
                counts.add(reading, is_alive=True)
        return counts

    @property
    def failures_in_a_row(self) -> int:
        """How many attempts of the pool, whoever made them, have failed since one last succeeded; 0 while they are too
        few to tell."""
        living = (worker.seating.board.words for worker in self.workers.values() if worker.reading() is not None)
        failures = len(together([self.recent, *map(recent_in, living)]).failed_ns)
        return failures if failures >= KEPT else 0

    def bury(self, worker: Worker) -> None:
        """Keep what a dead worker has done, as far as its board can be believed."""
        reading = worker.reading()
        if reading is not None:
            self.buried.add(reading, is_alive=False)
            self.recent = together([self.recent, recent_in(worker.seating.board.words)])
