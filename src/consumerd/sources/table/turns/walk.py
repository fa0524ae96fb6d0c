"""Which lanes of a table have rows that are due. Runs in workers.

By the index on state, the columns of turns and due it steps from one value to the next greater one, whatever lies
between: a step costs the same for ten rows and for a million, due now or later. A look is made when no lane is known,
and besides as often as it costs a twentieth of the time. Where there are many lanes, it goes on where the last ended.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import pairwise

from sqlalchemy import Connection

from consumerd.database.claimed_table import in_turn
from consumerd.database.claims import Claims
from consumerd.database.sql import Statement
from consumerd.sources.identities import text_of
from consumerd.sources.table.options import TableOptions
from consumerd.sources.table.rounds import SHARE
from consumerd.sources.table.turns.lanes import MANY, Lanes, Values, rank_of

MOST_STEPS = 64
"""A look steps over so many lanes at most; each step is a statement."""

_NEXT = """
SELECT {column} FROM {{table}} {{turn_hint}} WHERE {{state}} = {{waiting}} AND {condition} ORDER BY {order} LIMIT 1"""
_PROBE = """
SELECT 1 FROM {{table}} {{turn_hint}} WHERE {{state}} = {{waiting}} AND {is_lane} AND {{condition}}
ORDER BY {order} LIMIT 1 OFFSET {passed}"""
_LEVELS = (0, 1, 4, MANY)
"""So exactly a look counts the rows of a lane."""


class Walk:
    """The looks of one worker, one after the other."""

    def __init__(self, options: TableOptions, dialect: str, claims: Claims, now: Callable[[], float]) -> None:
        self._options = options
        self._claims = claims
        self._now = now
        self._steps = _Steps(options, dialect, claims)
        self._has_begun = False
        self._priority: object = None
        self._seen: object = None
        self._next_at = 0.0

    def look(self, connection: Connection, lanes: Lanes, limit: int) -> None:
        """Look for lanes with rows that are due; no further than to the priority with which `limit` rows are known."""
        began_at = self._now()
        if not lanes.is_empty and began_at < self._next_at:
            return
        for _ in range(MOST_STEPS):
            if not self._has_begun:
                self._has_begun, self._priority = True, self._priority_after(connection, None)
            if self._has_passed_all(connection, lanes):
                if not self._has_priorities or self._priority is None or lanes.rows >= limit:
                    self._has_begun = False  # the next look begins with the first again
                    break
                self._priority = self._priority_after(connection, self._priority)
        self._next_at = self._now() + SHARE * (self._now() - began_at)

    @property
    def _has_priorities(self) -> bool:
        """Whether lanes are of a priority and a tenant."""
        return len(self._options.turn_columns) > 1

    def _priority_after(self, connection: Connection, last: object) -> object:
        """The priority after this one, or the first; None: that of the rows without one."""
        if not self._has_priorities:
            return None
        statement = self._steps.statement(last is not None, None)
        found = self._claims.run(connection, statement, seen=last).fetchone()
        return None if found is None else found[0]

    def _has_passed_all(self, connection: Connection, lanes: Lanes) -> bool:
        """Step to the next lane of this priority, and learn of the last one; whether that was the last of all."""
        firsts: Values = (self._priority,) if self._has_priorities else ()
        statement = self._steps.statement(self._seen is not None, tuple(value is None for value in firsts))
        given = {"turn_0": self._priority, "seen": self._seen}
        following, rows = self._claims.run(connection, statement, **given).fetchone()
        values = (*firsts, self._seen)
        lanes.learn(values, self._rank(values), self._weight(values), rows)
        self._seen = following
        return following is None

    def _rank(self, values: Values) -> Sequence[float]:
        if self._options.priority is None:
            return ()
        return rank_of(values[0], is_smallest_first=self._options.priority_first == "smallest")

    def _weight(self, values: Values) -> float:
        if self._options.fair_by is None or values[-1] is None:
            return 1.0
        return self._options.fair_weight.get(text_of(values[-1]), 1.0)


class _Steps:
    """The statements of steps, written when they are made first."""

    def __init__(self, options: TableOptions, dialect: str, claims: Claims) -> None:
        self._dialect = dialect
        self._claims = claims
        self._columns = [f"{{turn_{number}}}" for number in range(len(options.turn_columns))]
        self._is_downwards = [options.priority is not None and options.priority_first == "largest", False]
        self._written: dict[tuple[bool, tuple[bool, ...] | None], Statement] = {}

    def statement(self, has_seen: bool, nulls: tuple[bool, ...] | None) -> Statement:
        """The step from `:seen`, or to the first. nulls: which of the values that go before are NULL.

        It gives the next value, and how many rows of the one that was seen, or of NULL, are due at least. With None it
        steps from priority to priority, and gives no more.
        """
        found = self._written.get((has_seen, nulls))
        if found is None:
            text = self._next(0, has_seen, ()) if nulls is None else self._step(has_seen, nulls)
            found = self._written[has_seen, nulls] = self._claims.write(text)
        return found

    def _step(self, has_seen: bool, nulls: tuple[bool, ...]) -> str:
        values = [None if is_null else f":turn_{number}" for number, is_null in enumerate(nulls)]
        lane = in_turn(self._dialect, [*values, ":seen" if has_seen else None])
        probes = (
            f"WHEN ({_PROBE.format(is_lane=lane.condition, order=lane.order, passed=more - 1)}) IS NULL THEN {rows}"
            for rows, more in pairwise(_LEVELS)
        )
        return f"SELECT ({self._next(len(nulls), has_seen, values)}), CASE {' '.join(probes)} ELSE {MANY} END"

    def _next(self, place: int, has_seen: bool, values: Sequence[str | None]) -> str:
        """The next value of a column. The order names those that follow, too: only the index for turns has it.

        On PostgreSQL also those before it, where NULL counts as no constant; MariaDB would sort for these.
        """
        column = self._columns[place]
        ordered = self._columns if self._dialect == "postgresql" else self._columns[place:]
        direction, beyond = (" DESC", "<") if self._is_downwards[place] else ("", ">")
        before = (
            f"{name} IS NULL AND " if value is None else f"{name} = {value} AND "
            for name, value in zip(self._columns, values, strict=False)
        )
        return _NEXT.format(
            column=column,
            condition="".join(before) + (f"{column} {beyond} :seen" if has_seen else f"{column} IS NOT NULL"),
            order=", ".join(f"{each}{direction}" for each in [*ordered, "{due}"]),
        )
