"""When a worker has done its part."""

import os
from typing import Any

import pytest

from consumerd.config.common_keys import CommonKeys
from consumerd.master.host.memory import own_bytes, own_bytes_in
from consumerd.master.rules.wear import SPREAD, has_limits, worn_out

MIB = 2**20
ROLLUP = """55d0-7ffd ---p 00000000 00:00 0 [rollup]
Rss:               20000 kB
Pss:                9000 kB
Shared_Clean:       8000 kB
Private_Clean:       100 kB
Private_Dirty:      3000 kB
Swap:                 50 kB
SwapPss:              20 kB
"""


def test_a_worker_without_limits_never_wears_out() -> None:
    assert worn_out(CommonKeys(), tasks=10**9, memory_bytes=2**40, age_s=1e9, jitter=0.9) is None
    assert not has_limits(CommonKeys())
    assert has_limits(CommonKeys(max_age=5.0))


@pytest.mark.parametrize(
    ("limits", "worker", "reason"),
    [
        ({"max_tasks": 1000}, {"tasks": 1000}, "it has done 1000 tasks, max_tasks is 1000"),
        (
            {"max_memory": "64 MiB"},
            {"memory_bytes": 65 * MIB},
            "it has 65 MiB of its own, max_memory is 64 MiB",
        ),
        ({"max_age": 60.0}, {"age_s": 60.0}, "it is 60 s old, max_age is 60 s"),
    ],
)
def test_each_limit_has_its_reason(limits: dict[str, object], worker: dict[str, Any], reason: str) -> None:
    assert worn_out(CommonKeys.model_validate(limits), **worker, jitter=0.0) == (next(iter(limits)), reason)


def test_slots_that_started_together_wear_out_apart_and_never_beyond_a_limit() -> None:
    limits = CommonKeys(max_tasks=1000)
    ends = [next(n for n in range(2000) if worn_out(limits, tasks=n, jitter=j / 10)) for j in range(10)]
    assert ends == sorted(set(ends), reverse=True)
    assert (ends[0], min(ends) > 1000 * (1 - SPREAD)) == (1000, True)


def test_memory_that_nobody_could_read_wears_nobody_out() -> None:
    assert worn_out(CommonKeys.model_validate({"max_memory": "1 MiB"}), jitter=0.0) is None


def test_what_is_its_own_is_what_is_private_and_what_of_that_is_swapped() -> None:
    assert own_bytes_in(ROLLUP) == 3120 * 1024
    assert (own_bytes(os.getpid()) or 0) > MIB
    assert own_bytes(2**30) is None
