"""Which rows a worker's next claim takes, and what its batch keeps of them. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, cast

from sqlalchemy import Connection

from consumerd.database.claims import ClaimedRow, Claims, Lease
from consumerd.sources.contract import SourceContext
from consumerd.sources.decoding import limited, quick_decode
from consumerd.sources.table.batch import Raw, TableBatch
from consumerd.sources.table.content import as_bytes, begun_at, record_of
from consumerd.sources.table.front import Front
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.shape import Shape
from consumerd.sources.table.statements import MOST_ATTEMPTS


class Claiming:
    """One worker's claims on a table of this shape, one after the other."""

    def __init__(self, context: SourceContext, shape: Shape, claims: Claims, numbers: Iterator[int]) -> None:
        """numbers: of the claims of this process, each of which has a token of its own."""
        self._context = context
        self._options = cast("TableOptions", context.options)
        self._names = shape.names
        self._claims = claims
        self._numbers = numbers
        self._front = Front(context.clock.monotonic)
        self._had_retries = False

    def begin_anew(self) -> None:
        """Rows were given back: the next claim looks at everything."""
        self._front.reset()

    def take(self, connection: Connection, limit: int) -> TableBatch | None:
        """Claim what is due, at most `limit` rows; None where nothing is."""
        lease = Lease(f"{self._context.lease_owner}/{next(self._numbers)}", self._options.lease)
        rows = self._claim(connection, lease, limit)
        if not rows:
            return None
        batch = TableBatch(self._options.table, lease.owner, *self._read(rows))
        waited = [row[len(self._options.id_column) + 2] for row in rows]
        batch.due_since = None if None in waited else min(waited)
        return batch

    def _claim(self, connection: Connection, lease: Lease, limit: int) -> Sequence[ClaimedRow]:
        if self._had_retries:  # now it is the turn of those that were never tried
            self._had_retries = False
            if untried := self._claims.claim(connection, lease, limit, is_untried=True):
                return untried
        began_at, since = self._context.clock.monotonic(), self._front.since()
        rows = self._claims.claim(connection, lease, limit, since=since)
        width = len(self._options.id_column)
        self._had_retries = any(row[width] for row in rows)
        self._front.note(began_at, since, rows[-1][width + 2] if rows else None, is_full=len(rows) == limit)
        return rows if rows or since is None else self._claim(connection, lease, limit)

    def _read(self, rows: Sequence[ClaimedRow]) -> tuple[list[Raw], Callable[[Any], object]]:
        """What a batch keeps of claimed rows, and how it decodes their content."""
        width, wall, names = len(self._options.id_column), self._context.clock.wall(), self._names
        contents = [tuple(row[width + 3 :]) if names else as_bytes(row[-1]) for row in rows]
        raws = [
            (
                index,
                self._claims.key_of(row),
                content,
                min(row[width], MOST_ATTEMPTS),
                begun_at(wall, row[width + 1]),
            )
            for index, (row, content) in enumerate(zip(rows, contents, strict=True))
        ]
        if names:
            return raws, lambda values: record_of(names, values)
        limit_bytes = self._context.payload_limit_bytes
        is_small = max(map(len, contents)) <= limit_bytes
        return raws, quick_decode if is_small else limited(quick_decode, limit_bytes)
