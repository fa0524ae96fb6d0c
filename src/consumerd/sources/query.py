"""A user's own query as a source: `get_next_batch`. Runs in workers and the foreground.

The query, and the state of its rows, are the user's; consumerd divides the rows among the workers by the hash of
their ids, leaves out what is parked, and paces the queries. One batch is out at a time.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial

from consumerd import events
from consumerd.clock import Clock
from consumerd.errors import ConsumerdError, QueryFailedError
from consumerd.model.contract import is_overridden
from consumerd.model.failure import one_line
from consumerd.model.outcome import SKIPPED, Done, Outcome
from consumerd.sources.contract import Batch, Settlement, SourceContext, SourceKind, Traits
from consumerd.sources.records import decode_record
from consumerd.sources.rows import NoOptions, Raw, RecordBatch
from consumerd.sources.selection import Selection

LONGEST_SLEEP_S = 30.0
STARVED_AFTER_S = 15.0


class Pace:
    """When to query again: at once after work, after `SLEEP_TIME` when there was nothing.

    A batch of which nothing could be taken doubles the pause, up to 30 seconds.
    """

    def __init__(self, sleep_time_s: float, clock: Clock) -> None:
        self._sleep_time_s = sleep_time_s
        self._clock = clock
        self._pause_s = sleep_time_s
        self._next_query = 0.0
        self._skipped_since: float | None = None
        self.is_starved = False

    @property
    def pause_left_s(self) -> float:
        return self._next_query - self._clock.monotonic()

    def note(self, *, returned: int, taken: int) -> float | None:
        """What the last query brought. Seconds of starvation, when it is time to report them; else None."""
        now = self._clock.monotonic()
        if taken or not returned:
            self._pause_s, self._skipped_since, self.is_starved = self._sleep_time_s, None, False
            self._next_query = now if taken else now + self._sleep_time_s
            return None
        self._next_query = now + self._pause_s
        self._pause_s = min(self._pause_s * 2, LONGEST_SLEEP_S)
        self._skipped_since = now if self._skipped_since is None else self._skipped_since
        starved_s = now - self._skipped_since
        if starved_s < STARVED_AFTER_S or self.is_starved:
            return None
        self.is_starved = True
        return starved_s


class QuerySource:
    """Rows of the user's query, a batch at a time, in slices no larger than the loop asks for."""

    traits = Traits(splits_keys=True)

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
            self._context.worker.wait(timeout_s)
            return None
        if not self._rows:
            if self._pace.pause_left_s > 0:
                self._context.worker.wait(min(self._pace.pause_left_s, timeout_s))
                return None
            self._query()
        if not self._rows:
            return None
        taken, self._rows = self._rows[:limit], self._rows[limit:]
        self._in_hand += len(taken)
        return RecordBatch(self._context.name, taken)

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

    def decode(self, payload: bytes) -> object:
        return decode_record(payload)

    def release(self, batch: Batch, start: int) -> None:
        """The rows are as they were: the query returns them again, and with them those behind them."""
        self._in_hand -= len(batch.raws) - start
        if start < len(batch.raws):
            self._rows.clear()

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
        self._tell_parked(selected.parked, SKIPPED)
        self._report_starvation(returned=len(records), taken=len(selected.rows))

    def _report_starvation(self, *, returned: int, taken: int) -> None:
        was_starved = self._pace.is_starved
        starved_s = self._pace.note(returned=returned, taken=taken)
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


KIND = SourceKind(
    name="query",
    options=NoOptions,
    make=QuerySource,
    traits=QuerySource.traits,
    hooks=("get_next_batch", "handle_task"),
)
