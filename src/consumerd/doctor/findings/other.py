"""What `status` calls a problem, and no other finding has a name for."""

from __future__ import annotations

from collections.abc import Collection, Iterator

from consumerd.doctor.facts import Facts, Finding, Step


def find(facts: Facts, named: Collection[str]) -> Iterator[Finding]:
    """Of the consumers of which nothing else was found. named: the others."""
    for pool in facts.pools():
        if pool.now.wrong and pool.name not in named:
            yield Finding(
                "other_problem",
                pool.name,
                f"{pool.name} is not healthy.",
                [pool.without_name(problem) for problem in pool.now.wrong],
                [
                    Step("consumerd status --workers", "see what each worker does"),
                    Step(f"consumerd logs {pool.name}", "see what they said last"),
                ],
            )
