"""Attempts fail: all of them, or more than succeed."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from msgspec import UNSET

from consumerd import clock, events
from consumerd.doctor.facts import Facts, Finding, Pool, Step
from consumerd.doctor.past import Happened
from consumerd.wire.problems import ProblemKind

MANY_A_SECOND = 1.0
MANY_DEAD = 3


def find(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools():
        flag = pool.flag("failing")
        in_a_row = pool.problems(ProblemKind.FAILURES_IN_A_ROW)
        if flag is not None:
            yield _all_fail(pool, f"All tasks of {pool.name} fail of one error.", flag.error)
        elif in_a_row and pool.flag("destination") is None:
            sentence = f"One new task of {pool.name} after the other has failed, and none was done in between."
            yield _all_fail(pool, sentence, pool.without_name(in_a_row[0]), *_last_errors(pool))
        elif dead := _dead_of_now(pool, facts):
            yield _all_fail(pool, f"{len(dead)} tasks of {pool.name} have died, and none was done.", *_told(pool, dead))
        elif (failed := pool.per_second("failed")) > max(MANY_A_SECOND, pool.per_second("handled")):
            yield Finding(
                "retry_storm",
                pool.name,
                f"More attempts of {pool.name} fail than succeed: retries keep its workers busy.",
                [
                    f"{failed:.0f} fail a second, {pool.per_second('handled'):.0f} succeed",
                    *_last_errors(pool),
                    *([f"{pool.now.parked_now.waiting} tasks wait to be tried again"] if pool.now.parked_now else []),
                ],
                [
                    Step(f"consumerd parked list {pool.name}", "see which errors they are"),
                    Step(f"consumerd pause {pool.name}", "if what they need must recover first"),
                    Step(f"consumerd restart {pool.name} --wait", "run the mended code"),
                    *pool.look_longer(),
                ],
                "Do not scale it up, and do not retry all yet: it would fail faster.",
            )


def _dead_of_now(pool: Pool, facts: Facts) -> list[Happened]:
    """How the tasks died that its workers had since its edition came, where they are some and none was done."""
    if not pool.at_work or any(worker.handled for worker in pool.at_work if worker.handled is not UNSET):
        return []
    happened = facts.since_change(pool.name, max(worker.since_s for worker in pool.at_work))
    dead = [each for each in happened if each.name == events.task_died.name and each.fields["state"] == "dead"]
    return dead if len(dead) >= MANY_DEAD else []


def _told(pool: Pool, dead: Sequence[Happened]) -> Iterator[str]:
    yield f"in edition {pool.now.edition}; the last died at {clock.moment(dead[-1].at)}"
    yield str(dead[-1].fields.get("error", ""))


def _all_fail(pool: Pool, sentence: str, *evidence: str) -> Finding:
    return Finding(
        "all_attempts_fail",
        pool.name,
        sentence,
        list(evidence),
        [
            Step(f"consumerd parked list {pool.name}", "see which tasks are parked, if any"),
            Step("consumerd parked show HANDLE", "see one of them, its record and its traceback"),
            Step(f"consumerd restart {pool.name} --wait", "run the mended code"),
            Step(
                f"consumerd parked retry --all --target {pool.name}",
                "once one has succeeded",
            ),
        ],
        "Do not retry all yet: they would fail again.",
    )


def _last_errors(pool: Pool) -> list[str]:
    last = pool.now.last_error
    return [] if last is None or not last.fields.get("error") else [str(last.fields["error"])]
