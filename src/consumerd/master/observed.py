"""What the master knows of its pools: frozen values, which `history` changes and `plan` reads. Runs in the master.

All times are on the monotonic clock, in seconds.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from consumerd.model.identity import ConsumerName
from consumerd.model.slots import OCCUPIED, PoolState, SlotState, ZygoteState


@dataclass(frozen=True, slots=True)
class Slot:
    """One slot.

    generation: of the process in it, or of the last one. pid: None until its zygote has named it.
    since: of its state. failures: unproven deaths in a row. due_at: of its next start, while it backs off.
    deadline: while draining, when it has to be gone. look_at: while starting, when to look who holds its lock.
    """

    state: SlotState = SlotState.ABSENT
    generation: int = 0
    pid: int | None = None
    since: float = 0.0
    failures: int = 0
    restarts: int = 0
    due_at: float = 0.0
    deadline: float = 0.0
    look_at: float = 0.0
    is_killed: bool = False

    @property
    def is_occupied(self) -> bool:
        return self.state in OCCUPIED


@dataclass(frozen=True, slots=True)
class Zygote:
    """The zygote of a pool. failures: ends in a row that nobody asked for; deadline: while leaving."""

    state: ZygoteState = ZygoteState.ABSENT
    pid: int | None = None
    since: float = 0.0
    failures: int = 0
    due_at: float = 0.0
    deadline: float = 0.0
    is_killed: bool = False


@dataclass(frozen=True, slots=True)
class Pool:
    """One pool. reason, traceback: why it failed."""

    state: PoolState = PoolState.LOADING
    since: float = 0.0
    zygote: Zygote = Zygote()
    slots: Mapping[int, Slot] = field(default_factory=dict)
    reason: str = ""
    traceback: str = ""

    @property
    def is_lost(self) -> bool:
        """Failed, and nothing of it runs on."""
        return self.state is PoolState.FAILED and not any(slot.is_occupied for slot in self.slots.values())


@dataclass(frozen=True, slots=True)
class Observed:
    """All pools, as they are."""

    pools: Mapping[ConsumerName, Pool]


@dataclass(frozen=True, slots=True)
class WantedPool:
    """How one pool should be.

    stop_deadline: when all of it has to be gone; None while it should run.
    stop_timeout_s: how long a worker that waits for its slot's lock waits for the holder's own end.
    """

    workers: int
    stop_timeout_s: float
    restarts_finished: bool = False
    stop_deadline: float | None = None


@dataclass(frozen=True, slots=True)
class Wanted:
    """How the pools should be."""

    pools: Mapping[ConsumerName, WantedPool]
