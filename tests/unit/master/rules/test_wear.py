"""When a worker has done its part."""

import os

import pytest

from consumerd.config.common_keys import CommonKeys
from consumerd.master.host.memory import own_bytes, own_bytes_in
from consumerd.master.rules.wear import SPREAD, Limits, Worn, worn_out

MIB = 2**20
ANYTHING = Limits(None, None, None)
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
    assert worn_out(ANYTHING, Worn(10**9, 2**40, 1e9), 0.9) is None
    assert not Limits.of(CommonKeys()).are_there
    assert Limits.of(CommonKeys(max_age=5.0)).are_there


@pytest.mark.parametrize(
    ("limits", "worker", "reason"),
    [
        (Limits(1000, None, None), Worn(1000, None, 0.0), "it has done 1000 tasks, max_tasks is 1000"),
        (Limits(None, 64 * MIB, None), Worn(0, 65 * MIB, 0.0), "it has 65 MiB of its own, max_memory is 64 MiB"),
        (Limits(None, None, 60.0), Worn(0, None, 60.0), "it is 60 s old, max_age is 60 s"),
    ],
)
def test_each_limit_has_its_reason(limits: Limits, worker: Worn, reason: str) -> None:
    assert worn_out(limits, worker, 0.0) == reason


def test_slots_that_started_together_wear_out_apart_and_never_beyond_a_limit() -> None:
    limits = Limits(1000, None, None)
    ends = [next(n for n in range(2000) if worn_out(limits, Worn(n, None, 0.0), j / 10)) for j in range(10)]
    assert ends == sorted(set(ends), reverse=True)
    assert (ends[0], min(ends) > 1000 * (1 - SPREAD)) == (1000, True)


def test_memory_that_nobody_could_read_wears_nobody_out() -> None:
    assert worn_out(Limits(None, MIB, None), Worn(0, None, 0.0), 0.0) is None


def test_what_is_its_own_is_what_is_private_and_what_of_that_is_swapped() -> None:
    assert own_bytes_in(ROLLUP) == 3120 * 1024
    assert (own_bytes(os.getpid()) or 0) > MIB
    assert own_bytes(2**30) is None
