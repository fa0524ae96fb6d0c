"""The in-memory source. Runs in workers and the foreground; its tasks are lost with the process."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from consumerd.model.task import Task, TaskId
from consumerd.sources.contract import Batch, Settlement, ShardLag, SourceContext, SourceKind, Traits
from consumerd.sources.records import decode_record
from consumerd.sources.rows import Raw, RecordBatch

LARGEST_BATCH = 500


class MemoryOptions(BaseModel):
    """The keys of tasks in memory: records that are given, or numbered ones, without end where neither key is set.

    Numbered tasks are divided among the workers: worker i of n gets i, i + n, i + 2n …
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    records: list[Any] | None = Field(default=None, description="The tasks.")  # a record is any plain value
    count: int | None = Field(default=None, ge=0, description="So many numbered tasks, in the place of `records`.")


def _record_batch(name: str, raws: Sequence[Raw]) -> Batch:
    return RecordBatch(name, raws, id_start=f"{name}:")


class MemorySource:
    """Hands out its tasks once; what is released comes again."""

    traits = Traits()
    has_answered = True

    def __init__(
        self,
        make_batch: Callable[[str, Sequence[Raw]], Batch] = _record_batch,
        decode: Callable[[bytes], object] = decode_record,
    ) -> None:
        """make_batch: of the source's name and its tasks; decode: makes the record of a parked task's payload."""
        self._make_batch = make_batch
        self.decode = decode
        self._tasks: Iterator[Raw] = iter(())
        self._released: list[Raw] = []
        self._in_hand = 0
        self._settled = 0
        self._committed: set[TaskId] = set()
        self._transactions: Any = None  # sources.transactions

    def open(self, context: SourceContext) -> None:
        assert isinstance(context.options, MemoryOptions)
        self._context = context
        self._tasks = self._numbered(context.options)

    def fetch(self, limit: int, timeout_s: float) -> Batch | None:
        wanted = min(limit, LARGEST_BATCH)
        taken, self._released = self._released[:wanted], self._released[wanted:]
        taken += itertools.islice(self._tasks, wanted - len(taken))
        if not taken:
            self._context.worker.wait(timeout_s)
            return None
        self._in_hand += len(taken)
        return self._make_batch(self._context.name, taken)

    def settle(self, settlements: Sequence[Settlement], *, is_due: bool) -> None:
        del is_due
        for settlement in settlements:
            self._in_hand -= settlement.stop - settlement.start
            self._settled += settlement.stop - settlement.start
            if self._committed:
                batch, indexes = settlement.batch, range(settlement.start, settlement.stop)
                self._committed.difference_update(batch.task(index).id for index in indexes)

    def unsettled(self) -> int:
        return self._in_hand

    def release(self, batch: Batch, not_begun: Sequence[int]) -> None:
        self._released = [*(batch.raws[index] for index in not_begun), *self._released]
        self._in_hand -= len(not_begun)

    def transaction(self, task: Task) -> AbstractContextManager[Any]:
        """In the consumer's own database; there is no row to settle."""
        from consumerd.sources.transactions import Transactions  # SQLAlchemy, which few tasks in memory need

        self._transactions = self._transactions or Transactions(self._context.engine, None)
        return self._committing(task)

    def is_settled(self, task: Task) -> bool:
        return task.id in self._committed

    def lag(self) -> tuple[ShardLag, ...]:
        return (ShardLag(shard=0, tasks=len(self._released), oldest_s=None, position=self._settled),)

    def close(self, deadline: float) -> None:
        del deadline

    @contextmanager
    def _committing(self, task: Task) -> Iterator[Any]:
        with self._transactions.begin(lambda connection: None) as connection:
            yield connection
        if task.id is not None:
            self._committed.add(task.id)

    def _numbered(self, options: MemoryOptions) -> Iterator[Raw]:
        shard = self._context.shard
        numbers: Iterator[int] = itertools.count(*shard.number)
        if options.records is not None:
            numbers = iter(range(shard.number[0], len(options.records), shard.number[1]))
        elif options.count is not None:
            numbers = iter(range(shard.number[0], options.count, shard.number[1]))
        for number in numbers:
            record = options.records[number] if options.records is not None else {"number": number}
            yield number, record, TaskId(f"{self._context.name}:{number}")


KIND = SourceKind(name="memory", options=MemoryOptions, make=MemorySource, traits=MemorySource.traits)
