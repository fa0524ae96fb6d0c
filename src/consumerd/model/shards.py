"""Which worker of a pool takes a key, where the source does not divide the work itself.

Keys hash into a fixed number of buckets. Each worker owns ranges of them, so that a change of the number of workers
moves ranges, never single keys.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from itertools import chain

BUCKET_COUNT = 4096


def bucket_of(key: object) -> int:
    """The bucket of a key, the same in every process and on every host: CRC-32 of its text."""
    return zlib.crc32(str(key).encode("utf-8", "surrogatepass")) % BUCKET_COUNT  # JSON may have half a pair


@dataclass(frozen=True, slots=True, kw_only=True)
class Shard:
    """The part of a source's keys that one worker may take: `self.shard` in a consumer. By default all of them.

    ranges: the buckets that it owns, of `BUCKET_COUNT`, in order.
    index: the number of the worker, from 0; count: how many workers the pool had when this one started.
    """

    ranges: tuple[range, ...] = (range(BUCKET_COUNT),)
    index: int = 0
    count: int = 1

    @classmethod
    def numbered(cls, index: int, count: int) -> Shard:
        """The part of one of `count` workers that divide the keys by their numbers."""
        owned = range(index * BUCKET_COUNT // count, (index + 1) * BUCKET_COUNT // count)
        return cls(ranges=(owned,), index=index, count=count)

    @property
    def buckets(self) -> tuple[int, ...]:
        """The buckets that this worker owns, one by one."""
        return tuple(chain.from_iterable(self.ranges))

    def owns(self, key: object) -> bool:
        """Whether this worker takes the task with this key."""
        bucket = bucket_of(key)
        return any(bucket in owned for owned in self.ranges)
