"""How hosts share a limit, pure: what each may use of it, and how that moves to where tasks wait.

All of it is one value, the *shares* of a limit, in a row of the parking store. A host changes it under the row's lock,
and only for itself. It has an even part of each key of the limit, which costs nothing and is written nowhere. Of the
keys of which somebody wants more, each has a *part* that is written down: who wants less gives up, and who wants more
takes what was given up. So the sum of what all may use is never more than the limit, whoever is late or gone.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import NamedTuple

TURN_S = 5.0
"""So long a host has what cannot be divided evenly, one of three tasks for instance, then the next one."""

MOVES_ABOVE = 0.05
"""A part of a rate moves where it does so by more than this share of itself."""


class Amounts(NamedTuple):
    """Of tasks at once, whole, and of starts a second; inf: any number."""

    at_once: float
    per_second: float


NOTHING = Amounts(0, 0.0)


@dataclass(frozen=True, slots=True)
class Part:
    """most: what a host may use of a key; need: what it would use."""

    most: Amounts
    need: Amounts = NOTHING


@dataclass(frozen=True, slots=True)
class Share:
    """What one host has.

    token: the process that has it. until: when its lease ends, on the store's clock.
    even: of each key one part of so many, rounded down; 0: nothing.
    parts: what it has instead of some keys.
    """

    token: str
    until: float = 0.0
    even: int = 0
    parts: Mapping[str, Part] = field(default_factory=dict)

    def most(self, key: str, whole: Amounts) -> Amounts:
        """What it may use of a key."""
        return self.parts[key].most if key in self.parts else even_part(whole, self.even)


Shares = Mapping[str, Share]
"""By the host."""

Whole = Callable[[str], Amounts]
"""What all hosts together may use of a key."""


def even_part(whole: Amounts, of: int) -> Amounts:
    """What each of so many hosts has of a key of which nobody wants more."""
    if not of:
        return Amounts(*(amount if math.isinf(amount) else 0 for amount in whole))
    return Amounts(whole.at_once if math.isinf(whole.at_once) else whole.at_once // of, whole.per_second / of)


def joined(before: Shares, host: str, token: str, now: float) -> dict[str, Share]:
    """Without the hosts whose lease is over, and with this one; what an earlier process of it had, it has."""
    shares = {name: share for name, share in before.items() if name == host or share.until > now}
    mine = replace(shares.get(host, Share(token)), token=token)
    others = [1 / share.even for name, share in shares.items() if name != host and share.even]
    count = len(shares.keys() | {host})
    fits = sum(others) + 1 / count < 1.000001
    return {**shares, host: replace(mine, even=count if fits or 0 < mine.even < count else mine.even)}


@dataclass(frozen=True, slots=True)
class Look:
    """What one host sees.

    needs: of every key that it uses. now: the store's clock.
    """

    shares: Shares
    host: str
    needs: Mapping[str, Amounts]
    whole: Whole
    now: float

    def parts(self) -> dict[str, Amounts]:
        """What the host may use from now on of the keys of which it does not have its even part."""
        noted = {key for share in self.shares.values() for key in share.parts}
        short = {key for key, need in self.needs.items() if _exceeds(need, self._even(key))}
        found = {key: Amounts(self._part(key, 0), self._part(key, 1)) for key in sorted(noted | short)}
        return {key: part for key, part in found.items() if part != self._even(key) or self._is_wanted(key, short)}

    def _even(self, key: str) -> Amounts:
        return even_part(self.whole(key), self.shares[self.host].even)

    def _is_wanted(self, key: str, short: set[str]) -> bool:
        noted = (share.parts.get(key) for name, share in self.shares.items() if name != self.host)
        return key in short or any(part is not None and part.need != NOTHING for part in noted)

    def _part(self, key: str, at: int) -> float:
        """The amount at this index."""
        whole = self.whole(key)
        if math.isinf(whole[at]):
            return math.inf
        most = {name: share.most(key, whole)[at] for name, share in self.shares.items()}
        noted = {name: share.parts[key].need[at] for name, share in self.shares.items() if key in share.parts}
        needs = dict.fromkeys(most, 0.0) | noted | {self.host: self.needs.get(key, NOTHING)[at]}
        free, mine = max(0, whole[at] - sum(most.values()) + most[self.host]), most[self.host]
        if any(needs[name] > most[name] for name in most):
            fair = divided(whole[at], needs, int(self.now / TURN_S))[self.host]
            is_little = at == 1 and abs(fair - mine) < MOVES_ABOVE * fair
            return min(free, mine if is_little else fair)
        return min(free, mine if any(needs.values()) else self._even(key)[at])


def _exceeds(need: Amounts, most: Amounts) -> bool:
    return need.at_once > most.at_once or need.per_second > most.per_second


def divided(whole: float, needs: Mapping[str, float], turn: int) -> dict[str, float]:
    """What each should have: what it needs, but no more than an even part of what those leave that need less. What
    nobody needs is divided evenly. Whole numbers stay whole, and `turn` says who has one more.
    """
    names = sorted(needs)
    order = names[turn % len(names) :] + names[: turn % len(names)]
    left, found, wanting = whole, dict.fromkeys(order, 0.0), order
    while wanting and (modest := [name for name in wanting if needs[name] <= left / len(wanting)]):
        for name in modest:
            found[name] = needs[name]
        left, wanting = left - sum(found[name] for name in modest), [name for name in wanting if name not in modest]
    for name, more in zip(wanting or order, _evenly(left, len(wanting or order)), strict=True):
        found[name] += more
    return found


def _evenly(whole: float, count: int) -> Sequence[float]:
    if isinstance(whole, int):
        least, more = divmod(whole, count)
        return [least + (number < more) for number in range(count)]
    return [whole / count] * count


def rounded(need: Amounts) -> Amounts:
    """A little more, such that it does not change with each look."""
    whole = need.at_once if need.at_once <= 20 else float(f"{need.at_once * 1.02:.1e}")
    return Amounts(math.ceil(whole), float(f"{need.per_second * 1.02:.1e}"))


def is_moving(shares: Shares, whole: Whole) -> bool:
    """Whether somebody has to look again soon: a host has less than it needs, or has not its even part of all."""
    wants = (_exceeds(part.need, part.most) for share in shares.values() for part in share.parts.values())
    return any(wants) or any(share.even != len(shares) for share in shares.values())


def as_text(shares: Shares) -> str:
    """For the store."""
    plain = {
        name: [share.token, share.until, share.even, {key: _plain(part) for key, part in share.parts.items()}]
        for name, share in shares.items()
    }
    return json.dumps(plain, separators=(",", ":"))


def _plain(part: Part) -> Iterable[float | None]:
    return [None if math.isinf(amount) else amount for amount in (*part.most, *part.need)]


def from_text(text: str) -> dict[str, Share]:
    """What `as_text` made a text of."""
    return {
        name: Share(token, until, even, {key: _part_of(*plain) for key, plain in parts.items()})
        for name, (token, until, even, parts) in json.loads(text).items()
    }


def _part_of(at_once: int | None, per_second: float | None, *need: float) -> Part:
    most = (math.inf if amount is None else amount for amount in (at_once, per_second))
    return Part(Amounts(*most), Amounts(*need))
