"""A worker makes no progress: its task does not end, its process is stopped."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd.doctor.facts import Facts, Finding, Step


def find(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools():
        stuck = [worker for worker in pool.now.workers if worker.stuck]
        if not stuck:
            continue
        first = stuck[0]
        place = f"{pool.name}#{first.slot}"
        evidence = [f"worker {worker.slot} (pid {worker.pid}) {worker.stuck}" for worker in stuck[:5]]
        if first.stuck_in == "stopped":
            yield Finding(
                "worker_frozen",
                pool.name,
                f"{pool.name} has workers that are stopped by a signal, and do nothing.",
                evidence,
                [
                    Step(f"kill -CONT {first.pid}", "let it go on"),
                    Step("consumerd status --workers", "see that it does"),
                ],
            )
        else:
            yield Finding(
                "task_stuck",
                pool.name,
                f"A task of {pool.name} does not end, and its worker waits with it.",
                evidence,
                [
                    Step(f"py-spy dump --pid {first.pid}", "see where the handler waits"),
                    Step(f"consumerd cancel {place}", "end the attempt: it is tried again"),
                    Step(f"consumerd cancel {place} --park", "end it, and keep the task for a person"),
                ],
                "Do not add workers: they wait at the same place, if it is one that all of them need.",
            )
