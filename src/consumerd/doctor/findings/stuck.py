"""A worker makes no progress: its task does not end, its loop waits for something, its process is stopped."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd.doctor.facts import Facts, Finding, Step
from consumerd.wire.status import WorkerStatus

AVOID = "Do not add workers: they wait at the same place, if it is one that all of them need."


def find(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools():
        stuck = [worker for worker in pool.now.workers if worker.stuck]
        if stuck:
            evidence = [f"worker {worker.slot} (pid {worker.pid}) {worker.stuck}" for worker in stuck[:5]]
            found = {"stopped": _frozen, "loop": _out_of_task}.get(stuck[0].stuck_in or "", _on_task)
            yield found(pool.name, stuck[0], evidence)


def _frozen(pool: str, first: WorkerStatus, evidence: list[str]) -> Finding:
    return Finding(
        "worker_frozen",
        pool,
        f"{pool} has workers that are stopped by a signal, and do nothing.",
        evidence,
        [
            Step(f"kill -CONT {first.pid}", "let it go on"),
            Step("consumerd status --workers", "see that it does"),
        ],
    )


def _out_of_task(pool: str, first: WorkerStatus, evidence: list[str]) -> Finding:
    """It runs no task, so that none can be cancelled."""
    return Finding(
        "worker_stuck",
        pool,
        f"{pool} has workers that make no progress, and run no task meanwhile.",
        evidence,
        [
            Step(f"consumerd stacks {pool}#{first.slot}", "see where it waits: in its source, perhaps, or in a hook"),
            Step(f"kill -KILL {first.pid}", "have it replaced at once: what it has in hand comes again"),
        ],
        AVOID,
    )


def _on_task(pool: str, first: WorkerStatus, evidence: list[str]) -> Finding:
    """Of several tasks of a worker, one has to be named to be cancelled."""
    worker = f"{pool}#{first.slot}"
    task = first.task or worker
    return Finding(
        "task_stuck",
        pool,
        f"A task of {pool} does not end, and its worker waits with it.",
        evidence,
        [
            Step(f"consumerd stacks {worker}", "see where the handler waits"),
            Step(f"consumerd cancel {task}", "end the attempt: it is tried again"),
            Step(f"consumerd cancel {task} --park", "end it, and keep the task for a person"),
        ],
        AVOID,
    )
