"""How keys are divided among workers."""

from __future__ import annotations

import sqlite3
from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from consumerd.model.bucket_sql import dialect_of
from consumerd.model.shards import BUCKET_COUNT, Shard, bucket_of


@given(st.integers(1, 300))
def test_every_bucket_belongs_to_exactly_one_worker(count: int) -> None:
    owned = [bucket for index in range(count) for bucket in Shard.numbered(index, count).buckets]
    assert owned == list(range(BUCKET_COUNT))


@given(st.integers() | st.text() | st.uuids(), st.integers(1, 64))
def test_every_key_belongs_to_exactly_one_worker(key: object, count: int) -> None:
    assert sum(Shard.numbered(index, count).owns(key) for index in range(count)) == 1


def test_a_key_has_the_same_bucket_in_every_process() -> None:
    assert [bucket_of(key) for key in (1, "1", "user-7")] == [1720, 1720, 146]


@pytest.mark.parametrize("key", ["a\ud800b", "\udfff", "\udc80\ud800"])
def test_a_key_that_is_no_text_has_a_bucket_too(key: str) -> None:
    assert bucket_of(key) in range(BUCKET_COUNT)


def test_a_shard_may_have_several_ranges_or_none() -> None:
    shard = Shard(ranges=(range(10), range(1720, 1770)))
    assert shard.owns(1)  # its bucket is 1720
    assert not shard.owns("user-7")
    assert shard.buckets == (*range(10), *range(1720, 1770))
    assert not Shard(ranges=()).owns(1)


# In SQL


@given(st.lists(st.integers(-(2**63), 2**63 - 1) | st.text() | st.none(), max_size=20), st.integers(1, 9))
def test_sqlite_selects_what_a_worker_owns(keys: list[object], count: int) -> None:
    keys = [key for key in keys if not isinstance(key, str) or key.isprintable()]
    connection = sqlite3.connect(":memory:")
    Shard.teach(connection)
    connection.execute("CREATE TABLE t (k)")
    connection.executemany("INSERT INTO t VALUES (?)", [(key,) for key in keys])
    for index in range(count):
        shard = Shard.numbered(index, count)
        found = connection.execute(f"SELECT k FROM t WHERE {shard.condition('k', 'sqlite')}").fetchall()
        assert sorted(map(repr, found)) == sorted(repr((key,)) for key in keys if shard.owns(key))
    connection.close()


def test_a_condition_has_the_dialect_of_the_database_or_the_one_that_is_named() -> None:
    shard = Shard(ranges=(range(10), range(4090, 4096)), dialect="postgresql")
    assert shard.condition("id").endswith("BETWEEN 'ffa' AND 'fff')")
    assert " '000' AND '009' OR LEFT(SHA2(" in shard.condition("m.id", "mariadb")
    assert Shard(ranges=()).condition("id", "sqlite") == "(1 = 0)"
    with pytest.raises(ValueError, match="name the dialect, or set the key `database`"):
        Shard().condition("id")


@pytest.mark.parametrize(("key", "text"), [(Decimal("1E+3"), "1000"), (Decimal("-0.00000001"), "-0.00000001")])
def test_a_decimal_is_known_as_databases_write_it(key: Decimal, text: str) -> None:
    assert bucket_of(key) == bucket_of(text)


@pytest.mark.parametrize(
    ("database", "dialect"),
    [
        ("mysql+pymysql://h/d", "mysql"),
        ("mariadb://h/d", "mysql"),
        ("postgres://h/d", "postgresql"),
        ("postgresql+psycopg://h/d", "postgresql"),
        ("rows.sqlite", "sqlite"),
        ("sqlite:///rows.sqlite", "sqlite"),
        ("mongodb://h/d", ""),
        ({"host": "h"}, ""),
        (None, ""),
    ],
)
def test_the_dialect_of_a_database_is_in_its_url(database: object, dialect: str) -> None:
    assert dialect_of(database) == dialect
