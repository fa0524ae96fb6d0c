"""What the master knows of its pools: frozen values, which `history` changes and `plan` reads. Runs in the master.

All times are on the monotonic clock, in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from consumerd.model.identity import ConsumerName
from consumerd.model.slots import (
    OCCUPIED,
    POOL_MOVES,
    SLOT_MOVES,
    ZYGOTE_MOVES,
    PoolState,
    SlotState,
    ZygoteState,
    moved,
)
from consumerd.wire.board import Lane, lanes_in
from consumerd.wire.standing import Standing


@dataclass(frozen=True, slots=True)
class Condemned:
    """Why a worker has to be replaced: because of what it runs, or does not.

    reason: in words, without a subject.
    since: when that was decided.
    kill_at: until then it may still write its stacks, and is let off where it goes on.
    lane: of the running task which is the culprit; None where none runs, or is at fault, or nobody knows which.
    is_final: it is not let off.
    blame: what its task has done, as is told of it where the worker has been killed: `ran longer than …`.
    does_park: its running task is parked as dead, and not run again.
    is_asked: an operator wants it.
    """

    reason: str
    since: float
    kill_at: float
    lane: Lane | None = None
    is_final: bool = False
    blame: str = ""
    does_park: bool = False
    is_asked: bool = False

    @property
    def shard(self) -> int | None:
        return None if self.lane is None else self.lane.shard

    @property
    def offset(self) -> int | None:
        return None if self.lane is None else self.lane.cursor

    def is_let_off(self, standing: Standing) -> bool:
        """Whether its board, as it stands, shows that it went on after the sentence; what others did does not count."""
        if self.is_final:
            return False
        if self.lane is None:
            return standing.since_s > self.since
        lane, since_s = lanes_in(standing.words)[self.lane.number], standing.lanes[self.lane.number]
        return since_s is None or since_s > self.since or not lane.is_on(self.lane)


@dataclass(frozen=True, slots=True)
class Slot:
    """One slot.

    generation: of the process in it, or of the last one.
    edition: whose code and settings that process has, or was to have.
    pid: None until its zygote has named it.
    since: of its state.
    failures: unproven deaths in a row.
    restarts: how often it was filled again after an end that nobody had asked for.
    due_at: of its next start, while it backs off.
    deadline: while draining, when it has to be gone.
    is_worn: its process has done its part, and is to be replaced.
    condemned: why its worker is about to be killed; kept until the slot has another.
    refused: why the system refuses it a process, empty where it does not; refusals: how often in a row.
    """

    state: SlotState = SlotState.ABSENT
    generation: int = 0
    edition: int = 0
    pid: int | None = None
    since: float = 0.0
    failures: int = 0
    restarts: int = 0
    due_at: float = 0.0
    deadline: float = 0.0
    is_worn: bool = False
    is_killed: bool = False
    condemned: Condemned | None = None
    refused: str = ""
    refusals: int = 0

    @property
    def is_occupied(self) -> bool:
        return self.state in OCCUPIED


@dataclass(frozen=True, slots=True)
class Zygote:
    """The zygote of one edition.

    failures: ends in a row that nobody asked for.
    due_at: when it may be executed again.
    deadline: while leaving, when it has to be gone.
    refused: why the system refuses its process, empty where it does not.
    """

    state: ZygoteState = ZygoteState.ABSENT
    pid: int | None = None
    since: float = 0.0
    failures: int = 0
    due_at: float = 0.0
    deadline: float = 0.0
    is_killed: bool = False
    refused: str = ""

    @property
    def is_dropped(self) -> bool:
        """Whether it is killed because nobody needs what it loads any more."""
        return self.state is ZygoteState.LOADING and self.is_killed


@dataclass(frozen=True, slots=True)
class ObservedPool:
    """One pool.

    An *edition* is the pool's code and settings as of its start, a restart or a reload, each one more than the last.
    zygotes: by edition.
    established: the edition that has shown that it works, 0 before one has.
    rejected: the edition that was tried, did not hold up, and is not tried again.
    reason, traceback: why it failed, or why the edition was rejected.
    deaths: when unproven workers died of late.
    try_at: while failed, of its next try.
    """

    state: PoolState = PoolState.LOADING
    since: float = 0.0
    zygotes: Mapping[int, Zygote] = field(default_factory=dict)
    slots: Mapping[int, Slot] = field(default_factory=dict)
    established: int = 0
    rejected: int = 0
    reason: str = ""
    traceback: str = ""
    deaths: tuple[float, ...] = ()
    try_at: float = 0.0

    @property
    def is_lost(self) -> bool:
        """Failed, and nothing of it runs on."""
        return self.state is PoolState.FAILED and not any(slot.is_occupied for slot in self.slots.values())

    def zygote(self, edition: int) -> Zygote:
        """Of this edition; one that is absent where there never was one."""
        return self.zygotes.get(edition, _NO_ZYGOTE)

    def is_trial(self, edition: int) -> bool:
        """Whether an edition has yet to show that it works, beside one that has."""
        return 0 < self.established < edition != self.rejected

    def with_slot(self, number: int, **changes: Any) -> ObservedPool:  # fields of Slot
        return replace(self, slots={**self.slots, number: replace(self.slots[number], **changes)})

    def with_zygote(self, edition: int, **changes: Any) -> ObservedPool:  # fields of Zygote
        return replace(self, zygotes={**self.zygotes, edition: replace(self.zygote(edition), **changes)})

    def slot_becomes(self, number: int, state: SlotState, now: float, **changes: Any) -> ObservedPool:
        state = moved(SLOT_MOVES, self.slots[number].state, state)
        return self.with_slot(number, state=state, since=now, **changes)

    def zygote_becomes(self, edition: int, state: ZygoteState, now: float, **changes: Any) -> ObservedPool:
        state = moved(ZYGOTE_MOVES, self.zygote(edition).state, state)
        return self.with_zygote(edition, state=state, since=now, **changes)

    def becomes(self, state: PoolState, now: float) -> ObservedPool:
        return replace(self, state=moved(POOL_MOVES, self.state, state), since=now)


_NO_ZYGOTE = Zygote()


@dataclass(frozen=True, slots=True)
class WantedPool:
    """How one pool should be.

    stop_timeout_s: how long a worker has to drain, and one that waits for its slot's lock waits for the holder's end.
    restarts_finished: a worker whose source ended starts again.
    stop_deadline: when all of it has to be gone; None while it should run.
    edition: the newest.
    max_unavailable: how many slots may be without a running worker because of a restart or reload, or to be recycled.
    after: pools that have to be healthy before this one starts.
    is_essential: nothing runs without it.
    """

    workers: int
    stop_timeout_s: float
    restarts_finished: bool = False
    stop_deadline: float | None = None
    edition: int = 1
    max_unavailable: int = 1
    after: frozenset[ConsumerName] = frozenset()
    is_essential: bool = False


Observed = Mapping[ConsumerName, ObservedPool]
"""All pools, as they are."""

Wanted = Mapping[ConsumerName, WantedPool]
"""How the pools should be."""
