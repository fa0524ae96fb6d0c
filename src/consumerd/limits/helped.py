"""A limit whose numbers come from a database, or of which this host has a part: its rows in the shared table.

Runs in the helper of limits.
"""

from __future__ import annotations

import math
import threading
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace

from consumerd.clock import monotonic
from consumerd.limits.numbers import NumbersOfKeys
from consumerd.limits.parts import (
    NOTHING,
    Amounts,
    Look,
    Part,
    Share,
    as_text,
    even_part,
    from_text,
    is_moving,
    joined,
    rounded,
)
from consumerd.model.limits import ANY, SECOND_NS, Numbers
from consumerd.wire import limits
from consumerd.wire.shared_table import Row, SharedTable

LEASE_S = 30.0
USED_S = 0.8 * LEASE_S
"""So long after a look that went well this host starts tasks, at most."""

RENEWED_S = LEASE_S / 3
CALM_S, MOVING_S = 1.0, 0.25
"""A host looks at the row so often, and while somebody wants more or a host has come or gone."""

PEAK_S = 3.0
"""What a host needs is the most that it has needed of late."""

SOON_S = 0.1
ASKED_NS = SECOND_NS // 10
"""Who was refused so long ago waits."""

Change = Callable[[str, Callable[[str, float], str]], str]
"""`ParkingStore.change_shares`."""


class TakenOverError(Exception):
    """Another helper of this host has its share now."""


@dataclass(frozen=True, slots=True)
class _Seen:
    at: float
    need: int
    waiting: int
    started: int


