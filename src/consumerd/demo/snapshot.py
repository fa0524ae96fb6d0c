"""What the demo's view shows of the master's status, parsed once."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from consumerd.errors import WireError


@dataclass(frozen=True, slots=True)
class WorkerSight:
    """One slot. offset: of the task that is being handled; pid: None where the slot holds no process."""

    slot: int
    pid: int | None
    generation: int
    state: str
    offset: int | None
    handled: int
    failed: int
    parked: int

    @property
    def is_running(self) -> bool:
        return self.state == "running" and self.pid is not None

    @property
    def is_busy(self) -> bool:
        return self.is_running and self.offset is not None


@dataclass(frozen=True, slots=True)
class Snapshot:
    """All workers of the one pool, and why it is not well, one sentence each."""

    workers: tuple[WorkerSight, ...]
    problems: tuple[str, ...] = ()
    is_failed: bool = False

    def worker(self, slot: int) -> WorkerSight | None:
        return next((worker for worker in self.workers if worker.slot == slot), None)


def parse_status(document: Any) -> Snapshot:  # JSON, of any shape until it is parsed
    """The snapshot in the answer to `status`. WireError where the answer has another shape."""
    try:
        (pool,) = document["pools"]
        return Snapshot(
            workers=tuple(_worker(worker) for worker in pool["workers"]),
            problems=tuple(str(problem) for problem in document["problems"]),
            is_failed=pool["state"] == "failed",
        )
    except (KeyError, TypeError, ValueError) as error:
        raise WireError(f"the master's status has another shape than this demo knows: {error!r}") from error


def _worker(worker: Any) -> WorkerSight:  # as above
    return WorkerSight(
        slot=int(worker["slot"]),
        pid=worker["pid"],
        generation=int(worker["generation"]),
        state=str(worker["state"]),
        offset=worker.get("offset"),
        handled=worker.get("handled", 0),
        failed=worker.get("failed", 0),
        parked=worker.get("parked", 0),
    )
