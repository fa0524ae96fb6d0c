"""Which tasks go together in one batch, when, and which of them stand for others. Pure: the time is given.

Items of one *group* go together: those of a shard, perhaps. Items of one *key* are folded where they meet. What is
folded is *ready* at once; or, for write-behind, when nothing has been added to it for `quiet_s` seconds, and at the
latest `max_wait_s` after the first. A batch is due when it is full, or `linger_s` after the first of it was ready.
"""

from __future__ import annotations

import heapq
import itertools
import math
from bisect import insort
from collections import deque
from collections.abc import Callable, Hashable
from dataclasses import dataclass, field
from typing import Any, Generic, Literal, NamedTuple, TypeVar

ItemT = TypeVar("ItemT")

Keep = Literal["newest", "oldest", "all"]


@dataclass(frozen=True, slots=True)
class Batching:
    """size: how many items of a batch are handed out, at most.

    keep: which items of a key are handed out; the others are finished with it.
    order_of: by which the newest and the oldest are known; None: by when they came.
    quiet_s: None: it does not matter whether a key goes on changing. max_wait_s: with the linger; None: all is ready.
    """

    size: int
    linger_s: float = 0.0
    keep: Keep = "newest"
    quiet_s: float | None = None
    max_wait_s: float | None = None
    order_of: Callable[[Any], Any] | None = None  # of any item, what can be compared

    def ready_at(self, first_at: float, last_at: float) -> float:
        """When items of a key are ready of which the first and the last came then."""
        if self.max_wait_s is None:
            return last_at
        latest = first_at + max(0.0, self.max_wait_s - self.linger_s)
        return latest if self.quiet_s is None else min(latest, last_at + self.quiet_s)


class Fold(NamedTuple, Generic[ItemT]):
    """An item that is handed out, and those for which it stands."""

    item: ItemT
    others: tuple[ItemT, ...] = ()


class Gathering(Generic[ItemT]):
    """Items from when they come until they go with a batch."""

    def __init__(self, batching: Batching) -> None:
        self._batching = batching
        self._groups: dict[Hashable, _Group[ItemT]] = {}

    def __bool__(self) -> bool:
        return bool(self._groups)

    def add(
        self,
        item: ItemT,
        *,
        group: Hashable,
        key: Hashable | None,
        now: float,
        first_at: float | None = None,
        is_ready: bool = False,
    ) -> None:
        """An item comes, the newest of its group.

        key: None: it stands for itself alone. is_ready: it is not waited for. first_at: when the first of its key came,
        where it was here before.
        """
        if group not in self._groups:
            self._groups[group] = _Group(self._batching)
        first_at = now if first_at is None else first_at
        ready_at = now if is_ready else self._batching.ready_at(first_at, now)
        self._groups[group].add(item, key, now, first_at, ready_at)

    def due_at(self, now: float) -> float:
        """When the next batch is to go if nothing is added until then; now or earlier: at once. inf where all is empty.

        It may be too early by what has been added since: then the answer is another one.
        """
        for group in self._groups.values():
            group.advance(now)
        return min((group.due_at for group in self._groups.values()), default=math.inf)

    def take(self, now: float, *, is_hurried: bool = False) -> list[Fold[ItemT]]:
        """The batch that has been due longest; nothing where none is. is_hurried: nothing is waited for."""
        due_at = self.due_at(math.inf if is_hurried else now)
        if due_at > now and not (is_hurried and self._groups):
            return []
        name, group = min(self._groups.items(), key=lambda each: each[1].due_at)
        return self._without_empty(name, group.take())

    def take_group(self, name: Hashable) -> list[Fold[ItemT]]:
        """The next batch of this group, whatever it waits for; nothing where that is empty."""
        if name not in self._groups:
            return []
        self._groups[name].advance(math.inf)
        return self._without_empty(name, self._groups[name].take())

    def take_back(self) -> list[tuple[ItemT, float]]:
        """All items, in the order of their groups and keys, with when the first of their key came; none is left."""
        items = [item for group in self._groups.values() for item in group.items()]
        self._groups = {}
        return items

    def _without_empty(self, name: Hashable, taken: list[Fold[ItemT]]) -> list[Fold[ItemT]]:
        if self._groups[name].is_empty:
            del self._groups[name]
        return taken


