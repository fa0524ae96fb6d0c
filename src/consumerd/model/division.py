"""How the workers of one consumer, on all hosts, divide its buckets, pure: what each gives up, and what it may take.

All of it is one value, the *division*: the share of each member. Each member changes it by itself, one after the other,
and only for itself: it takes what nobody has, gives up what it has above its fair part, and leaves all else as it is.
So a range is never two members', and those who keep theirs notice nothing.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from itertools import chain

from consumerd.model.shards import BUCKET_COUNT

Ranges = tuple[range, ...]


@dataclass(frozen=True, slots=True)
class Share:
    """What one member has.

    token: the process that has it. until: when its lease ends, on the store's clock.
    count: how many workers divide the keys by their number, where they do so; 0 where ranges move.
    """

    token: str
    ranges: Ranges = ()
    until: float = 0.0
    count: int = 0


Division = Mapping[str, Share]
"""By the member: a slot among all hosts."""


@dataclass(frozen=True, slots=True)
class Member:
    """Who takes part.

    name: the slot. fixed: the one range that it can take, of `count` such; empty where ranges move.
    """

    name: str
    token: str
    fixed: Ranges = ()
    count: int = 0


def divided(before: Division, member: Member, until: float, gone: Iterable[str]) -> Division:
    """After a member has taken what it may have.

    gone: members whose lease is over, or whose process has ended. A member has what an earlier process of its slot had.
    Those that divide the keys otherwise, by another number, take nothing while one of the others has something.
    """
    without = {member.name, *gone}
    others = {name: share for name, share in before.items() if name not in without}
    mine = before.get(member.name, Share(member.token))
    ranges = mine.ranges if mine.count == member.count else ()
    taken = chain.from_iterable(share.ranges for share in (*others.values(), Share("", ranges)))
    free = _without((range(BUCKET_COUNT),), taken)
    if all(share.count == member.count or not share.ranges for share in others.values()):
        if member.fixed:
            ranges = member.fixed if not _without(member.fixed, (*free, *ranges)) else ()
        else:
            lack = _fair_size(others, member, _size(ranges)) - _size(ranges)
            ranges = _merged((*ranges, *_first(_nearest(free, ranges), lack)))
    return {**others, member.name: Share(member.token, ranges, until, member.count)}


def fair_part(division: Division, member: Member) -> Ranges:
    """What a member has, without what is above its fair part."""
    ranges = division[member.name].ranges
    others = {name: share for name, share in division.items() if name != member.name}
    surplus = 0 if member.fixed else _size(ranges) - _fair_size(others, member, _size(ranges))
    return _without(ranges, _first(sorted(ranges, key=len), surplus))


def reduced(before: Division, member: Member, kept: Ranges) -> Division:
    """After a member has given up all but `kept`."""
    mine = before.get(member.name)
    if mine is None or mine.token != member.token:
        return before
    given = _without(mine.ranges, kept)
    return {**before, member.name: replace(mine, ranges=_without(mine.ranges, given))}


def lacks(division: Division, member: Member) -> bool:
    """Whether a member has less than it should have."""
    mine = division[member.name]
    if member.fixed:
        return mine.ranges != member.fixed
    alike = sum(share.count == member.count for share in division.values())
    return _size(mine.ranges) < BUCKET_COUNT // alike


def renewed(before: Division, member: Member, until: float) -> Division:
    """With a longer lease, where the member's process still has its share."""
    mine = before.get(member.name)
    if mine is None or mine.token != member.token:
        return before
    return {**before, member.name: replace(mine, until=until)}


def left(before: Division, member: Member) -> Division:
    """Without what this process had."""
    mine = before.get(member.name)
    is_there = mine is not None and mine.token == member.token
    return {name: share for name, share in before.items() if name != member.name} if is_there else before


def as_text(division: Division) -> str:
    """For the store."""
    return json.dumps(
        {
            name: [share.token, [[owned.start, owned.stop] for owned in share.ranges], share.until, share.count]
            for name, share in division.items()
        },
        separators=(",", ":"),
    )


def from_text(text: str) -> Division:
    """What `as_text` made a text of."""
    return {
        name: Share(token, tuple(range(start, stop) for start, stop in ranges), until, count)
        for name, (token, ranges, until, count) in json.loads(text).items()
    }


def _fair_size(others: Division, member: Member, size: int) -> int:
    """An equal part; where it does not come out even, those that have most have one more."""
    alike = {name: _size(share.ranges) for name, share in others.items() if share.count == member.count}
    least, more = divmod(BUCKET_COUNT, 1 + len(alike))
    rank = sum((other_size, other) > (size, member.name) for other, other_size in alike.items())
    return least + (rank < more)


def _nearest(free: Ranges, ranges: Ranges) -> list[range]:
    """Those first that adjoin, then the longest."""
    ends = {owned.start for owned in ranges} | {owned.stop for owned in ranges}
    return sorted(free, key=lambda each: (each.start not in ends and each.stop not in ends, -len(each)))


def _first(ranges: Iterable[range], size: int) -> Iterator[range]:
    """The first so many buckets of these ranges; of the last one its end."""
    for each in ranges:
        if size > 0:
            yield each[max(0, len(each) - size) :]
        size -= len(each)


def _without(ranges: Ranges, taken: Iterable[range]) -> Ranges:
    """What is left of ranges."""
    for gone in taken:
        pairs = ((_before(each, gone.start), _behind(each, gone.stop)) for each in ranges)
        ranges = tuple(part for part in chain.from_iterable(pairs) if part)
    return ranges


def _before(each: range, bucket: int) -> range:
    return range(each.start, min(each.stop, bucket))


def _behind(each: range, bucket: int) -> range:
    return range(max(each.start, bucket), each.stop)


def _merged(ranges: Iterable[range]) -> Ranges:
    """In order, adjoining ones as one."""
    merged: list[range] = []
    for each in sorted(ranges, key=lambda one: one.start):
        if merged and merged[-1].stop == each.start:
            merged[-1] = range(merged[-1].start, each.stop)
        else:
            merged.append(each)
    return tuple(merged)


def _size(ranges: Ranges) -> int:
    return sum(map(len, ranges))
