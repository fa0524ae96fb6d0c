"""Whether a query gives a row again as long as it is not done, or claims what it gives. Runs in workers.

Workers that divide rows by hash leave those of others out. Of a query that claims, such a row would come to nobody: so
before rows are left out for the first time, the query is asked twice, with nothing done in between.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum, auto

from consumerd import events
from consumerd.errors import StoreAwayError
from consumerd.sources.contract import SourceContext
from consumerd.sources.query import QueryOptions
from consumerd.sources.query.batch import Row
from consumerd.sources.query.selection import Selected

MOST_TRIES = 3


class _Kind(Enum):
    UNKNOWN = auto()
    READS = auto()
    CLAIMS = auto()


class Rereading:
    """What is known of one query."""

    def __init__(self, context: SourceContext) -> None:
        self._context = context
        claims = context.options.claims if isinstance(context.options, QueryOptions) else None
        self._kind = {None: _Kind.UNKNOWN, True: _Kind.CLAIMS, False: _Kind.READS}[claims]
        self._held: list[Row] = []
        self._tries = 0

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
        if selected.has_come_again and self._kind is _Kind.UNKNOWN:
            self._note_reads()
        if self._kind is _Kind.READS:
            return selected.rows
        if self._kind is _Kind.CLAIMS:
            return selected.rows + selected.others
        self._held += selected.others
        if not self._held:
            return selected.rows
        return self._find_out(selected, ask_again())

    def _find_out(self, first: Selected, again: Selected) -> list[Row]:
        """first, again: two answers, between which nothing was handled here."""
        given = {row.id for row in (*first.rows, *self._held)}
        given_again = again.seen | {row.id for row in again.others}
        new = [row for row in again.rows if row.id not in given]
        self._tries += 1
        if given & given_again:
            self._note_reads()
            self._held.clear()
            return first.rows + new
        self._held += again.others
        if not first.rows and self._tries < MOST_TRIES:
            return new  # those of other workers: they may have handled them
        self._kind = _Kind.CLAIMS
        advice = (
            "what get_next_batch returned does not come again, so this worker handles all that it gets: set claims = "
            "true, or false where the query only reads"
        )
        self._context.emit(events.query_remarked(advice=advice))
        rows, self._held = first.rows + new + self._held, []
        return rows

    def _note_reads(self) -> None:
        """Copies of rows that wait are not needed any more."""
        self._kind = _Kind.READS
        try:
            self._context.parked.drop_copies()
        except StoreAwayError as error:
            self._context.worker.note_store(error)
