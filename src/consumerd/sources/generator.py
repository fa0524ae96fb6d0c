"""A user's own `iterate_task` as a source. Runs in workers and the foreground.

What the generator yields is gone from wherever it came: the task is handled by this worker, one at a time, and kept
by the parking store from its first failure on. The generator is never broken into; it is asked for the next task only
after the last is settled, and a stop waits for what it yields next.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from consumerd.model.contract import is_overridden
from consumerd.sources.contract import Batch, EndOfSource, Settlement, SourceContext, SourceKind, Traits
from consumerd.sources.records import decode_record
from consumerd.sources.rows import NoOptions, RecordBatch, named_id, parted


class GeneratorSource:
    """Tasks of a generator, one at a time. Those that were never started go to nobody: it has forgotten them."""

    traits = Traits(positional=True, gives_away=True, one_at_a_time=True)
    has_answered = True

    def __init__(self) -> None:
        self._tasks: Iterator[Any] = iter(())
        self._in_hand = 0

    def open(self, context: SourceContext) -> None:
        self._context = context
        self._tasks = iter(context.consumer.iterate_task())

    def fetch(self, limit: int, timeout_s: float) -> Batch | None:
        if limit < 1 or self._in_hand:
            self._context.worker.wait(timeout_s)
            return None
        try:
            yielded = next(self._tasks)
        except StopIteration:
            raise EndOfSource from None
        offset, record = parted(yielded)
        has_ids = is_overridden(type(self._context.consumer), "task_id")  # else an `id` may be anything's
        self._in_hand = 1
        return RecordBatch(self._context.name, [(offset, record, named_id(self._context, record) if has_ids else None)])

    def settle(self, settlements: Sequence[Settlement], *, is_due: bool) -> None:
        del is_due
        if settlements:
            self._in_hand = 0

    def unsettled(self) -> int:
        return self._in_hand

    def decode(self, payload: bytes) -> object:
        return decode_record(payload)

    def release(self, batch: Batch, not_begun: Sequence[int]) -> None:
        del batch, not_begun

    def close(self, deadline: float) -> None:
        del deadline
        getattr(self._tasks, "close", lambda: None)()


KIND = SourceKind(
    name="generator",
    options=NoOptions,
    make=GeneratorSource,
    traits=GeneratorSource.traits,
    hooks=("iterate_task", "handle_task"),
)