class HelpedLimit:
    """Of one thread."""

    def __init__(
        self, name: str, fixed: Numbers, numbers: NumbersOfKeys | None, table: SharedTable, turn: threading.Lock
    ) -> None:
        """fixed: what holds where `numbers` say nothing. turn: the table keeps processes apart, and no threads."""
        self.name = name
        self.hosts = 0
        self._numbers = numbers
        self._fixed = fixed
        self._table = table
        self._turn = turn
        self._even = 1
        self._given: Mapping[str, Amounts] = {}
        self._is_known = True  # whether the row says what we have
        self._seen: dict[str, deque[_Seen]] = {}
        self._looked_at = self._next_look = -math.inf

    def rows(self) -> Mapping[str, Row]:
        return limits.rows_of(self._table).get(self.name, {})

    def tell(self, rows: Mapping[str, Row]) -> None:
        """Give each row what it should have, as far as that is known."""
        if not self._is_known or not self._are_numbers_asked:
            return
        for suffix, row in rows.items():
            numbers, how = self._wanted(suffix)
            if row.words[limits.GIVEN] != how or (how and limits.numbers_of(row) != numbers):
                self._give(suffix, numbers, how)

    @property
    def _are_numbers_asked(self) -> bool:
        return self._numbers is None or self._numbers.is_asked

    def _wanted(self, suffix: str) -> tuple[Numbers, int]:
        if suffix in self._given:
            return _as_numbers(self._given[suffix]), limits.KEPT
        how = 0 if self._numbers is None else limits.FORGOTTEN
        return _as_numbers(even_part(self._whole(suffix), self._even)), how

    def _whole(self, suffix: str) -> Amounts:
        """What all hosts together may use of a key."""
        found = self._fixed if self._numbers is None else self._numbers.of(suffix[1:] if suffix else None)
        return _as_amounts(found)

    # Shared with other hosts

    def is_due(self, rows: Mapping[str, Row]) -> bool:
        """Whether it is time to look at the row; soon where a task waits that another host could leave room for."""
        now = monotonic()
        if now >= self._next_look or self.hosts < 2 or now < self._looked_at + SOON_S:
            return now >= self._next_look
        since_ns = int(now * SECOND_NS) - ASKED_NS
        return any(suffix not in self._given and limits.is_asked(row, since_ns) for suffix, row in rows.items())

    def look(self, change: Change, host: str, token: str) -> None:
        """Change the row, and have what comes of it. StoreAwayError, TakenOverError.

        What becomes less is less before it is written, and what becomes more is so afterwards.
        """
        if not self._are_numbers_asked:
            return
        began, given, self._is_known = monotonic(), dict[str, Amounts](), False
        self._looked_at, self._next_look = began, began + CALM_S

        def step(text: str, now: float) -> str:
            before = from_text(text)
            if self.hosts and host in before and before[host].token != token:
                raise TakenOverError
            shares = joined(before, host, token, now)
            mine = shares[host]
            self._reduce_even(mine.even)
            needs = self._needs(self.rows())
            given.clear()
            given.update(Look(shares, host, needs, self._whole, now).parts())
            parts = {suffix: Part(self._reduce(suffix, given), needs.get(suffix, NOTHING)) for suffix in tuple(given)}
            mine = replace(mine, parts=parts)
            is_renewed = mine != before.get(host) or mine.until - now < LEASE_S - RENEWED_S
            return as_text({**shares, host: replace(mine, until=now + LEASE_S) if is_renewed else mine})

        after = from_text(change(limits.row_name(self.name), step))
        self._have(after, after[host], given, began)

    def leave(self, change: Change, host: str, token: str) -> None:
        """Other hosts may have what this one had."""

        def step(text: str, now: float) -> str:
            shares = from_text(text)
            is_ours = host in shares and shares[host].token == token
            return as_text({name: share for name, share in shares.items() if name != host}) if is_ours else text

        change(limits.row_name(self.name), step)

    def unshare(self) -> None:
        """This host has all of it, for ever."""
        row = self._own_row()
        limits.set_for_all(row, self._fixed)
        row.words[limits.UNTIL_NS] = 0

    def _give(self, suffix: str, numbers: Numbers, how: int) -> Row | None:
        with self._turn:
            return limits.give(self._table, self.name, suffix, numbers, how)

    def _own_row(self) -> Row:
        row = self._table.find(limits.row_name(self.name))
        assert row is not None, "the master has defined it"
        return row

    def _have(self, shares: Mapping[str, Share], mine: Share, given: Mapping[str, Amounts], began: float) -> None:
        self._even, self._given, self._is_known, self.hosts = mine.even, dict(given), True, len(shares)
        row = self._own_row()
        limits.set_for_all(row, _as_numbers(even_part(self._whole(""), self._even)))
        row.words[limits.HOSTS] = self.hosts
        self.tell(self.rows())
        row.words[limits.UNTIL_NS] = int((began + USED_S) * SECOND_NS)
        if is_moving(shares, self._whole):
            self._next_look = began + MOVING_S

    def _reduce_even(self, even: int) -> None:
        """Have no more of any key than an even part of so many."""
        row = self._own_row()
        limits.set_for_all(row, _least(limits.for_all(row), _as_numbers(even_part(self._whole(""), even))))
        for suffix, own in self.rows().items():
            if own.words[limits.GIVEN] == limits.FORGOTTEN:
                numbers = _least(limits.numbers_of(own), _as_numbers(even_part(self._whole(suffix), even)))
                self._give(suffix, numbers, limits.FORGOTTEN)

    def _reduce(self, suffix: str, given: dict[str, Amounts]) -> Amounts:
        """Have no more of a key than is given; what it uses meanwhile. Where its row cannot be had, all stays."""
        now = limits.given_now(self._own_row(), self.rows().get(suffix))
        less = _least(now, _as_numbers(given[suffix]))
        row = self._give(suffix, less, limits.KEPT)
        if row is None:
            given[suffix] = _as_amounts(now)
            return given[suffix]
        return Amounts(max(given[suffix].at_once, limits.held_of(row)[0]), given[suffix].per_second)

    def _needs(self, rows: Mapping[str, Row]) -> dict[str, Amounts]:
        """What this host would use of each key that it uses."""
        now = monotonic()
        since_ns = int(now * SECOND_NS) - ASKED_NS
        for suffix, row in rows.items():
            held, waiting = limits.held_of(row)
            waiting = waiting or limits.is_asked(row, since_ns)
            seen = self._seen.setdefault(suffix, deque())
            seen.append(_Seen(now, held + waiting, waiting, row.words[limits.STARTED]))
        for suffix, seen in tuple(self._seen.items()):
            while seen and seen[0].at < now - PEAK_S:
                seen.popleft()
            if not any(each.need for each in seen) and (not seen or seen[0].started == seen[-1].started):
                del self._seen[suffix]
        return {suffix: _need(seen, self._whole(suffix)) for suffix, seen in self._seen.items()}


def _need(seen: deque[_Seen], whole: Amounts) -> Amounts:
    """Nothing of what is not limited."""
    first, last = seen[0], seen[-1]
    rate = max(0, last.started - first.started) / max(last.at - first.at, MOVING_S) + last.waiting
    found = rounded(Amounts(max(each.need for each in seen), rate))
    return Amounts(*(0 if math.isinf(limit) else need for need, limit in zip(found, whole, strict=True)))


def _as_amounts(numbers: Numbers) -> Amounts:
    return Amounts(math.inf if numbers.at_once == ANY else numbers.at_once, numbers.rate)


def _as_numbers(amounts: Amounts) -> Numbers:
    at_once, per_second = amounts
    return Numbers.of(None if math.isinf(at_once) else int(at_once), None if math.isinf(per_second) else per_second)


def _least(one: Numbers, other: Numbers) -> Numbers:
    return Numbers(min(one.at_once, other.at_once), max(one.interval_ns, other.interval_ns))
