"""Whether a class divides rows by the number of its worker."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from consumerd.model.code_names import divides_by_number


class Base:
    shard: Any = SimpleNamespace(index=0, count=1, owns=bool)


class OwnsAndCounts(Base):
    def get_next_batch(self) -> list[int]:
        ids = [3, 4]
        return [one for one in ids if self.shard.owns(one) and ids.count(one) == 1 and ids.index(one) >= 0]


class Divides(Base):
    def get_next_batch(self) -> list[int]:
        return [one for one in range(9) if one % self.shard.count == self.shard.index]


class DividesWithin(Base):
    @property
    def own(self) -> Any:
        return lambda one: one % super(DividesWithin, self).shard.count


class DividesByVariable(Base):
    def get_next_batch(self) -> list[int]:
        mine = self.shard
        return [one for one in range(9) if one % mine.count == mine.index]


class DividesByCall(Base):
    def get_next_batch(self) -> list[int]:
        return self._among(self.shard, lambda mine: mine.index)

    def _among(self, *_: object) -> list[int]:
        return []


class OwnsByVariable(Base):
    def get_next_batch(self) -> list[int]:
        mine = self.shard
        return [one for one in range(9) if mine.owns(one)]


@pytest.mark.parametrize("divides", [Divides, DividesWithin, DividesByVariable, DividesByCall])
def test_the_number_of_a_worker_divides_where_it_is_read_from_the_shard(divides: type) -> None:
    assert divides_by_number(divides)


@pytest.mark.parametrize("owns", [OwnsAndCounts, OwnsByVariable])
def test_what_else_is_counted_divides_no_rows(owns: type) -> None:
    assert not divides_by_number(owns)


def test_a_shard_is_seen_behind_many_names() -> None:
    names = "; ".join(f"self.n{number}" for number in range(400))
    found: dict[str, Any] = {}
    exec(f"def own(self):\n  {names}\n  return self.shard.count", found)
    assert divides_by_number(type("Long", (Base,), {"own": found["own"]}))
