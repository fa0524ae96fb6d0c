"""What makes the rows of a query themselves: the id that the user's `task_id` gives, or their content."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence

from consumerd import events
from consumerd.errors import SourceRefusedError
from consumerd.model.failure import one_line
from consumerd.model.task import TaskId
from consumerd.sources.contract import SourceContext
from consumerd.sources.query.batch import Row
from consumerd.sources.query.content import digest_of
from consumerd.sources.query.ownership import Ownership

LONGEST_TOLD = 200


class Identities:
    """Names rows, and remarks once on each way in which they have no name of their own."""

    def __init__(self, context: SourceContext, ownership: Ownership) -> None:
        self._context = context
        self._ownership = ownership
        self._told: set[str] = set()

    def named(self, records: Sequence[object], offset: int, *, claims: bool) -> Iterator[Row]:
        """The records as rows, the first at `offset`. claims: none comes again, so that equal ones are different tasks.

        SourceRefusedError where workers would have to divide rows that have no id.
        """
        for place, record in enumerate(records, offset):
            name = self._name_of(record)
            if name is None:
                name = f"~{uuid.uuid4().hex}" if claims else f"~{digest_of(record)}"
                if not claims:
                    self._refuse_to_divide()
            yield Row(place, record, TaskId(f"{self._context.name}:{name}"))

    def tell_twice(self, record: object) -> None:
        """An id stands twice in one answer."""
        self._tell_once("its id was in this answer before: the first row is taken", record)

    def _name_of(self, record: object) -> object:
        try:
            name = self._context.consumer.task_id(record)
        except Exception as error:  # noqa: BLE001 - the user's hook
            self._tell_once(f"task_id raised {one_line(error)}, so it is known by its content", record)
            return None
        if name is None:
            self._tell_once("it has no id, and is known by its content: define task_id(record)", record)
        return name

    def _refuse_to_divide(self) -> None:
        is_divided = self._context.shard.number[1] > 1 or not self._ownership.shard.is_whole
        if is_divided and not self._context.worker.user_reads_shard():
            raise SourceRefusedError(
                f"a record of {self._context.name} has no id, so its workers cannot divide the rows: define "
                f"task_id(record), read self.shard in get_next_batch, or have one worker"
            )

    def _tell_once(self, advice: str, record: object) -> None:
        if advice not in self._told:
            self._told.add(advice)
            self._context.emit(events.query_remarked(advice=advice, row=_in_a_line(record)))


def _in_a_line(record: object) -> str:
    try:
        return " ".join(repr(record).split())[:LONGEST_TOLD]
    except Exception:  # noqa: BLE001 - the user's __repr__ may raise anything
        return type(record).__name__
