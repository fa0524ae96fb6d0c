"""Which worker of a pool takes a key, where the source does not divide the work itself.

Keys hash into a fixed number of buckets. Each worker owns ranges of them, so that a change of the number of workers
moves ranges, never single keys.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from decimal import Decimal
from itertools import chain
from typing import Any

from consumerd.errors import SourceRefusedError
from consumerd.model.bucket_sql import SQLITE_FUNCTION, condition

BUCKET_COUNT = 4096


def bucket_of(key: object) -> int:
    """The bucket of a key, the same in every process, on every host, in every database: 12 bits of its text's hash."""
    text = "" if key is None else format(key, "f") if isinstance(key, Decimal) else str(key)
    digest = hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()  # JSON may have half a pair
    return digest[0] << 4 | digest[1] >> 4


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """The part of a source's keys that one worker may take: `self.shard` in a consumer. By default all of them.

    ranges: the buckets that it owns, of `BUCKET_COUNT`, in order.
    number: which worker it is, from 0, and of how many as it started.
    moves: its ranges change, so that its number says nothing of them.
    dialect: of the key `database`; empty where there is none.
    """

    ranges: tuple[range, ...] = (range(BUCKET_COUNT),)
    number: tuple[int, int] = (0, 1)
    moves: bool = False
    dialect: str = ""

    @classmethod
    def numbered(cls, index: int, count: int) -> Shard:
        """The part of one of `count` workers that divide the keys by their numbers."""
        owned = range(index * BUCKET_COUNT // count, (index + 1) * BUCKET_COUNT // count)
        return cls(ranges=(owned,), number=(index, count))

    @property
    def index(self) -> int:
        """The number of the worker, from 0."""
        return self._numbers()[0]

    @property
    def count(self) -> int:
        """How many workers divide the keys."""
        return self._numbers()[1]

    @property
    def buckets(self) -> tuple[int, ...]:
        """The buckets that this worker owns, one by one."""
        return tuple(chain.from_iterable(self.ranges))

    @property
    def is_whole(self) -> bool:
        """Whether it is all of the keys."""
        return self.ranges == (range(BUCKET_COUNT),)

    def owns(self, key: object) -> bool:
        """Whether this worker takes the task with this key."""
        bucket = bucket_of(key)
        return any(bucket in owned for owned in self.ranges)

    def condition(self, column: object, dialect: str = "") -> str:
        """The same in SQL, of the key in this column of whole numbers, text or UUIDs: for the WHERE of a plain
        statement, or within SQLAlchemy's `text`.

        column: in SQL, such as `id`, or a column of SQLAlchemy's. dialect: `mysql`, `postgresql` or `sqlite`; left out,
        that of the key `database`. ValueError for others.
        """
        return condition(column, self.ranges, dialect or self.dialect)

    @staticmethod
    def teach(connection: Any) -> None:  # a driver's, of SQLite
        """Give a `sqlite3.Connection` the function that the condition calls; those of `self.database` have it."""
        connection.create_function(SQLITE_FUNCTION, 1, bucket_of, deterministic=True)

    def _numbers(self) -> tuple[int, int]:
        if self.moves:
            raise SourceRefusedError(
                "self.shard.index or count is read where consumerd does not see it, and its workers do not divide the "
                "rows by their number: read both in a method of the class, or use self.shard.owns(key)"
            )
        return self.number
