"""The broadcast: facts and stderr lines, as they come, to whoever follows them. Runs in the master.

The last `KEPT` are kept for those who come later, and apart from them as many of those that are rare: what is told of
single tasks, and lines of stderr, must not push out how workers ended. A follower who reads too slowly is cut off, and
told how much it missed: nobody who follows can make the master wait, or grow.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import json
from collections import deque
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import dataclass
from operator import attrgetter

from consumerd import clock, events
from consumerd.errors import ConsumerdError
from consumerd.events.facts import Fact, Level, plain
from consumerd.model.identity import ConsumerName

FREQUENT = frozenset(event.name for event in events.DECLARED if event.is_folded)
"""Events of single tasks."""

KEPT = 1000
MOST_WAITING = 1000
"""How many items may wait for one follower."""

MOST_FOLLOWERS = 16
LONGEST_VALUE = 2_000
LONGEST_LINE_BYTES = LONGEST_VALUE
STDERR = "stderr"


@dataclass(frozen=True, slots=True)
class Item:
    """One thing to follow. name: of a fact, or `STDERR`; consumer: whose it is, as `group/name`, or empty.

    number: of those that came, all together.
    """

    number: int
    at: float
    name: str
    level: Level
    consumer: str
    fields: dict[str, object]

    def as_json(self) -> str:
        """One object; long texts shortened."""
        told = plain(self.name, self.level, at=self.at, fields=self.fields, longest=LONGEST_VALUE)
        return json.dumps(told, default=repr)


class Broadcast:
    """A listener of facts, and of what is written to stderr. All in the loop's thread.

    emit: takes the broadcast's own facts, and tells the broadcast of them as of any other.
    """

    def __init__(self, emit: Callable[[Fact], None]) -> None:
        self._emit = emit
        self._numbers = itertools.count()
        self._rare: deque[Item] = deque(maxlen=KEPT)
        self._frequent: deque[Item] = deque(maxlen=KEPT)
        self._followers: set[_Follower] = set()
        self._unfinished: dict[int, bytes] = {}
        self._is_closed = False

    def __call__(self, fact: Fact) -> None:
        consumer = fact.fields.get("consumer", "")
        self._pass_on(Item(next(self._numbers), clock.wall(), fact.name, fact.level, str(consumer), fact.fields))

    def hear_stderr(self, fd: int, whose: str, data: bytes) -> None:
        """What came from the pipe `fd`, of a process of the consumer `whose`; nothing, at its end."""
        *lines, rest = (self._unfinished.pop(fd, b"") + data).split(b"\n")
        if rest and (not data or len(rest) > LONGEST_LINE_BYTES):
            lines.append(rest)
        elif rest:
            self._unfinished[fd] = rest
        for line in lines:
            text = line[:LONGEST_LINE_BYTES].decode("utf-8", "replace")
            self._pass_on(
                Item(next(self._numbers), clock.wall(), STDERR, Level.INFO, whose, {"consumer": whose, "line": text})
            )

    async def follow(
        self, target: str | None = None, recent: int = 0, *, with_stderr: bool = False, is_following: bool = True
    ) -> AsyncGenerator[str]:
        """Items as JSON: so many of those that are kept, then, where that is wanted, what comes until `close`.

        target: a group, or `group/name`, whose items alone are wanted. ConsumerdError.
        """
        if is_following and len(self._followers) >= MOST_FOLLOWERS:
            raise ConsumerdError(f"{MOST_FOLLOWERS} follow already, and no more may: end one of them")
        follower = _Follower(target, with_stderr=with_stderr)
        kept = heapq.merge(self._rare, self._frequent, key=attrgetter("number"))
        wanted = [item for item in kept if follower.wants(item)]
        for item in wanted[len(wanted) - max(0, min(recent, len(wanted))) :]:
            follower.waiting.put_nowait(item)
        if is_following and not self._is_closed:
            self._followers.add(follower)
        else:
            follower.waiting.put_nowait(None)
        try:
            while (item_or_end := await follower.waiting.get()) is not None:
                yield item_or_end.as_json()
            if follower.missed:
                raise ConsumerdError(f"{follower.missed} and more were missed: they were not read as fast as they came")
        finally:
            self._leave(follower)

    async def close(self, within_s: float) -> None:
        """End every following, once what waits is read, or after a while."""
        self._is_closed = True
        for follower in self._followers:
            follower.waiting.put_nowait(None)
        with suppress(TimeoutError):
            async with asyncio.timeout(within_s):
                for follower in tuple(self._followers):
                    await follower.has_left.wait()

    def _pass_on(self, item: Item) -> None:
        is_frequent = item.name == STDERR or item.level is Level.DEBUG or item.name in FREQUENT
        (self._frequent if is_frequent else self._rare).append(item)
        for follower in self._followers:
            follower.offer(item)

    def _leave(self, follower: _Follower) -> None:
        self._followers.discard(follower)
        follower.has_left.set()
        if follower.missed:
            self._emit(events.follower_cut_off(missed=follower.missed))


class _Follower:
    """One who follows the items of `target`, a group or `group/name`; None: all, the master's own too.

    waiting: what it has not read yet; None ends it. missed: how many items found no room; it is cut off then.
    has_left: set once it reads no more.
    """

    def __init__(self, target: str | None, *, with_stderr: bool) -> None:
        self.waiting: asyncio.Queue[Item | None] = asyncio.Queue()
        self.missed = 0
        self.has_left = asyncio.Event()
        self._target = target
        self._with_stderr = with_stderr

    def wants(self, item: Item) -> bool:
        if item.name == STDERR and not self._with_stderr:
            return False
        if self._target is None:
            return True
        return bool(item.consumer) and ConsumerName.parse(item.consumer).matches(self._target)

    def offer(self, item: Item) -> None:
        if not self.wants(item):
            return
        is_cut_off = self.missed > 0
        self.missed += is_cut_off or self.waiting.qsize() >= MOST_WAITING
        if not is_cut_off:
            self.waiting.put_nowait(None if self.missed else item)
