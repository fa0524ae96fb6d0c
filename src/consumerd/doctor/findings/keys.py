"""Most of what waits has one key, or is in one shard, so that workers have nothing to do while it waits."""

from __future__ import annotations

from collections.abc import Iterator

from consumerd.doctor.facts import Facts, Finding, Pool, Step

MOST = 0.8
"""Such a share of what waits."""
LITTLE = 0.5
"""Of the places for tasks, at most so many are taken."""
MANY_TASKS = 100


def find(facts: Facts) -> Iterator[Finding]:
    for pool in facts.pools():
        if _is_hot_key(pool, facts):
            yield _hot_key(pool)
        elif (shard := _hot_shard(pool)) is not None:
            yield _of_one_shard(pool, shard)


def is_of_keys(pool: Pool, facts: Facts) -> bool:
    """Whether one of these is why it is behind."""
    return _is_hot_key(pool, facts) or _hot_shard(pool) is not None


def _is_hot_key(pool: Pool, facts: Facts) -> bool:
    return pool.now.ordered == "key" and not pool.is_held and _stands_in_hand(pool, facts)


def _stands_in_hand(pool: Pool, facts: Facts) -> bool:
    """Whether tasks wait in hand, at both looks, though there are free places and no limit holds them."""
    if any(limit.waiting and limit.limit in pool.now.limits for limit in facts.now.limits):
        return False
    looks = ((*pool.lanes, pool.now.unsettled), (*pool.lanes_before, pool.before.unsettled))
    return all(0 < running <= LITTLE * lanes and unsettled >= running + lanes for running, lanes, unsettled in looks)


def _hot_key(pool: Pool) -> Finding:
    running, lanes = pool.lanes
    return Finding(
        "hot_key",
        pool.name,
        f"Most tasks that {pool.name} has in hand are of the same few keys, and wait for each other.",
        [
            f"{pool.now.unsettled} tasks are in hand, and {running} run, of {lanes} that could",
            'ordered = "key": of one key one task runs at a time',
        ],
        [
            Step("consumerd status --tasks", "see which tasks run, and so which key it is"),
            Step("consumerd reload", "once `coalesce` stands for many tasks of a key, or `ordered` is taken out"),
        ],
        "Do not add workers: tasks of one key run one after the other, on however many.",
    )


def _hot_shard(pool: Pool) -> int | None:
    """The shard in which nearly all wait, while workers of others have nothing to do."""
    shards, at_work = pool.now.lag, pool.at_work
    if pool.is_held or len(shards) < 2 or len(at_work) < 2 or pool.lag_tasks < MANY_TASKS:
        return None
    worst = max(shards, key=lambda shard: shard.tasks)
    busy = {worker.slot for worker in at_work if worker.running} | {worker.slot for worker in pool.busy_before}
    return worst.shard if worst.tasks >= MOST * pool.lag_tasks and len(busy) == 1 else None


def _of_one_shard(pool: Pool, shard: int) -> Finding:
    tasks = next(each.tasks for each in pool.now.lag if each.shard == shard)
    return Finding(
        "hot_shard",
        pool.name,
        f"Nearly all that waits for {pool.name} is in shard {shard}, so that one worker has all of it.",
        [f"{tasks} of {pool.lag_tasks} tasks wait there", f"{len(pool.at_work)} workers are up, and one is busy"],
        [
            Step("consumerd status --workers", "see which worker has it, and what it does"),
            Step("consumerd reload", 'once `concurrency` lets that worker run several, with ordered = "key"'),
        ],
        "Do not add workers: they get other shards, in which nothing waits.",
    )
