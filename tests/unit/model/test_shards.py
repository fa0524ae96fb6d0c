"""How keys are divided among workers."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.model.shards import BUCKET_COUNT, Shard, bucket_of


@given(st.integers(1, 300))
def test_every_bucket_belongs_to_exactly_one_worker(count: int) -> None:
    owned = [bucket for index in range(count) for bucket in Shard.numbered(index, count).buckets]
    assert owned == list(range(BUCKET_COUNT))


@given(st.integers() | st.text() | st.uuids(), st.integers(1, 64))
def test_every_key_belongs_to_exactly_one_worker(key: object, count: int) -> None:
    assert sum(Shard.numbered(index, count).owns(key) for index in range(count)) == 1


def test_a_key_has_the_same_bucket_in_every_process() -> None:
    assert [bucket_of(key) for key in (1, "1", "user-7")] == [4023, 4023, 801]


@pytest.mark.parametrize("key", ["a\ud800b", "\udfff", "\udc80\ud800"])
def test_a_key_that_is_no_text_has_a_bucket_too(key: str) -> None:
    assert bucket_of(key) in range(BUCKET_COUNT)


def test_a_shard_may_have_several_ranges_or_none() -> None:
    shard = Shard(ranges=(range(10), range(4000, 4050)))
    assert shard.owns(1)  # its bucket is 4023
    assert not shard.owns("user-7")
    assert shard.buckets == (*range(10), *range(4000, 4050))
    assert not Shard(ranges=()).owns(1)
