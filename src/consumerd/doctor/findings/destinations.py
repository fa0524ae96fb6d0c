"""What tasks need does not answer: one destination of many, or what all of them need."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd.doctor.facts import Facts, Finding, Step


def find(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools():
        flag = pool.flag("destination")
        away = [problem for problem in pool.now.problems if "destination" in problem]
        if flag is None and not away:
            continue
        evidence = [*([flag.error] if flag is not None else []), *(problem.partition(": ")[2] for problem in away)]
        yield Finding(
            "destination_down",
            pool.name,
            f"What tasks of {pool.name} need does not answer; they wait, and no attempt is burnt.",
            evidence,
            [
                Step(f"consumerd destinations {pool.name}", "see which, since when, and how many tasks wait"),
                Step("", "bring it back: a probe finds out within a minute, and the tasks follow at a rate that grows"),
            ],
            "Do not retry parked tasks yet, and do not close it by hand: what needs it would fail again.",
        )
