"""Rows that wait in the parking store, and that the query does not give when they are due. Runs in workers.

A row that the query gave while it waited, and gives no more, was deleted or does not match any more: it is *gone*, and
its entry is forgotten after a while. Else a copy is handled, where one is kept: the query claims its rows, `on_parked`
has marked this one, or a person wants a dead row to be tried again.
"""

from __future__ import annotations

from collections.abc import Sequence

from consumerd import events
from consumerd.errors import StoreAwayError, UndecodableError
from consumerd.model.parked import DueTask, ParkedTask
from consumerd.model.task import TaskId
from consumerd.sources.contract import SourceContext
from consumerd.sources.query.batch import Row
from consumerd.sources.query.selection import Selection
from consumerd.sources.records import decode_record

LOOK_WHILE_WAITING_S = 1.0
LOOK_OTHERWISE_S = 15.0
COPY_AFTER_S = 5.0
GONE_AFTER_S = 60.0
MOST_AT_ONCE = 100
PAGE = 1_000
LONGEST_S = 0.5
"""So long a look goes on, where others' tasks are due before this worker's; the next one goes on behind them."""


class Waiting:
    """Looks now and then what is due and was not given."""

    def __init__(self, context: SourceContext, selection: Selection) -> None:
        self._context = context
        self._selection = selection
        self._absent_since: dict[TaskId, float] = {}
        self._found: dict[TaskId, float] = {}
        """What this round has found absent, since when. A round is one look, or several where very many are due."""
        self._place: DueTask | None = None
        self._next_look = 0.0

    def look_now(self) -> None:
        """Look with the next answer of the query."""
        self._next_look = 0.0

    def absent(self, seen: set[TaskId], *, is_whole: bool, reads: bool) -> list[Row]:
        """Rows of the copies of what is due and was not given.

        seen: what the query gave; is_whole: it has no more. reads: what it gives comes again until it is done, so that
        a copy is of a row that died.
        """
        now = self._context.clock.monotonic()
        if now < self._next_look:
            return []
        try:
            copied, bare = self._look(now, seen)
            may_come = [
                task_id
                for task_id, absent_s in copied.items()
                if absent_s >= COPY_AFTER_S or (is_whole and (reads or absent_s > 0))
            ]
            tasks = self._context.parked.due_among(may_come) if may_come else ()
        except StoreAwayError as error:
            self._context.worker.note_store(error)
            return []
        self._context.worker.note_store(None)
        for task_id in [task_id for task_id, absent_s in bare.items() if is_whole and absent_s >= GONE_AFTER_S]:
            self._selection.forget(task_id)
            self._forget([task_id])
            self._context.emit(events.row_gone(task=task_id))
        return [_row_of(task) for task in tasks]

    def finish(self, ids: Sequence[TaskId]) -> None:
        """These were done. Where the store is away their entries stay: their rows will be gone."""
        if ids:
            self._forget(ids)

    def _look(self, now: float, seen: set[TaskId]) -> tuple[dict[TaskId, float], dict[TaskId, float]]:
        """This worker's tasks that are due and absent, and for how long: those with a copy to handle, and the others.

        Those of other workers may be due before, and any number of them.
        """
        copied: dict[TaskId, float] = {}
        bare: dict[TaskId, float] = {}
        until, is_round = now + LONGEST_S, False
        while not is_round and self._context.clock.monotonic() < until:
            page = self._next_page(now)
            for task in page:
                if self._is_absent(task.task_id, seen):
                    has_copy = task.has_copy and task.task_id not in self._selection.given_while_waiting
                    self._note_absent(task.task_id, copied if has_copy else bare, now)
            is_round = len(page) < PAGE or len(copied) >= MOST_AT_ONCE
            if is_round:
                self._place, self._absent_since, self._found = None, self._found, {}
        return copied, bare

    def _next_page(self, now: float) -> Sequence[DueTask]:
        page, is_waited_for = self._context.parked.due(PAGE, self._place)
        self._next_look = now + (LOOK_WHILE_WAITING_S if is_waited_for else LOOK_OTHERWISE_S)
        self._place = page[-1] if page else None
        return page

    def _note_absent(self, task_id: TaskId, absent: dict[TaskId, float], now: float) -> None:
        if len(absent) < MOST_AT_ONCE:
            since = self._found[task_id] = self._absent_since.get(task_id, now)
            absent[task_id] = now - since

    def _is_absent(self, task_id: TaskId, seen: set[TaskId]) -> bool:
        return self._selection.is_ours(task_id) and task_id not in seen and task_id not in self._selection.in_hand

    def _forget(self, ids: Sequence[TaskId]) -> None:
        try:
            self._context.parked.forget(ids)
        except StoreAwayError as error:
            self._context.worker.note_store(error)


def _row_of(task: ParkedTask) -> Row:
    """A row as it was kept; what was kept as text only is no record, and says so when it is decoded."""
    try:
        record = decode_record(task.payload)
    except UndecodableError as error:
        record = error
    row = Row(task.offset, record, task.task_id, task.attempts, task.first_at, copy=task.payload)
    return row._replace(is_parked=True, is_kept=True)
