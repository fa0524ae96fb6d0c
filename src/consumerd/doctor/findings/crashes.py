"""Workers die: of one task, or again and again."""

from __future__ import annotations

import math
from collections.abc import Iterator

from consumerd import clock, events
from consumerd.doctor.facts import Facts, Finding, Pool, Step
from consumerd.doctor.past import Happened
from consumerd.doctor.suspects import suspects_told

DEPLOYED_S = 1800.0
"""A change that was so short a time ago may be why workers die."""
BACK, MENDED = "once the code from before is back", "once the code, or what it needs, is mended"
MANY_ENDS = 3
WITHIN_S = 180.0
MOST_NAMED = 3
QUIET_S = 60.0
"""After so long without a death it is over."""


def find(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools():
        now, said = pool.now, pool.last_words()
        dying = [worker for worker in now.workers if worker.state == "backing_off"]
        if now.suspects:
            yield Finding(
                "task_kills_workers",
                pool.name,
                f"Workers of {pool.name} died while they ran certain tasks; each of these is run alone, and watched.",
                list(filter(None, [*_suspects(pool, facts), _counted(pool), said])),
                [
                    Step(f"consumerd logs {pool.name}", "see how the workers died"),
                    Step(f"consumerd parked list {pool.name}", "one that has killed too many is kept there"),
                    Step(f"consumerd restart {pool.name} --wait", "once the code is mended; else the task is parked"),
                ],
                "Do not retry parked tasks that say that they have killed workers, before the code is mended.",
            )
        elif (now.state == "failed" and said) or len(dying) > 1 or _often(pool, facts):
            deployed = _deployed(pool, facts)
            yield Finding(
                "crash_loop",
                pool.name,
                f"Workers of {pool.name} die again and again, and each start waits longer.",
                list(filter(None, [deployed, now.reason, said])),
                [
                    Step(f"consumerd logs {pool.name}", "see what they say at their end"),
                    Step(f"consumerd restart {pool.name} --wait", BACK if deployed else MENDED),
                ],
                "Do not restart the master: it starts them all at once, and changes nothing.",
            )


def _suspects(pool: Pool, facts: Facts) -> list[str]:
    return suspects_told(facts.recent(pool.name, math.inf), min(MOST_NAMED, pool.now.suspects))


def _counted(pool: Pool) -> str:
    return f"so far, of tasks {pool.now.suspects}, of restarts {pool.now.restarts}"


def _often(pool: Pool, facts: Facts) -> bool:
    """Whether its workers have died several times lately, though nobody had asked them to."""
    ends = _crashes(facts.since_change(pool.name, WITHIN_S))
    return len(ends) >= MANY_ENDS and facts.at - ends[-1] <= QUIET_S


def _deployed(pool: Pool, facts: Facts) -> str:
    """That it began with a change, where it did."""
    happened = facts.recent(pool.name, DEPLOYED_S)
    changes = [each.at for each in happened if each.name == events.edition_established.name]
    if not changes:
        return ""
    if any(at < changes[-1] for at in _crashes(happened)):
        return ""
    return f"none had died before edition {pool.now.edition}, which came at {clock.moment(changes[-1])}"


def _crashes(happened: list[Happened]) -> list[float]:
    """When workers ended though nobody had asked them to, nor had killed them; without those that died of a task which
    has killed as many as it may: it is not run again.
    """
    told = [each for each in happened if each.name == events.task_suspected.name]
    past = {each.fields["task"] for each in told if each.fields["crashes"] >= each.fields["limit"]}
    found, died_of = [], None
    for each in happened:
        if each.name == events.task_suspected.name:
            died_of = each.fields["task"]  # told just before the end of its worker
        elif each.name == events.worker_ended.name:
            if each.fields.get("cause") == "crashed" and died_of not in past:
                found.append(each.at)
            died_of = None
    return found
