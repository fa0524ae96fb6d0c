"""The pools with the master's own ends of their processes: what it acts on and shows. Runs in the master."""

from __future__ import annotations

import os
import select
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from consumerd import clock
from consumerd.config.shape import ConsumerSettings
from consumerd.config.state_dir import StateDirectory
from consumerd.errors import WireError
from consumerd.master import history
from consumerd.master.launchers.contract import Executed, Seating
from consumerd.master.observed import Observed, Pool, Wanted, WantedPool
from consumerd.model.identity import ConsumerName
from consumerd.wire.board import Reading
from consumerd.wire.messages import Seated

LAST_WORDS_S = 5.0
"""A failure that a worker told so shortly before its end is why it ended."""


@dataclass(frozen=True)
class Entry:
    """One consumer's entry, as the master uses it. stop_timeout_s: of this pool."""

    settings: ConsumerSettings
    seated: Seated
    state_dir: StateDirectory
    stop_timeout_s: float

    @property
    def name(self) -> ConsumerName:
        return self.settings.full_name

    def slot_lock(self, slot: int) -> Path:
        return self.state_dir.slot_lock(self.name, slot)


@dataclass(frozen=True, slots=True)
class Away:
    """What a worker reported of something that is away. since: wall time; error: as it said it."""

    since: float
    error: str


@dataclass
class Worker:
    """A worker's process, from the fork that was asked for until it is reaped.

    ready_at: when its loop began. away: by its reports, what is away (`store`, `source`).
    """

    generation: int
    seating: Seating
    pid: int | None = None
    pidfd: int | None = None
    ready_at: float | None = None
    away: dict[str, Away] = field(default_factory=dict)

    def reading(self) -> Reading | None:
        """Its board; None where a crash has left nonsense on it."""
        try:
            return self.seating.board.read()
        except WireError:
            return None

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
class MeasuredLag:
    """The lag as a worker told it last: (shard, tasks, oldest_s, position) of each shard. heard_at: monotonic."""

    shards: tuple[tuple[int, int, float | None, int], ...]
    heard_at: float


@dataclass
class Processes:
    """One pool's processes, and what they have told."""

    zygote: Executed | None = None
    workers: dict[int, Worker] = field(default_factory=dict)
    buried: Counts = field(default_factory=Counts)
    last_error: LastError | None = None
    lag: MeasuredLag | None = None
    source: str | None = None

    def counts(self) -> Counts:
        """Of the dead and the living."""
        counts = Counts(self.buried.handled, self.buried.failed, self.buried.parked)
        for worker in self.workers.values():
            reading = worker.reading()
            if reading is not None:
                counts.add(reading, is_alive=True)
        return counts


class Pools:
    """Every pool: its entry, how it should be, how it is, and its processes."""

    def __init__(self, entries: Iterable[Entry], now: float) -> None:
        self.entries = {entry.name: entry for entry in entries}
        self.processes = {name: Processes() for name in self.entries}
        self._wanted = {name: _wanted(entry) for name, entry in self.entries.items()}
        self._observed = {name: history.new_pool(_wanted(entry).workers, now) for name, entry in self.entries.items()}

    def __getitem__(self, name: ConsumerName) -> Pool:
        return self._observed[name]

    def __setitem__(self, name: ConsumerName, pool: Pool) -> None:
        self._observed[name] = pool

    def __iter__(self) -> Iterator[ConsumerName]:
        return iter(self.entries)

    @property
    def observed(self) -> Observed:
        return Observed(self._observed)

    @property
    def wanted(self) -> Wanted:
        return Wanted(self._wanted)

    def want_stop(self, now: float) -> float:
        """Want every pool gone, each by its own deadline; the latest of them. Asked again, nothing changes."""
        for name, wanted in self._wanted.items():
            if wanted.stop_deadline is None:
                deadline = now + wanted.stop_timeout_s
                self._wanted[name] = WantedPool(
                    wanted.workers, wanted.stop_timeout_s, wanted.restarts_finished, stop_deadline=deadline
                )
        return max((wanted.stop_deadline or now for wanted in self._wanted.values()), default=now)

    def owner_of(self, pid: int) -> tuple[ConsumerName, int | None] | None:
        """Whose process it is: a pool's zygote (slot None), or the worker of a slot."""
        for name, processes in self.processes.items():
            if processes.zygote is not None and processes.zygote.pid == pid:
                return name, None
            for slot, worker in processes.workers.items():
                if worker.pid == pid:
                    return name, slot
        return None

    def note_error(self, name: ConsumerName, what: str, fields: Mapping[str, object]) -> None:
        self.processes[name].last_error = LastError(what, dict(fields), clock.wall())

    def note_end(self, name: ConsumerName, slot: int, end: str) -> None:
        """A worker's end that nobody asked for: an error, unless the worker has just said itself why it ends."""
        last, now = self.processes[name].last_error, clock.wall()
        is_told = last is not None and last.name == "consume_failed" and last.fields.get("worker_id") == slot
        if last is None or not is_told or now - last.at > LAST_WORDS_S:
            self.note_error(name, "worker_ended", {"worker_id": slot, "end": end})


def _wanted(entry: Entry) -> WantedPool:
    common = entry.settings.common
    return WantedPool(common.workers, entry.stop_timeout_s, restarts_finished=common.restart == "always")
