"""What is worked out of the status of a pool."""

from __future__ import annotations

import pytest
from msgspec.structs import replace

from consumerd.wire.status import ParkedCounts, ShardStatus
from unit.doctor.test_findings import POOL


@pytest.mark.parametrize(
    ("shards", "tasks", "age_s"),
    [
        ([], None, None),
        ([(0, None)], 0, 0.0),
        ([(3, None)], 3, None),
        ([(3, 5.0), (4, 7.5), (1, None)], 8, 7.5),
    ],
)
def test_what_nobody_knows_of_the_lag_is_not_none_at_all(
    shards: list[tuple[int, float | None]], tasks: int | None, age_s: float | None
) -> None:
    lag = [ShardStatus(shard=n, tasks=one, oldest_s=oldest, position=0) for n, (one, oldest) in enumerate(shards)]
    pool = replace(POOL, lag=lag)
    assert (pool.lag_tasks, pool.lag_s) == (tasks, age_s)


def test_a_rate_is_not_known_where_the_master_has_started_anew() -> None:
    assert replace(POOL, handled=150).per_second("handled", POOL, 10.0) == 5.0
    assert replace(POOL, handled=5).per_second("handled", POOL, 10.0) is None
    assert POOL.per_second("handled", None, 10.0) is None
    assert POOL.per_second("handled", POOL, 0.0) is None


def test_parked_tasks_are_the_waiting_and_the_dead() -> None:
    assert POOL.parked_tasks == 0
    assert replace(POOL, parked_now=ParkedCounts(waiting=2, dead=3, age_s=1.0)).parked_tasks == 5
