"""How far the demo has come, and what it does next: pure."""

from __future__ import annotations

from dataclasses import dataclass, replace

from consumerd.demo.snapshot import Snapshot, WorkerSight


@dataclass(frozen=True, slots=True)
class Kill:
    """The worker that was killed.

    handled: what it had handled when it was last looked at; replaced_by: the process that has its slot now; after_s:
    how long that took.
    """

    slot: int
    pid: int
    generation: int
    at_s: float
    handled: int = 0
    replaced_by: int | None = None
    after_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Progress:
    """One look. done, parked, pending: as the databases say; snapshot: as the master says, None until it answers.

    pending: tasks that are not settled yet, some of which may be done.
    """

    elapsed_s: float
    produced: int
    done: int
    parked: int
    pending: int
    snapshot: Snapshot | None = None
    kill: Kill | None = None

    @property
    def is_half_way(self) -> bool:
        return self.done * 2 >= self.produced

    @property
    def is_finished(self) -> bool:
        """Whether nothing is pending any more, and the slot of a killed worker has its next process."""
        return self.pending == 0 and (self.kill is None or self.kill.replaced_by is not None)


def choose_victim(progress: Progress) -> WorkerSight | None:
    """Whom to kill now: half-way, once, a worker that has a task in its hands; the busiest of them."""
    if progress.kill is not None or not progress.is_half_way or progress.snapshot is None:
        return None
    busy = [worker for worker in progress.snapshot.workers if worker.is_busy]
    return max(busy, key=lambda worker: worker.handled, default=None)


def with_replacement(kill: Kill, snapshot: Snapshot | None, now_s: float) -> Kill:
    """The same kill, with its replacement once that is seen running."""
    worker = None if snapshot is None else snapshot.worker(kill.slot)
    if kill.replaced_by is not None or worker is None or not worker.is_running or worker.generation <= kill.generation:
        return kill
    return replace(kill, replaced_by=worker.pid, after_s=now_s - kill.at_s)
