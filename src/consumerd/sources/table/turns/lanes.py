"""Whose rows a claim takes, where rows take turns: those of a higher priority first, and of one priority in turn.

Pure: what waits is told, and what is to be claimed is answered. A *lane* is the rows of one priority and one tenant.
Of one priority they stand in a ring. The lane in front may have so many rows, by its weight, then the next one (deficit
round robin). A lane that is new stands behind all others: its turn comes when each of these had one.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from numbers import Real

from consumerd.sources.table.turns.front import Front

MANY = 32
"""Of a lane that has so many rows or more, nobody counts them."""
MOST_IN_A_CLAIM = 16
"""Each lane costs a claim a statement of its own."""
MOST_KNOWN = 2_000
"""Of more lanes, the last in the ring are forgotten until they are found again."""

Values = tuple[object, ...]
"""The values of a lane's columns, as a driver gave them."""


class Lane:
    """The rows of one priority and one tenant.

    rank: what has a smaller one comes first.
    weight: how many rows it may have where another has one.
    rows: how many are due at least; MANY or more: nobody knows.
    credit: how many rows it may have before the next lane has its turn.
    """

    __slots__ = ("credit", "front", "rank", "rows", "values", "weight")

    def __init__(self, values: Values, rank: Sequence[float], weight: float, front: Front) -> None:
        self.values = values
        self.rank = tuple(rank)
        self.weight = weight
        self.front = front
        self.rows = 0
        self.credit = 0.0


class Lanes:
    """The lanes of which rows are known to be due."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._known: dict[Values, Lane] = {}
        self._rings: dict[tuple[float, ...], deque[Lane]] = {}

    @property
    def rows(self) -> int:
        """How many rows are known to be due."""
        return sum(lane.rows for lane in self._known.values())

    @property
    def is_empty(self) -> bool:
        """Whether no lane is known."""
        return not self._known

    def in_order(self) -> list[list[Lane]]:
        """The lanes that are known, those of one priority together, the first of which come first."""
        return [list(self._rings[rank]) for rank in sorted(self._rings)]

    def begin_anew(self) -> None:
        """Rows were given back: each lane is looked at as a whole."""
        for lane in self._known.values():
            lane.front.reset()

    def turn_by(self, part: float) -> None:
        """Begin at another place of each ring: workers that start together do not begin with the same lane."""
        for ring in self._rings.values():
            ring.rotate(int(part * len(ring)))

    def learn(self, values: Values, rank: Sequence[float], weight: float, rows: int) -> None:
        """So many rows of a lane are due at least, or none."""
        lane = self._known.get(values)
        if rows == 0:
            if lane is not None:
                self._forget(lane)
            return
        if lane is None:
            lane = self._known[values] = Lane(values, rank, weight, Front(self._now))
            self._rings.setdefault(lane.rank, deque()).append(lane)
            if len(self._known) > MOST_KNOWN:
                self._forget(self._rings[max(self._rings)][-1])
        lane.rows = rows

    def note(self, lane: Lane, rows: int, *, is_over: bool) -> None:
        """So many rows of a lane were claimed. is_over: there were no more."""
        if lane.rows < MANY:
            lane.rows -= rows
        if is_over or lane.rows <= 0:
            self._forget(lane)

    def choose(self, limit: int) -> list[tuple[Lane, int]]:
        """How many rows of which lanes to claim, and in which order; `limit` together, or as many as are known.

        Those of one priority of which there are fewest come first: what they do not have, others may.
        """
        chosen: list[tuple[Lane, int]] = []
        for rank in sorted(self._rings):
            if limit <= 0 or len(chosen) >= MOST_IN_A_CLAIM:
                break
            shares = _shares(self._rings[rank], limit, MOST_IN_A_CLAIM - len(chosen))
            limit -= sum(shares.values())
            chosen += sorted(shares.items(), key=lambda share: share[0].rows)
        return chosen

    def _forget(self, lane: Lane) -> None:
        if self._known.get(lane.values) is not lane:
            return
        del self._known[lane.values]
        ring = self._rings[lane.rank]
        ring.remove(lane)
        if not ring:
            del self._rings[lane.rank]


def rank_of(priority: object, *, is_smallest_first: bool) -> tuple[float, ...]:
    """Where a priority stands: numbers in their order, then what is none, then NULL."""
    if priority is None:
        return (2.0,)
    if not isinstance(priority, Real) and not hasattr(priority, "__float__"):
        return (1.0,)
    number = float(priority)  # a Decimal, too
    return (0.0, number if is_smallest_first else -number) if number == number else (1.0,)


def _shares(ring: deque[Lane], limit: int, most: int) -> dict[Lane, int]:
    """Share out `limit` rows among the lanes of a ring, and let it stand where the next claim is to begin."""
    if len(ring) == 1:
        lane = ring[0]
        return {lane: limit if lane.rows >= MANY else min(lane.rows, limit)}
    a_turn = max(1, limit // MOST_IN_A_CLAIM)
    shares: dict[Lane, int] = {}
    used_up = 0
    while limit > 0 and used_up < len(ring):
        lane = ring[0]
        is_counted = lane.rows < MANY
        left = lane.rows - shares.get(lane, 0) if is_counted else limit
        if left <= 0:
            used_up += 1
            ring.rotate(-1)
            continue
        if lane not in shares and len(shares) >= most:
            break
        used_up = 0
        if lane.credit < 1:
            lane.credit += a_turn * lane.weight
        if rows := min(int(lane.credit), left, limit):
            shares[lane] = shares.get(lane, 0) + rows
            limit -= rows
        lane.credit = 0.0 if is_counted and rows == left else lane.credit - rows
        if lane.credit < 1:
            ring.rotate(-1)
    return shares
