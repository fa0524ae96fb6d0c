"""What `status` calls a problem, and no other finding has a name for."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from consumerd.doctor.facts import Facts, Finding, Pool, Step
from consumerd.wire.problems import PoolProblem, ProblemKind

PASSES_S = 30.0
"""A worker that is started, replaced or asked to leave is not up for so long, and all is well."""
UP = ("running", "stalled", "finished")


def find(facts: Facts, named: Collection[str]) -> Iterator[Finding]:
    """Of the consumers of which nothing else was found. named: the others."""
    for pool in facts.pools():
        lasting = [problem for problem in pool.now.wrong if not _passes(pool, problem)]
        if lasting and pool.name not in named:
            yield Finding(
                "other_problem",
                pool.name,
                f"{pool.name} is not healthy.",
                [pool.without_name(problem) for problem in lasting],
                [
                    Step("consumerd status --workers", "see what each worker does"),
                    Step(f"consumerd logs {pool.name}", "see what they said last"),
                ],
            )


def _passes(pool: Pool, problem: PoolProblem) -> bool:
    """Whether it is what a start, a restart or a change of the number of workers looks like for a moment."""
    if problem.kind is ProblemKind.NOT_UP:
        return pool.now.since_s < PASSES_S
    missing = (worker for worker in pool.now.workers if worker.state not in UP)
    return problem.kind is ProblemKind.TOO_FEW_UP and all(worker.since_s < PASSES_S for worker in missing)
