"""A batch of records that come as Python objects: rows of a query, what a generator yielded."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

from consumerd.model.task import Task, TaskId
from consumerd.sources.identities import by_offset, one_by_one
from consumerd.sources.records import encode_record

Raw = tuple[int, object, TaskId | None]
"""(offset, record, id)"""


def _itself(record: object) -> object:
    return record


class RecordBatch:
    """Records with their offsets; `source` and `shard` are the same for all."""

    offset: Callable[[Raw], int] = staticmethod(operator.itemgetter(0))
    payload: Callable[[Raw], object] = staticmethod(operator.itemgetter(1))
    decode: Callable[[object], object] = staticmethod(_itself)

    def __init__(self, source: str, shard: int, raws: Sequence[Raw], *, id_start: str | None = None) -> None:
        """id_start: where each id is this and the offset."""
        self.source = source
        self.shard = shard
        self.raws = raws
        self._id_start = id_start
        self._payloads = [encode_record(record) for _, record, _ in raws]  # now: a handler may change its record

    def identities(self) -> bytes:
        """The ids as they are."""
        if self._id_start is not None:
            return by_offset(self._id_start)
        return one_by_one({offset: task_id for offset, _, task_id in self.raws})

    def task(self, index: int) -> Task:
        """The task at `index`; its payload is the record's encoding."""
        offset, _, task_id = self.raws[index]
        return Task(
            id=task_id,
            offset=int(offset),
            source=self.source,
            shard=self.shard,
            position=int(offset),
            payload=self._payloads[index],
        )
