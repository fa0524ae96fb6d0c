"""`self.shard.condition` selects on real servers what `self.shard.owns` says in Python, whatever the keys are."""

from __future__ import annotations

from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Engine, text

from consumerd.database.engine import open_engine
from consumerd.model.bucket_sql import dialect_of
from consumerd.model.shards import Shard, bucket_of

SHARDS = [
    *(Shard.numbered(index, 3) for index in range(3)),
    Shard(ranges=(range(7), range(100, 2000), range(4000, 4096))),
    Shard(ranges=()),
    Shard(),
]
TEXTS = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0"), max_size=40)
UUIDS = st.uuids(version=4)  # MariaDB refuses bits that are no version
LATIN = st.text(st.characters(codec="latin-1", exclude_categories=["Cc"]), max_size=40)

COLUMNS: dict[str, tuple[str, st.SearchStrategy[Any]]] = {  # of any values
    "bigint": ("BIGINT", st.integers(-(2**63), 2**63 - 1)),
    "smallint": ("SMALLINT", st.integers(-(2**15), 2**15 - 1)),
    "numeric": ("NUMERIC(40, 0)", st.integers(-(10**39), 10**39).map(Decimal)),
    "decimal": ("NUMERIC(30, 8)", st.decimals(-(10**21), 10**21, places=8, allow_nan=False, allow_infinity=False)),
    "varchar": ("VARCHAR(80)", TEXTS),
    "text": ("TEXT", TEXTS),
    "char": ("CHAR(50)", TEXTS),
    "uuid": ("UUID", UUIDS),
    "uuid as text": ("CHAR(36)", UUIDS.map(str) | UUIDS.map(lambda each: str(each).upper())),
    "latin1": ("VARCHAR(80) CHARACTER SET latin1", LATIN),
}


@pytest.fixture
def engine(database_url: str) -> Iterator[Engine]:
    engine = open_engine(database_url)
    yield engine
    engine.dispose()


@pytest.mark.parametrize("column", COLUMNS)
def test_sql_and_python_agree(engine: Engine, column: str) -> None:
    kind, keys = COLUMNS[column]
    dialect = dialect_of(str(engine.url))
    if dialect == "postgresql" and "CHARACTER SET" in kind:
        pytest.skip("a column has no character set of its own there")
    with engine.begin() as connection:
        connection.execute(text(f"CREATE TABLE keyed (k {kind})"))

    @settings(max_examples=10, deadline=None, suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large])
    @given(st.lists(keys | st.none(), min_size=1, max_size=200))
    def agree(chosen: list[Any]) -> None:  # as above
        with engine.begin() as connection:
            connection.execute(text("DELETE FROM keyed"))
            connection.execute(text("INSERT INTO keyed VALUES (:k)"), [{"k": key} for key in chosen])
            there = connection.execute(text("SELECT k FROM keyed")).scalars().all()
            for shard in SHARDS:
                where = shard.condition("keyed.k", dialect)
                found = connection.execute(text(f"SELECT k FROM keyed WHERE {where}")).scalars().all()
                plain = connection.exec_driver_sql(f"SELECT k FROM keyed WHERE {where}").scalars().all()
                owned = [key for key in there if shard.owns(key)]
                assert sorted(map(repr, found)) == sorted(map(repr, plain)) == sorted(map(repr, owned))

    agree()


def test_where_the_database_has_another_encoding(postgres: Any) -> None:  # a server
    with postgres.fresh_database("ENCODING 'LATIN1' LC_COLLATE 'C' LC_CTYPE 'C' TEMPLATE template0") as url:
        engine = open_engine(url)
        with engine.begin() as connection:
            connection.execute(text("CREATE TABLE keyed (k TEXT)"))
            connection.execute(text("INSERT INTO keyed VALUES ('Zoë'), ('ann'), ('ÿ')"))
            for key in ("Zoë", "ann", "ÿ"):
                where = Shard(ranges=(range(bucket_of(key), bucket_of(key) + 1),)).condition("k", "postgresql")
                assert connection.execute(text(f"SELECT k FROM keyed WHERE {where}")).scalars().all() == [key]
        engine.dispose()
