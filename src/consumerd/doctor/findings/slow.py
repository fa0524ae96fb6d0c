"""Tasks take far longer than they used to: what they call answers slowly."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd.doctor.facts import Facts, Finding, Pool, Step

MUCH = 10.0
"""So many times longer than usual."""
LONG_S = 1.0
FULL = 0.9


def find(facts: Facts) -> Iterator[Finding]:
    yield from (_slow(pool) for pool in facts.pools() if is_slow(pool))


def is_slow(pool: Pool) -> bool:
    """Whether all places for tasks are taken by such as take far longer than most did, while others wait."""
    running, lanes = pool.lanes
    if pool.usual_s is None or not lanes or running < FULL * lanes or not pool.waiting_tasks:
        return False
    return pool.now_s > max(LONG_S, MUCH * pool.usual_s)


def _slow(pool: Pool) -> Finding:
    running, lanes = pool.lanes
    longest = max(pool.at_work, key=lambda worker: worker.busy_s or 0.0)
    return Finding(
        "tasks_slow",
        pool.name,
        f"Tasks of {pool.name} take far longer than they used to: what they call answers slowly.",
        [
            f"half of all took {pool.usual_s:g} s at most, those of now take about {pool.now_s:.1f} s",
            f"{running} of {lanes} places for tasks are taken, and {pool.waiting_tasks} tasks wait",
        ],
        [
            Step(f"consumerd stacks {pool.name}#{longest.slot}", "see what a handler waits for"),
            Step(f"consumerd destinations {pool.name}", "see which destinations its tasks name"),
            Step(f"consumerd pause {pool.name}", "take the load off what is slow, if it is overloaded"),
            Step(f"consumerd resume {pool.name}", "once it answers as before"),
            *pool.look_longer(),
        ],
        "Do not add workers: what is slow would have still more to answer.",
    )
