"""Which rows of a query this worker takes: its own by hash, not parked, not handled a moment ago. Runs in workers."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from consumerd.errors import SourceAwayError, SourceRefusedError
from consumerd.model.failure import one_line
from consumerd.model.task import TaskId
from consumerd.sources.contract import SourceContext
from consumerd.sources.records import encode_record
from consumerd.sources.rows import Raw


@dataclass(frozen=True, slots=True)
class Selected:
    """The rows to handle, with their index in the user's batch; and the records left out because they are parked."""

    rows: list[Raw]
    parked: list[object]


class Selection:
    """Selects from each batch of the query."""

    def __init__(self, context: SourceContext) -> None:
        self._context = context
        self._done_at: dict[TaskId, float] = {}

    def of(self, records: Sequence[object]) -> Selected:
        """What to take of `records`. Raises StoreAwayError while the store cannot say what is parked."""
        candidates = self._candidates(records)
        ids = list({task_id: None for _, _, task_id in candidates if task_id is not None})
        parked = self._context.parked.parked_among(ids) if ids else frozenset()
        return Selected(
            rows=[raw for raw in candidates if raw[2] not in parked],
            parked=[record for _, record, task_id in candidates if task_id in parked],
        )

    def note_done(self, raws: Iterable[Raw]) -> None:
        """These are handled: returned again within `SLEEP_TIME`, they are left out."""
        now = self._context.clock.monotonic()
        self._done_at.update((task_id, now) for _, _, task_id in raws if task_id is not None)

    def _candidates(self, records: Sequence[object]) -> list[Raw]:
        self._forget_old()
        seen: set[TaskId] = set()
        candidates: list[Raw] = []
        for index, record in enumerate(records):
            named = self._named(index, record)
            task_id = self._nameless_id(record) if named is None else TaskId(f"{self._context.name}:{named}")
            if task_id in self._done_at or task_id in seen:
                continue
            if named is not None:
                if not (self._context.worker.user_reads_shard() or self._context.shard.owns(task_id)):
                    continue
                seen.add(task_id)
            candidates.append((index, record, task_id))
        return candidates

    def _named(self, index: int, record: object) -> object:
        try:
            return self._context.consumer.task_id(record)
        except Exception as error:
            raise SourceAwayError(f"task_id raised {one_line(error)} for row {index} of the batch") from error

    def _nameless_id(self, record: object) -> TaskId:
        """By its content: the same row is known again, once it is parked. Rows that are alike are all handled."""
        if self._context.shard.count > 1 and not self._context.worker.user_reads_shard():
            raise SourceRefusedError(
                f"a record of {self._context.name} has no id, so {self._context.shard.count} workers cannot divide "
                f"the rows: define task_id(record), read self.shard in get_next_batch, or set workers to 1"
            )
        return TaskId(f"{self._context.name}:~{hashlib.blake2b(encode_record(record), digest_size=12).hexdigest()}")

    def _forget_old(self) -> None:
        oldest = self._context.clock.monotonic() - float(self._context.consumer.SLEEP_TIME)
        self._done_at = {task_id: at for task_id, at in self._done_at.items() if at > oldest}
