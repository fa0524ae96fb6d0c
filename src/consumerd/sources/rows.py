"""Records that come as Python objects, rows of a query or what a generator yielded: their batches and ids."""

from __future__ import annotations

import operator
from collections.abc import Callable, Sequence

from pydantic import BaseModel, ConfigDict

from consumerd.errors import SourceRefusedError
from consumerd.model.task import Task, TaskId
from consumerd.sources.contract import SourceContext
from consumerd.sources.identities import by_offset, one_by_one
from consumerd.sources.records import encode_record

LARGEST_OFFSET = 2**63 - 1

Raw = tuple[int, object, TaskId | None]
"""(offset, record, id)"""


def itself(record: object) -> object:
    """How a record is decoded that is an object already."""
    return record


class NoOptions(BaseModel):
    """The options of a source that is the user's own code: all keys are the user's."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class RecordBatch:
    """Records with their offsets, all of one source and of its one shard."""

    shard = 0
    offset: Callable[[Raw], int] = staticmethod(operator.itemgetter(0))
    payload: Callable[[Raw], object] = staticmethod(operator.itemgetter(1))
    decode: Callable[[object], object] = staticmethod(itself)

    def __init__(self, source: str, raws: Sequence[Raw], *, id_start: str | None = None) -> None:
        """id_start: where each id is this and the offset."""
        self.source = source
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


def named_id(context: SourceContext, record: object) -> TaskId | None:
    """The id that the user's `task_id` gives a record; None where it gives none, or raises, which is reported."""
    task_id = context.consumer.task_id
    found = context.worker.call_hook("task_id", lambda: task_id(record), None)
    return None if found is None else TaskId(f"{context.name}:{found}")


def parted(yielded: object) -> tuple[int, object]:
    """The pair (offset, record) that a user's `iterate_task` yielded.

    Raises SourceRefusedError where it is none, or its offset is no whole number of 64 bits.
    """
    match yielded:
        case (int() as offset, record) if -LARGEST_OFFSET <= offset <= LARGEST_OFFSET:
            return offset, record
    raise SourceRefusedError(
        f"iterate_task yielded {type(yielded).__name__}, not (offset, record) whose offset is a whole number of "
        f"64 bits: let it yield such pairs"
    )
