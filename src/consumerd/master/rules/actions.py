"""What the plan may ask for of a pool. `pools.performing` does it, and notes it in its history. Runs in the master."""

from __future__ import annotations

from dataclasses import dataclass

from consumerd.model.slots import PoolState


@dataclass(frozen=True, slots=True)
class ExecuteZygote:
    """Execute the zygote of an edition."""

    edition: int


@dataclass(frozen=True, slots=True)
class ForkWorker:
    """Have the zygote of an edition fork a worker for a slot."""

    slot: int
    edition: int


@dataclass(frozen=True, slots=True)
class AskToLeave:
    """Ask a worker to drain and leave by `deadline`. is_last: no other takes its slot over."""

    slot: int
    deadline: float
    is_last: bool = False


@dataclass(frozen=True, slots=True)
class Kill:
    """Kill a worker that is past its deadline, or condemned."""

    slot: int


@dataclass(frozen=True, slots=True)
class Vacate:
    """A slot without a process is not wanted any more."""

    slot: int


@dataclass(frozen=True, slots=True)
class AskZygoteToLeave:
    """Its edition is not needed any more, and the last worker of it is gone."""

    edition: int
    deadline: float


@dataclass(frozen=True, slots=True)
class KillZygote:
    """The zygote did not leave in time, or has nothing to lose."""

    edition: int


@dataclass(frozen=True, slots=True)
class PoolBecomes:
    """The pool is not wanted any more, and stops; or no process of it is left, and it is gone."""

    state: PoolState


Action = ExecuteZygote | ForkWorker | AskToLeave | Kill | Vacate | AskZygoteToLeave | KillZygote | PoolBecomes
