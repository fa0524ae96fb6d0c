"""Which worker of a pool takes a key, where the source does not divide the work itself.

Keys hash into a fixed number of buckets; each worker owns one range of them, so that a change of the number of
workers moves ranges, never single keys.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

BUCKET_COUNT = 4096


def bucket_of(key: object) -> int:
    """The bucket of a key, the same in every process and on every host: CRC-32 of its text."""
    return zlib.crc32(str(key).encode("utf-8", "surrogatepass")) % BUCKET_COUNT  # JSON may have half a pair


@dataclass(frozen=True, slots=True)
class Shard:
    """The part of a source's keys that one worker may take: `self.shard` in a consumer.

    index: the worker, from 0; count: how many workers divide the keys; by default one has all.
    """

    index: int = 0
    count: int = 1

    @property
    def buckets(self) -> range:
        """The buckets that this worker owns, of `BUCKET_COUNT`."""
        return range(
            self.index * BUCKET_COUNT // self.count,
            (self.index + 1) * BUCKET_COUNT // self.count,
        )

    def owns(self, key: object) -> bool:
        """Whether this worker takes the task with this key."""
        return bucket_of(key) in self.buckets
