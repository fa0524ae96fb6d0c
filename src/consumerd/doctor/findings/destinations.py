"""What tasks need does not answer: one destination of many, or what all of them need."""

from __future__ import annotations

import shlex
from collections.abc import Iterator

from consumerd.doctor.facts import Facts, Finding, Pool, Step
from consumerd.wire.problems import PoolProblem, ProblemKind


def find(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools():
        flag, away = pool.flag("destination"), pool.problems(ProblemKind.DESTINATION_OPEN)
        if flag is not None or away:
            errors = [flag.error] if flag is not None else []
            yield _down(pool, [*errors, *(pool.without_name(problem) for problem in away)])
        yield from (_held(pool, problem) for problem in pool.problems(ProblemKind.DESTINATION_HELD))


def _down(pool: Pool, evidence: list[str]) -> Finding:
    return Finding(
        "destination_down",
        pool.name,
        f"What tasks of {pool.name} need does not answer; they wait, and no attempt is burnt.",
        evidence,
        [
            Step(f"consumerd destinations {pool.name}", "see which, since when, and how many tasks wait"),
            Step("", "bring it back: a probe finds out within some seconds, and the tasks follow at a rate that grows"),
        ],
        "Do not retry parked tasks yet, and do not close it by hand: what needs it would fail again.",
    )


def _held(pool: Pool, problem: PoolProblem) -> Finding:
    name = problem.about
    return Finding(
        "destination_held",
        pool.name,
        f"Somebody has opened the destination {name} of {pool.name} by hand; its tasks wait until it is closed.",
        [pool.without_name(problem)],
        [
            Step(f"consumerd destinations {pool.name}", "see since when; audit.log has who it was"),
            Step(f"consumerd destinations close {shlex.quote(name)}", "let its tasks go on, once that is agreed"),
        ],
    )
