"""Which of the tasks in hand may start next: in the order in which they came, two of one key never at once. Pure."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Hashable, Iterator
from typing import Generic, Protocol, TypeVar


class Keyed(Protocol):
    """key: what orders the item among others; None where nothing does."""

    key: Hashable | None


ItemT = TypeVar("ItemT", bound=Keyed)


class Lineup(Generic[ItemT]):
    """Items go from *behind* another of their key to *ready*, are taken by `next`, and end; or they wait for a time.

    A key belongs to one item, from where that is ready until it ends: while it waits for a time, too.
    """

    def __init__(self) -> None:
        self._ready: deque[ItemT] = deque()
        self._behind: dict[Hashable, deque[ItemT]] = {}
        self._waiting: list[tuple[float, int, ItemT]] = []
        self._numbers = itertools.count()

    def __bool__(self) -> bool:
        return bool(self._ready or self._waiting or self._behind)

    @property
    def ready(self) -> int:
        """How many could start at once."""
        return len(self._ready)

    @property
    def next_at(self) -> float | None:
        """When the next item that waits has waited enough; None where none waits."""
        return self._waiting[0][0] if self._waiting else None

    def add(self, item: ItemT) -> None:
        """An item comes, behind all others of its key."""
        if item.key is None:
            self._ready.append(item)
        elif item.key in self._behind:
            self._behind[item.key].append(item)
        else:
            self._behind[item.key] = deque()
            self._ready.append(item)

    def next(self, now: float) -> ItemT | None:
        """The next item that may start; what has waited enough comes first. None where there is none."""
        if self._waiting and self._waiting[0][0] <= now:
            return heapq.heappop(self._waiting)[2]
        return self._ready.popleft() if self._ready else None

    def again(self, item: ItemT, at: float) -> None:
        """An item that was taken is to start once more, not before `at`. It keeps its key."""
        heapq.heappush(self._waiting, (at, next(self._numbers), item))

    def put_back(self, item: ItemT) -> None:
        """An item that was taken is not started: it is the next one again."""
        self._ready.appendleft(item)

    def end(self, item: ItemT) -> None:
        """An item that was taken has ended: the next of its key is ready."""
        if item.key is None:
            return
        behind = self._behind[item.key]
        if behind:
            self._ready.append(behind.popleft())
        else:
            del self._behind[item.key]

    def drop(self, is_dropped: Callable[[ItemT], bool]) -> list[ItemT]:
        """Take out, for good, those of these that are not taken; which they were. A key goes to its next item."""
        dropped = [item for item in self._all() if is_dropped(item)]
        gone = set(map(id, dropped))
        self._behind = {
            key: deque(item for item in items if id(item) not in gone) for key, items in self._behind.items()
        }
        owners = [item for item in (*self._ready, *(item for _, _, item in self._waiting)) if id(item) in gone]
        self._ready = deque(item for item in self._ready if id(item) not in gone)
        self._waiting = [entry for entry in self._waiting if id(entry[2]) not in gone]
        heapq.heapify(self._waiting)
        for item in owners:
            self.end(item)
        return dropped

    def _all(self) -> Iterator[ItemT]:
        yield from self._ready
        for _, _, item in self._waiting:
            yield item
        for items in self._behind.values():
            yield from items
