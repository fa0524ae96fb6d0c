"""A worker makes no progress: its task does not end, its loop waits for something, its process is stopped."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd.doctor.facts import Facts, Finding, Step


def find(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools():
        stuck = [worker for worker in pool.now.workers if worker.stuck]
        if not stuck:
            continue
        first = stuck[0]
        worker = f"{pool.name}#{first.slot}"
        evidence = [f"worker {each.slot} (pid {each.pid}) {each.stuck}" for each in stuck[:5]]
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
        elif first.stuck_in == "loop":
            yield Finding(
                "worker_stuck",
                pool.name,
                f"{pool.name} has workers that make no progress, and run no task meanwhile.",
                evidence,
                [
                    Step(f"consumerd stacks {worker}", "see where it waits: in its source, perhaps, or in a hook"),
                    Step(f"kill -KILL {first.pid}", "have it replaced at once: what it has in hand comes again"),
                ],
                "Do not add workers: they wait at the same place, if it is one that all of them need.",
            )
        else:
            task = first.task or worker  # with `concurrency` only the task itself can be cancelled
            yield Finding(
                "task_stuck",
                pool.name,
                f"A task of {pool.name} does not end, and its worker waits with it.",
                evidence,
                [
                    Step(f"consumerd stacks {worker}", "see where the handler waits"),
                    Step(f"consumerd cancel {task}", "end the attempt: it is tried again"),
                    Step(f"consumerd cancel {task} --park", "end it, and keep the task for a person"),
                ],
                "Do not add workers: they wait at the same place, if it is one that all of them need.",
            )
