"""In which order rows that are due are claimed: as they are due, or in turn. Runs in workers and the foreground.

Rows whose claim has ended come first in both.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import cast

from sqlalchemy import Connection

from consumerd.database.claims import ClaimedRow, Claims, Lease, Place
from consumerd.sources.contract import SourceContext
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.shape import Shape
from consumerd.sources.table.turns.front import Front, Whole
from consumerd.sources.table.turns.lanes import Lane, Lanes
from consumerd.sources.table.turns.walk import Walk

MOST_LOOKS = 3
"""So many times a claim looks whose turn it is, where others were quicker each time."""


class InOrder:
    """What is due longest comes first."""

    def __init__(self, context: SourceContext, shape: Shape, claims: Claims) -> None:
        self._now = context.clock.monotonic
        self._found = _Found(context, claims)
        self._claims = claims
        self._fronts = {is_untried: Front(self._now) for is_untried in (False, True)}

    def begin_anew(self) -> None:
        """Rows were given back: the next claim looks at everything."""
        for front in self._fronts.values():
            front.reset()

    def claim(self, connection: Connection, lease: Lease, limit: int, *, is_untried: bool) -> Sequence[ClaimedRow]:
        """Claim rows that are due. is_untried: only such as were never tried."""
        front = self._fronts[is_untried]
        began_at, since = self._now(), front.since()
        rows = self._claims.claim(
            connection, lease, limit, is_untried=is_untried, since=since, has_lapsed=since is None
        )
        front.note(began_at, since, self._found.last(rows), is_full=len(rows) == limit)
        if rows or since is None or front.since() is not None:
            return rows
        return self.claim(connection, lease, limit, is_untried=is_untried)


class InTurn:
    """Rows of a higher priority come first, and those of one priority from all tenants in turn."""

    def __init__(self, context: SourceContext, shape: Shape, claims: Claims) -> None:
        self._now = context.clock.monotonic
        self._found = _Found(context, claims)
        self._claims = claims
        self._lapsed = Whole(self._now)
        self._lanes = Lanes(self._now)
        self._walk = Walk(cast("TableOptions", context.options), shape.dialect, claims, self._now)
        self._has_begun = False

    def begin_anew(self) -> None:
        """Rows were given back: the next claims look at all of their lanes."""
        self._lanes.begin_anew()

    def claim(self, connection: Connection, lease: Lease, limit: int, *, is_untried: bool) -> Sequence[ClaimedRow]:
        """Claim rows that are due. is_untried: only such as were never tried.

        Where no lane has one, claim what is due longest: no row waits for ever, whatever a look does not see.
        """
        rows: list[ClaimedRow] = []
        for _ in range(MOST_LOOKS):
            self._walk.look(connection, self._lanes, limit)
            if not self._has_begun:
                self._lanes.turn_by(random.random())  # noqa: S311 - who starts together begins with different lanes
                self._has_begun = True
            rows = self._of_lanes(connection, lease, limit, is_untried=is_untried)
            if rows or is_untried or self._lanes.is_empty:
                break
        return rows if rows or is_untried else self._claims.claim(connection, lease, limit)

    def _of_lanes(self, connection: Connection, lease: Lease, limit: int, *, is_untried: bool) -> list[ClaimedRow]:
        rows: list[ClaimedRow] = []
        chosen = self._lanes.choose(limit)
        for place, (lane, _) in enumerate(chosen):
            kept = sum(share for _, share in chosen[place + 1 :])
            if (wanted := limit - len(rows) - kept) > 0:
                rows += self._of_lane(connection, lease, lane, wanted, is_untried=is_untried, is_first=place == 0)
        return rows

    def _of_lane(
        self, connection: Connection, lease: Lease, lane: Lane, wanted: int, *, is_untried: bool, is_first: bool
    ) -> list[ClaimedRow]:
        """Claim rows of a lane, where its last claim ended and then from the beginning.

        is_first: it is the claim's first lane; what others' claims left comes first, if it is time to look for it.
        """
        rows: list[ClaimedRow] = []
        starts = [None] if is_untried else list(dict.fromkeys((lane.front.since(), None)))
        for place, since in enumerate(starts):
            began_at, left = self._now(), wanted - len(rows)
            has_lapsed = is_first and place == 0 and self._lapsed.is_due
            found = self._claims.claim(
                connection,
                lease,
                left,
                is_untried=is_untried,
                since=since,
                turn=lane.values,
                has_lapsed=has_lapsed,
            )
            rows += found
            if has_lapsed:
                self._lapsed.note(began_at, is_cut_off=len(found) == left and self._found.last(found) is None)
            if not is_untried:
                lane.front.note(began_at, since, self._found.last(found), is_full=len(found) == left)
                self._lanes.note(lane, len(found), is_over=since is None and len(found) < left)
            if len(rows) == wanted:
                break
        return rows


class _Found:
    """What claimed rows say of themselves: since when each was due, and nothing of it if its claim had ended."""

    def __init__(self, context: SourceContext, claims: Claims) -> None:
        self._waited = len(cast("TableOptions", context.options).id_column) + 2
        self._key_of = claims.key_of

    def last(self, rows: Sequence[ClaimedRow]) -> Place | None:
        """Where the last one stood of those that had waited; None: the claims of all had ended."""
        row = next((row for row in reversed(rows) if row[self._waited] is not None), None)
        return None if row is None else Place(row[self._waited], self._key_of(row))
