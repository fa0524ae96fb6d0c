"""The source over `get_next_batch`. Runs in workers and the foreground.

The query, and the state of its rows, are the user's; consumerd divides the rows among the workers by the hash of
their ids, leaves out what is parked, and paces the queries. One batch is out at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from consumerd.errors import ConsumerdError, QueryFailedError
from consumerd.events.facts import Fact, Level
from consumerd.model.contract import is_overridden
from consumerd.model.failure import one_line
from consumerd.model.outcome import Done, Outcome
from consumerd.sources.contract import Batch, Settlement, ShardLag, SourceContext
from consumerd.sources.query import TRAITS
from consumerd.sources.query.pace import Pace
from consumerd.sources.query.selection import Selection
from consumerd.sources.records import decode_record
from consumerd.sources.rows import Raw, RecordBatch


class QuerySource:
    """Rows of the user's query, a batch at a time, in slices no larger than the loop asks for."""

    traits = TRAITS

    def __init__(self) -> None:
        self._rows: list[Raw] = []
        self._in_hand = 0
        self.has_answered = False

    def open(self, context: SourceContext) -> None:
        self._context = context
        self._selection = Selection(context)
        self._pace = Pace(float(context.consumer.SLEEP_TIME), context.clock)
        self._tells_parked = is_overridden(type(context.consumer), "on_parked")

    def fetch(self, limit: int, timeout_s: float) -> Batch | None:
        if limit < 1 or (self._in_hand and not self._rows):
            self.has_answered = True  # nobody wants it to be asked
            self._context.wait(timeout_s)
            return None
        if not self._rows:
            if self._pace.pause_left_s > 0:
                self._context.wait(min(self._pace.pause_left_s, timeout_s))
                return None
            self._query()
        if not self._rows:
            return None
        taken, self._rows = self._rows[:limit], self._rows[limit:]
        self._in_hand += len(taken)
        return RecordBatch(self._context.name, 0, taken)

    def settle(self, settlements: Sequence[Settlement], *, is_due: bool) -> None:
        del is_due
        for settlement in settlements:
            raws = settlement.batch.raws[settlement.start : settlement.stop]
            self._in_hand -= len(raws)
            if isinstance(settlement.outcome, Done):
                self._selection.note_done(raws)
            else:
                self._tell_parked([record for _, record, _ in raws], settlement.outcome)

    def unsettled(self) -> int:
        return self._in_hand

    def keeps(self, batch: Batch) -> bool:
        del batch
        return True

    def settles(self, batch: Batch) -> bool:
        del batch
        return True

    def decode(self, payload: bytes) -> object:
        return decode_record(payload)

    def release(self, batch: Batch, start: int) -> None:
        """The rows are as they were: the query returns them again."""
        self._in_hand -= len(batch.raws) - start
        self._rows.clear()

    def tick(self) -> None:
        """Nothing to keep: the connection is the user's."""

    def lag(self) -> tuple[ShardLag, ...]:
        return ()

    def close(self, deadline: float) -> None:
        del deadline
        self._rows.clear()

    def _query(self) -> None:
        try:
            records = list(self._context.consumer.get_next_batch() or ())
        except ConsumerdError:
            raise
        except BaseException as error:  # the user's query, and any driver's errors
            raise QueryFailedError(f"get_next_batch raised {one_line(error)}") from error
        self.has_answered = True
        selected = self._selection.of(records)
        self._rows = selected.rows
        for record, outcome in selected.parked:
            self._tell_parked([record], outcome)
        was_starved = self._pace.is_starved
        starved_s = self._pace.note(returned=len(records), taken=len(selected.rows))
        if was_starved and not self._pace.is_starved:
            self._context.emit(Fact("fed", Level.INFO, {}))
        if starved_s is not None:
            self._context.emit(
                Fact(
                    "starved",
                    Level.WARNING,
                    {
                        "for_s": round(starved_s, 1),
                        "returned": len(records),
                        "advice": "the query returns only rows that are parked, just handled or another worker's: "
                        "leave them out by self.parked_ids(), self.shard, or mark them in on_parked",
                    },
                )
            )

    def _tell_parked(self, records: Sequence[object], outcome: Outcome) -> None:
        if not self._tells_parked:
            return
        on_parked = self._context.consumer.on_parked
        for record in records:  # parked already, whatever the hook does
            self._context.call_hook("on_parked", partial(on_parked, record, outcome), None)
