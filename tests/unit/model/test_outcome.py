"""The retry policy."""

from __future__ import annotations

import contextlib
import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.model.outcome import (
    Dead,
    Expired,
    Retry,
    RetryPolicy,
    after_round,
    deferred_delay,
    immediate_delay,
    within_expiry,
)

seconds = st.floats(min_value=0.001, max_value=1e7)
policies = st.builds(
    RetryPolicy,
    retry_times=st.integers(0, 20),
    basic_interval_s=st.floats(0, 10),
    back_off_s=seconds,
    max_back_off_s=st.none() | seconds,
    expire_s=st.none() | seconds,
)


def test_immediate_retries_wait_linearly_longer_the_first_not_at_all() -> None:
    policy = RetryPolicy(retry_times=3, basic_interval_s=0.1)
    assert [immediate_delay(policy, tried) for tried in range(4)] == [0.0, 0.1, 0.2, 0.1 * 3]


def test_without_a_deferred_policy_a_failed_task_is_dead() -> None:
    assert isinstance(after_round(RetryPolicy(), attempts=1, first_at=0.0, now=0.0), Dead)


def test_deferred_delays_double_up_to_the_longest() -> None:
    policy = RetryPolicy(back_off_s=10, max_back_off_s=60)
    assert [deferred_delay(policy, number) for number in range(1, 6)] == [10, 20, 40, 60, 60]


def test_rounds_are_counted_in_attempts_with_their_immediate_retries() -> None:
    policy = RetryPolicy(retry_times=2, back_off_s=10)
    assert after_round(policy, attempts=3, first_at=0, now=0) == Retry(after=10)
    assert after_round(policy, attempts=6, first_at=0, now=0) == Retry(after=20)


@given(policies, st.integers(1, 10**6), st.floats(0, 1, exclude_max=True))
def test_jitter_makes_a_deferred_delay_shorter_by_a_fifth_at_most(
    policy: RetryPolicy, attempts: int, jitter: float
) -> None:
    plain = after_round(policy, attempts, first_at=0, now=0)
    spread = after_round(policy, attempts, first_at=0, now=0, jitter=jitter)
    if isinstance(plain, Retry):
        assert isinstance(spread, Retry)
        assert 0.8 * plain.after * 0.999 <= spread.after <= plain.after


def test_a_retry_past_expire_time_expires_the_task() -> None:
    policy = RetryPolicy(back_off_s=10, expire_s=25)
    assert after_round(policy, attempts=1, first_at=100, now=100) == Retry(after=10)
    assert isinstance(after_round(policy, attempts=2, first_at=100, now=110), Expired)


def test_a_handler_that_asks_for_a_retry_is_held_to_expire_time_too() -> None:
    policy = RetryPolicy(expire_s=60)
    assert within_expiry(policy, 59, first_at=0, now=0) == Retry(after=59)
    assert isinstance(within_expiry(policy, 61, first_at=0, now=0), Expired)


@given(policies, st.integers(1, 10**9))
def test_delays_never_shrink_and_never_pass_their_cap(policy: RetryPolicy, number: int) -> None:
    this, following = deferred_delay(policy, number), deferred_delay(policy, number + 1)
    assert 0 < this <= following
    if policy.max_back_off_s is not None:
        assert following <= policy.max_back_off_s


@given(policies, st.integers(1, 10**6), st.floats(0, 2e9), st.floats(0, 1e8))
def test_a_task_with_expire_time_is_never_due_past_it(
    policy: RetryPolicy, attempts: int, first_at: float, waited: float
) -> None:
    now = first_at + waited
    outcome = after_round(policy, attempts, first_at, now)
    if policy.expire_s is None:
        assert isinstance(outcome, Retry)
    elif isinstance(outcome, Retry):
        assert now + outcome.after <= first_at + policy.expire_s


def test_a_verdict_is_a_value_and_can_be_raised_pickled_and_noted() -> None:
    for verdict, equal in ((Retry(after=5), Retry(5)), (Dead(reason="x"), Dead("x"))):
        assert verdict == equal
        assert hash(verdict) == hash(equal)
        assert pickle.loads(pickle.dumps(verdict)) == copy.copy(verdict) == equal
        verdict.add_note("more")
        with pytest.raises(type(verdict)), contextlib.ExitStack():
            raise verdict
    match Retry(7):
        case Retry(after):
            assert after == 7
    assert Retry() != Dead()
    with pytest.raises(Retry):
        raise Retry
