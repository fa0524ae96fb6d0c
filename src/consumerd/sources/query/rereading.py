"""Whether a query gives a row again as long as it is not done, or claims what it gives. Runs in workers.

Workers that divide rows by hash leave those of others out. Of a query that claims, such a row would come to nobody. So
with the first rows of its own a worker asks twice, and does nothing in between; with the second ones, where it leaves
none out. If one of them comes again, the query reads. If none does, rows of other workers are held for some seconds; if
none of all these has come again by then, the query claims, and what was held is handled. A query that gives rows at
random is told apart by that time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from enum import Enum, auto

from consumerd import events
from consumerd.errors import SourceAwayError, StoreAwayError
from consumerd.model.task import TaskId
from consumerd.sources.contract import SourceContext
from consumerd.sources.query import QueryOptions
from consumerd.sources.query.batch import Row
from consumerd.sources.query.selection import Selected

HELD_FOR_S = 5.0


class _Kind(Enum):
    UNKNOWN = auto()
    SUSPECTED = auto()
    READS = auto()
    CLAIMS = auto()


class Rereading:
    """What is known of one query.

    held: rows of other workers that come to nobody if the query claims.
    """

    def __init__(self, context: SourceContext, *, marks_rows: bool) -> None:
        """marks_rows: the consumer may mark rows that wait, so that the query does not give them, whatever it does."""
        self._context = context
        claims = context.options.claims if isinstance(context.options, QueryOptions) else None
        self._marks_rows = marks_rows
        self._is_said = claims is not None
        self._kind = {None: _Kind.UNKNOWN, True: _Kind.CLAIMS, False: _Kind.READS}[claims]
        self._suspected_at = 0.0
        self._has_given = False
        self.held: list[Row] = []

    @property
    def reads(self) -> bool:
        """Whether it is certain that rows come again."""
        return self._kind is _Kind.READS

    @property
    def claims(self) -> bool:
        """Whether rows come only once."""
        return self._kind is _Kind.CLAIMS

    def rows_of(self, selected: Selected, ask_again: Callable[[], Selected]) -> list[Row]:
        """The rows to handle of what was selected; of a query that claims, those of other workers, too."""
        has_come_again = selected.has_come_again or bool(_ids(selected.others) & _ids(self.held))
        if has_come_again and not self._is_said and self._kind is not _Kind.READS:
            self._note_reads()
        if self._kind is _Kind.READS:
            return selected.rows
        if self._kind is _Kind.CLAIMS:
            return selected.rows + selected.others
        self.held += selected.others
        if self._kind is _Kind.UNKNOWN:
            if self.held or (self._has_given and selected.rows):
                return self._ask(selected, ask_again)
            self._has_given = bool(selected.rows)
            return selected.rows
        if self._context.clock.monotonic() - self._suspected_at < HELD_FOR_S:
            return selected.rows
        self._kind = _Kind.CLAIMS
        rows, self.held = selected.rows + self.held, []
        advice = (
            "what get_next_batch returned does not come again, so this worker handles all that it gets: set claims = "
            "true, or false where the query only reads"
        )
        self._context.emit(events.query_remarked(advice=advice))
        return rows

    def _ask(self, first: Selected, ask_again: Callable[[], Selected]) -> list[Row]:
        """Ask once more, with nothing handled in between."""
        try:
            again = ask_again()
        except SourceAwayError:
            return first.rows  # and ask again with the next
        if (_ids(first.rows) | _ids(self.held)) & (_ids(again.rows) | _ids(again.others) | again.in_hand):
            self._note_reads()
        else:
            self.held += again.others
            self._kind, self._suspected_at = _Kind.SUSPECTED, self._context.clock.monotonic()
        known = _ids(first.rows)
        return first.rows + [row for row in again.rows if row.id not in known]

    def _note_reads(self) -> None:
        """Rows of others are theirs; and copies are not needed any more of rows that wait and will come."""
        self._kind = _Kind.READS
        self.held.clear()
        if self._marks_rows:
            return
        try:
            self._context.parked.drop_copies()
        except StoreAwayError as error:
            self._context.worker.note_store(error)


def _ids(rows: Iterable[Row]) -> set[TaskId]:
    return {row.id for row in rows}
