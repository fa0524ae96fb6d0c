"""Attempts fail: all of them, or more than succeed."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd.doctor.facts import Facts, Finding, Pool, Step
from consumerd.wire.problems import ProblemKind

MANY_A_SECOND = 1.0


def find(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools():
        flag = pool.flag("failing")
        in_a_row = pool.problems(ProblemKind.FAILURES_IN_A_ROW)
        if flag is not None:
            yield _all_fail(pool, flag.error)
        elif in_a_row and pool.flag("destination") is None:
            yield _all_fail(pool, _last_error(pool) or pool.without_name(in_a_row[0]))
        elif (failed := pool.per_second("failed")) > max(MANY_A_SECOND, pool.per_second("handled")):
            yield Finding(
                "retry_storm",
                pool.name,
                f"More attempts of {pool.name} fail than succeed: retries keep its workers busy.",
                [
                    f"{failed:.0f} fail a second, {pool.per_second('handled'):.0f} succeed",
                    *filter(None, [_last_error(pool)]),
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


def _all_fail(pool: Pool, error: str) -> Finding:
    return Finding(
        "all_attempts_fail",
        pool.name,
        f"All tasks of {pool.name} fail of one error.",
        [error],
        [
            Step(f"consumerd parked list {pool.name}", "see which tasks are parked, if any"),
            Step("consumerd parked show HANDLE", "see one of them, its record and its traceback"),
            Step(f"consumerd restart {pool.name} --wait", "run the mended code"),
            Step(
                f"consumerd parked retry --all --target {pool.name}",
                "once one has succeeded",
            ),
        ],
        "Do not retry all yet: they would die of the same error.",
    )


def _last_error(pool: Pool) -> str:
    last = pool.now.last_error
    return "" if last is None else str(last.fields.get("error", ""))
