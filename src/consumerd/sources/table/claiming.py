"""Which rows a worker's next claim takes, and what its batch keeps of them. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from sqlalchemy import Connection

from consumerd import events
from consumerd.database.claims import ClaimedRow, Claims, Lease
from consumerd.model.task import TaskId
from consumerd.sources.contract import SourceContext
from consumerd.sources.decoding import limited, quick_decode
from consumerd.sources.table.batch import Raw, TableBatch, as_bytes, begun_at, key_text, record_of
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.shape import Shape
from consumerd.sources.table.side.intake import Intake
from consumerd.sources.table.side.tables import SideTable
from consumerd.sources.table.statements import MOST_ATTEMPTS
from consumerd.sources.table.turns.orders import InOrder, InTurn

MOST_CLAIMS = 10
"""So often it claims again where no row of a claim is there any more."""


class Claiming:
    """One worker's claims on a table of this shape, one after the other."""

    def __init__(
        self, context: SourceContext, shape: Shape, claims: Claims, side: SideTable | None, numbers: Iterator[int]
    ) -> None:
        """side: where the claims stand beside the table. numbers: each claim of this process has a token of its own."""
        self._context = context
        self._options = cast("TableOptions", context.options)
        self._names = shape.names
        self._claims = claims
        self._side = side
        self._intake = None if side is None else Intake(side, context.clock.monotonic)
        self._numbers = numbers
        self._order = (InTurn if self._options.turn_columns else InOrder)(context, shape, claims)
        self._had_retries = False

    def begin_anew(self) -> None:
        """Rows were given back: the next claim looks at everything."""
        self._order.begin_anew()

    def is_due(self, connection: Connection) -> bool:
        """Whether a claim would take something; if so, the next one looks at everything, for that may be anywhere."""
        found = (self._intake or self._claims).is_due(connection)
        if found:
            self._order.begin_anew()
        return found

    def take(self, connection: Connection, limit: int) -> TableBatch | None:
        """Claim what is due, at most `limit` rows; None where nothing is."""
        lease = Lease(f"{self._context.lease_owner}/{next(self._numbers)}", self._options.lease)
        claim = self._claim if self._side is None else self._claim_beside
        self._claims.go_by_index(connection)
        rows = claim(connection, lease, limit)
        if not rows:
            return None
        batch = TableBatch(self._options.table, lease.owner, *self._read(rows))
        waited = [row[len(self._options.id_column) + 2] for row in rows]
        batch.due_between = None if None in waited else (min(waited), max(waited))
        return batch

    def _claim(self, connection: Connection, lease: Lease, limit: int) -> Sequence[ClaimedRow]:
        if self._had_retries:  # now it is the turn of those that were never tried
            self._had_retries = False
            if untried := self._order.claim(connection, lease, limit, is_untried=True):
                return untried
        rows = self._order.claim(connection, lease, limit, is_untried=False)
        self._had_retries = any(row[len(self._options.id_column)] for row in rows)
        return rows

    def _claim_beside(self, connection: Connection, lease: Lease, limit: int) -> Sequence[ClaimedRow]:
        """Claim rows of the table beside, and read their content; of those that are gone nothing stays."""
        assert self._side is not None
        assert self._intake is not None
        for _ in range(MOST_CLAIMS):
            claimed = self._claim(connection, lease, limit)
            if not claimed and self._intake.take_in(connection):
                claimed = self._claim(connection, lease, limit)
            rows = self._side.with_content(connection, claimed)
            if len(rows) < len(claimed):
                self._drop_gone(connection, lease, claimed, rows)
            if rows or not claimed:
                return rows
        return ()

    def _drop_gone(
        self, connection: Connection, lease: Lease, claimed: Sequence[ClaimedRow], rows: Sequence[ClaimedRow]
    ) -> None:
        there = {self._claims.key_of(row) for row in rows}
        gone = {self._claims.key_of(row): row for row in claimed if self._claims.key_of(row) not in there}
        self._claims.settle(connection, self._claims.delete, list(gone), lease.owner)
        for key, row in gone.items():
            if row[len(self._options.id_column)]:  # it had been tried, and waited
                self._context.emit(events.row_gone(task=TaskId(f"{self._options.table}:{key_text(key)}")))

    def _read(self, rows: Sequence[ClaimedRow]) -> tuple[list[Raw], Callable[[Any], object]]:
        """What a batch keeps of claimed rows, and how it decodes their content."""
        width, names = len(self._options.id_column), self._names
        contents = [tuple(row[width + 3 :]) if names else as_bytes(row[-1]) for row in rows]
        attempts, ages = ([row[place] for row in rows] for place in (width, width + 1))
        if any(attempts):
            attempts = [min(each, MOST_ATTEMPTS) for each in attempts]
        if ages.count(None) < len(ages):
            wall = self._context.clock.wall()
            ages = [begun_at(wall, age_s) for age_s in ages]
        raws = list(zip(range(len(rows)), map(self._claims.key_of, rows), contents, attempts, ages, strict=True))
        if names:
            return raws, lambda values: record_of(names, values)
        limit_bytes = self._context.payload_limit_bytes
        is_small = max(map(len, contents)) <= limit_bytes
        return raws, quick_decode if is_small else limited(quick_decode, limit_bytes)
