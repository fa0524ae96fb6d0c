"""Rows that died and that the query gives: the same still, another one, or one that somebody has set back.

Runs in workers and the foreground.
"""

from __future__ import annotations

from collections.abc import Callable

from consumerd.errors import StoreAwayError
from consumerd.model.parked import Entry
from consumerd.model.task import TaskId
from consumerd.sources.contract import SourceContext
from consumerd.sources.query.batch import Row
from consumerd.sources.query.content import digest_of, digest_of_copy

MOST_DIGESTS = 10_000
SET_BACK_AGAIN_AFTER_S = 60.0
"""A row that was set back and died once more is taken for set back again after so long at the earliest: a query whose
answers differ by chance leaves it out and gives it, too.
"""


class DeadRows:
    """What one worker knows of them."""

    def __init__(self, context: SourceContext, *, tells_parked: bool) -> None:
        """tells_parked: the consumer has an `on_parked`, which may mark rows."""
        self._context = context
        self._tells_parked = tells_parked
        self._is_given: dict[TaskId, bool] = {}
        """Whether the query has given a row all the time since it died."""
        self._digests: dict[tuple[TaskId, float], str] = {}
        self._was_another: set[TaskId] = set()
        self._died_again_at: dict[TaskId, float] = {}
        self._has_looked = False

    def knows(self, task_id: TaskId) -> bool:
        """Whether this row is known to be dead."""
        return task_id in self._is_given

    @property
    def known(self) -> set[TaskId]:
        """The rows of which something is known: those that are dead, and those that were."""
        return self._was_another.union(self._is_given, self._died_again_at)

    def note(self, task_id: TaskId) -> None:
        """This row has died here."""
        self._is_given[task_id] = True
        if task_id in self._died_again_at:
            self._died_again_at[task_id] = self._context.clock.monotonic()

    def note_whole(self, seen: set[TaskId]) -> None:
        """The query has given all that it has, and no row but these."""
        self._has_looked = True
        for task_id in self._is_given.keys() - seen:
            self._is_given[task_id] = False

    def begin_anew(self, is_ours: Callable[[TaskId], bool]) -> None:
        """Rows have come from other workers, or gone to them: what they gave all the time is not known."""
        self._has_looked = False
        for task_id in [task_id for task_id in self._is_given if not is_ours(task_id)]:
            self.forget(task_id)

    def forget(self, task_id: TaskId) -> None:
        """This row is not parked any more."""
        self._is_given.pop(task_id, None)
        self._was_another.discard(task_id)
        self._died_again_at.pop(task_id, None)

    def taken_again(self, row: Row, entry: Entry) -> Row | None:
        """The row, where it is to be handled all the same; None where it is dead still, or nobody can say."""
        try:
            if self._is_another(row, entry):
                self._was_another.add(row.id)
                self._is_given.pop(row.id, None)
                return row
            if self._was_set_back(row.id):
                self._context.parked.reopen(row.id)
                self._is_given.pop(row.id, None)
                self._died_again_at[row.id] = self._context.clock.monotonic()
                return row._replace(is_parked=True)
        except StoreAwayError as error:
            self._context.worker.note_store(error)
        return None

    def _is_another(self, row: Row, entry: Entry) -> bool:
        """Whether it has the id of the dead one, and not its content. Where it died again, its content tells nothing: a
        column may change with each look.
        """
        if row.id in self._was_another:
            return False
        known = (row.id, entry.last_at)
        if known not in self._digests:
            if len(self._digests) >= MOST_DIGESTS:
                self._digests.clear()
            self._digests[known] = digest_of_copy(self._context.parked.copy_of(row.id))
        return bool(self._digests[known]) and self._digests[known] != digest_of(row.record)

    def _was_set_back(self, task_id: TaskId) -> bool:
        """Whether the query left the row out meanwhile; of one that died before this worker began, whether `on_parked`
        has marked it.
        """
        is_given = self._is_given.setdefault(task_id, self._has_looked or not self._tells_parked)
        died_again_at = self._died_again_at.get(task_id)
        is_soon = died_again_at is not None and (
            self._context.clock.monotonic() - died_again_at < SET_BACK_AGAIN_AFTER_S
        )
        return not is_given and not is_soon
