"""The source that hands out the rows of `get_next_batch`. Runs in workers and the foreground.

A row that waits is handled when it is due and the query gives it: as it is then. One that the query does not give any
more is *gone*, unless a copy of it is kept: of a row that died and that a person wants to be tried again, and of each
where the query claims its rows, so that none comes again.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from functools import partial
from typing import TYPE_CHECKING, cast

from consumerd import events
from consumerd.errors import ConsumerdError, QueryFailedError
from consumerd.model.contract import is_overridden
from consumerd.model.failure import one_line
from consumerd.model.outcome import SKIPPED, Dead, Done, Expired, Outcome
from consumerd.model.task import Task, TaskId
from consumerd.sources.contract import Batch, Settlement, ShardLag, SourceContext
from consumerd.sources.query import TRAITS
from consumerd.sources.query.batch import QueryBatch, Row, one_of_each
from consumerd.sources.query.content import copy_of
from consumerd.sources.query.counting import Counting
from consumerd.sources.query.ownership import Ownership
from consumerd.sources.query.pace import Pace
from consumerd.sources.query.reading import Reading
from consumerd.sources.query.rereading import Rereading
from consumerd.sources.query.selection import Selected, Selection
from consumerd.sources.query.waiting import Waiting
from consumerd.sources.records import decode_record

if TYPE_CHECKING:
    from sqlalchemy import Connection

    from consumerd.sources.query.transactions import RowTransactions

RETRIES_FOR_S = 0.5
"""So long rows are tried again before it is the turn of new ones."""


class QuerySource:
    """Rows of the user's query, in batches no larger than the loop asks for."""

    traits = TRAITS

    def __init__(self) -> None:
        self._rows: list[Row] = []
        self._retries: dict[TaskId, Row] = {}
        self._looked_at = 0.0
        self._batches: tuple[QueryBatch, ...] = ()
        self.has_answered = False

    def open(self, context: SourceContext) -> None:
        self._context = context
        self._tells_parked = is_overridden(type(context.consumer), "on_parked")
        self._ownership = Ownership(context)
        self._selection = Selection(context, self._ownership, tells_parked=self._tells_parked)
        self._reading = Reading(context.consumer.get_next_batch)
        self._rereading = Rereading(context, marks_rows=self._tells_parked)
        self._waiting = Waiting(context, self._selection)
        self._pace = Pace(float(context.consumer.SLEEP_TIME), context.clock)
        self._returned: set[TaskId] = set()
        self._counting = Counting(context)
        self._transactions: RowTransactions | None = None

    def fetch(self, limit: int, timeout_s: float) -> Batch | None:
        if self._ownership.look(may_move=self._may_move, in_hand=self._selection.in_hand):
            self._leave_to_others()
        if limit < 1 or not self._may_begin():
            self.has_answered = True  # nobody wants it to be asked
            self._context.worker.wait(timeout_s)
            return None
        taken = self._taken(limit) if self._rows or self._is_turn_of_retries else []
        if not taken:
            if self._pace.pause_left_s > 0 and not self._retries:
                self._counting.count()
                self._context.worker.wait(min(self._pace.pause_left_s, timeout_s))
                return None
            self._look()
            taken = self._taken(limit) if self._may_begin() else []
        return self._batch_of(taken) if taken else None

    def _batch_of(self, taken: list[Row]) -> QueryBatch:
        self._selection.in_hand.update(row.id for row in taken)
        is_given_again = self._rereading.reads and not self._tells_parked
        losses = None if self._rereading.claims and not any(row.is_kept for row in taken) else self._ownership.losses
        batch = QueryBatch(self._context.name, taken, is_given_again=is_given_again, losses=losses)
        self._batches = (*self._batches, batch)
        return batch

    def keeps(self, batch: Batch) -> bool:
        losses = self._losses_of(batch)
        return losses is None or (self._ownership.keeps and losses == self._ownership.losses)

    def settles(self, batch: Batch) -> bool:
        losses = self._losses_of(batch)
        return losses is None or self._ownership.settles(losses)

    def drop(self, batch: Batch, start: int, stop: int) -> None:
        self._let_go(cast("QueryBatch", batch).settle(start, stop))

    def settle(self, settlements: Sequence[Settlement], *, is_due: bool) -> None:
        del is_due
        for settlement in settlements:
            batch = cast("QueryBatch", settlement.batch)
            rows, ended = batch.settle(settlement.start, settlement.stop), batch.ended
            self._let_go(rows)
            if not self.settles(batch):
                continue  # they are others', and come again there
            match settlement.outcome:
                case Done():
                    self._selection.note_done(rows)
                    self._waiting.finish([row.id for row in rows if row.is_parked and ended.get(row.offset, True)])
                case Dead() | Expired() as outcome:
                    self._selection.note_dead(rows)
                    self._tell_parked([row.record for row in rows], outcome)
                case outcome:
                    self._waiting.look_now()
                    self._selection.given_while_waiting.difference_update(row.id for row in rows)
                    self._tell_parked([row.record for row in rows], outcome)

    def unsettled(self) -> int:
        return self._selection.in_hand.total()

    def decode(self, payload: bytes) -> object:
        return decode_record(payload)

    def release(self, batch: Batch, not_begun: Sequence[int]) -> None:
        """The rows are as they were. Where it is certain that the query returns them again, they are forgotten, and
        with them those behind them.
        """
        self._batches = tuple(each for each in self._batches if each is not batch)
        rows: Sequence[Row] = [batch.raws[index] for index in not_begun]
        self._let_go(rows)
        if not rows:
            return
        if self._rereading.reads:
            self._forget_read()
        else:
            self._rows[:0] = rows

    def transaction(self, task: Task) -> AbstractContextManager[Connection]:
        from consumerd.sources.query.transactions import RowTransactions  # SQLAlchemy, which few queries need

        self._transactions = self._transactions or RowTransactions(self._context)
        batch = next(each for each in self._batches if each.has(task))
        return self._transactions.of(batch, task)

    def is_settled(self, task: Task) -> bool:
        return any(task.offset in each.ended and each.has(task) for each in self._batches)

    def tick(self) -> None:
        self._ownership.keep()

    def lag(self) -> tuple[ShardLag, ...] | None:
        return self._counting.lag()

    def look_now(self) -> None:
        self._pace.end()
        self._waiting.look_now()
        self._ownership.look_now()

    def close(self, deadline: float) -> None:
        """Rows that the query has claimed, and nobody has begun, are given back by the user's hook."""
        del deadline
        self._ownership.leave()
        rows, self._rows = [*self._rows, *self._rereading.held], []
        rows += [row for row in self._retries.values() if not row.is_kept]
        if self._rereading.reads:
            return
        consumer = self._context.consumer
        records = [*(row.record for row in rows), *self._reading.rest()]
        if records and is_overridden(type(consumer), "on_released"):
            self._context.worker.call_hook("on_released", partial(consumer.on_released, records), None)
        elif records:
            then = "they are as the query left them; if it claims its rows, define on_released"
            self._context.emit(events.release_failed(error=f"{len(records)} rows were not begun", then=then))

    # Steps

    @property
    def _is_turn_of_retries(self) -> bool:
        """Whether rows may be tried again before the query is asked for new ones."""
        return self._context.clock.monotonic() - self._looked_at < RETRIES_FOR_S

    def _may_begin(self) -> bool:
        """Whether rows may be read, and begun: what a query claims is this worker's, whatever it owns."""
        return self._rereading.claims or self._ownership.holds

    @property
    def _may_move(self) -> bool:
        """Whether nothing was read that may not come again elsewhere."""
        has_read = self._rows or self._retries or not self._reading.is_at_end
        return self._rereading.reads or self._rereading.claims or not has_read

    def _leave_to_others(self) -> None:
        """What was read before ranges moved is as it was then: it is read again. What the query claimed stays here."""
        self._pace.end()
        self._selection.dead.begin_anew(self._selection.is_ours)
        if self._rereading.reads:
            self._forget_read()
            return
        retries, is_ours = self._retries.items(), self._selection.is_ours
        self._retries = {task_id: row for task_id, row in retries if not row.is_kept or is_ours(task_id)}

    def _forget_read(self) -> None:
        self._rows.clear()
        self._retries.clear()
        self._reading.drop()

    @staticmethod
    def _losses_of(batch: Batch) -> int | None:
        assert isinstance(batch, QueryBatch)  # it gave no other
        return batch.losses

    def _sort(self, rows: list[Row]) -> None:
        """New rows come first, and all at once. Those that were tried before come one by one."""
        self._rows += [row for row in rows if not row.is_parked]
        self._retries.update((row.id, row) for row in rows if row.is_parked and row.id not in self._selection.in_hand)

    def _taken(self, limit: int) -> list[Row]:
        if self._rereading.claims:
            taken, self._rows = one_of_each(self._rows, limit, self._selection.in_hand)
        else:
            taken, self._rows = self._rows[:limit], self._rows[limit:]
        if not taken and self._retries:
            return [self._retries.pop(next(iter(self._retries)))]
        return taken

    def _let_go(self, rows: Sequence[Row]) -> None:
        self._selection.in_hand -= Counter(row.id for row in rows)

    def _look(self) -> None:
        """Read the next piece, and choose from it."""
        if self._reading.is_at_end:
            self._returned = set()
            self._selection.begin_answer()
            if self._rereading.reads:
                self._retries.clear()  # they are given again
        selected = self._select(self._reading.next_piece)
        rows = self._rereading.rows_of(selected, lambda: self._select(self._reading.ask_again))
        if not self._rereading.reads:
            self._reading.keep_second()
        self._looked_at = self._context.clock.monotonic()
        self._sort(self._with_copies(rows))
        if self._reading.is_at_end:
            if is_whole := self._pace.is_whole(self._reading.returned):
                self._selection.dead.note_whole(self._returned)
            absent = self._waiting.absent(self._returned, is_whole=is_whole, reads=self._rereading.reads)
            self._sort([row._replace(offset=place) for place, row in enumerate(absent, self._reading.given)])
            self._report_starvation(self._reading.returned)
            self._counting.count()

    def _select(self, read: Callable[[], list[object]]) -> Selected:
        records = self._read(read)
        offset = self._reading.given - len(records)
        selected = self._selection.of(records, offset, claims=self._rereading.claims, reads=self._rereading.reads)
        self._returned |= selected.seen
        self._tell_parked(selected.dead, SKIPPED)
        return selected

    def _with_copies(self, rows: list[Row]) -> list[Row]:
        """Where a row may come only once, what is kept of it is written before its handler can change it."""
        return rows if self._rereading.reads else [row._replace(copy=copy_of(row.record)) for row in rows]

    def _read(self, read: Callable[[], list[object]]) -> list[object]:
        try:
            records = self._context.worker.query(read)
        except ConsumerdError:
            raise
        except BaseException as error:  # the user's query, and any driver's errors
            self._reading.drop()
            raise QueryFailedError(f"get_next_batch raised {one_line(error)}") from error
        self.has_answered = True
        return records

    def _report_starvation(self, returned: int) -> None:
        was_starved = self._pace.is_starved
        taken = len(self._retries) + sum(row.id not in self._selection.in_hand for row in self._rows)
        starved_s = self._pace.note(returned=returned, taken=taken, is_busy=bool(self._selection.in_hand))
        if was_starved and not self._pace.is_starved:
            self._context.emit(events.fed())
        if starved_s is not None:
            advice = (
                "the query returns only rows that are parked, just handled or another worker's: leave them out by "
                "self.parked_ids(), self.shard, or mark them in on_parked"
            )
            self._context.emit(events.starved(for_s=round(starved_s, 1), returned=returned, advice=advice))

    def _tell_parked(self, records: Sequence[object], outcome: Outcome) -> None:
        if not self._tells_parked:
            return
        on_parked = self._context.consumer.on_parked
        for record in records:  # parked already, whatever the hook does
            self._context.worker.call_hook("on_parked", partial(on_parked, record, outcome), None)