@dataclass(slots=True, eq=False)
class _Folded(Generic[ItemT]):
    """Items of one key, the newest last."""

    items: list[ItemT]
    key: Hashable | None
    first_at: float
    ready_at: float
    is_ready: bool = False


@dataclass(slots=True, eq=False)
class _Group(Generic[ItemT]):
    """waiting: what is not ready, by when it was to be. ready: in order; so many items of it would be handed out."""

    batching: Batching
    by_key: dict[Hashable, _Folded[ItemT]] = field(default_factory=dict)
    waiting: list[tuple[float, int, _Folded[ItemT]]] = field(default_factory=list)
    ready: deque[_Folded[ItemT]] = field(default_factory=deque)
    ready_items: int = 0
    numbers: itertools.count[int] = field(default_factory=itertools.count)

    @property
    def is_empty(self) -> bool:
        return not (self.waiting or self.ready)

    @property
    def due_at(self) -> float:
        if self.ready_items >= self.batching.size:
            return -math.inf
        since = [self.ready[0].ready_at] if self.ready else [at for at, _, _ in self.waiting[:1]]
        return min(since, default=math.inf) + self.batching.linger_s

    def add(self, item: ItemT, key: Hashable | None, now: float, first_at: float, ready_at: float) -> None:
        folded = None if key is None else self.by_key.get(key)
        if folded is None:
            folded = _Folded([item], key, first_at, ready_at)
            if key is not None:
                self.by_key[key] = folded
            self._sort(folded, now)
        else:
            if self.batching.order_of is None:
                folded.items.append(item)
            else:
                _sort_in(folded.items, item, self.batching.order_of)
            folded.first_at = min(folded.first_at, first_at)
            if not folded.is_ready:
                folded.ready_at = self.batching.ready_at(folded.first_at, now)
            elif self.batching.keep == "all":
                self.ready_items += 1

    def advance(self, now: float) -> None:
        """What is ready by now is known to be."""
        while self.waiting and self.waiting[0][0] <= now:
            self._sort(heapq.heappop(self.waiting)[2], now)

    def take(self) -> list[Fold[ItemT]]:
        """A batch of what is ready."""
        taken: list[Fold[ItemT]] = []
        while self.ready and len(taken) < self.batching.size:
            folded = self.ready[0]
            if self.batching.keep == "all":
                room = self.batching.size - len(taken)
                taken += map(Fold, folded.items[:room])
                del folded.items[:room]
            else:
                at = -1 if self.batching.keep == "newest" else 0
                item = folded.items.pop(at)
                taken.append(Fold(item, tuple(folded.items)))
                folded.items.clear()
            if not folded.items:
                self.ready.popleft()
                self.by_key.pop(folded.key, None)
        self.ready_items -= len(taken)
        return taken

    def items(self) -> list[tuple[ItemT, float]]:
        """All of them, with when the first of their key came."""
        every = (*self.ready, *(each for _, _, each in self.waiting))
        return [(item, folded.first_at) for folded in every for item in folded.items]

    def _sort(self, folded: _Folded[ItemT], now: float) -> None:
        """To those that are ready, or to those that are to be at their time."""
        folded.is_ready = folded.ready_at <= now
        if folded.is_ready:
            self.ready.append(folded)
            self.ready_items += len(folded.items) if self.batching.keep == "all" else 1
        else:
            heapq.heappush(self.waiting, (folded.ready_at, next(self.numbers), folded))


def _sort_in(items: list[ItemT], item: ItemT, order_of: Callable[[Any], Any]) -> None:
    """Behind those that are no newer; as the newest, where it cannot be compared with them."""
    try:
        insort(items, item, key=order_of)
    except TypeError:
        items.append(item)
