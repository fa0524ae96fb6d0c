"""Which of the tasks in hand may start next: in the order in which they came, two of one key never at once. Pure."""

from __future__ import annotations

import heapq
import itertools
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Iterator
from dataclasses import dataclass
from typing import Generic, Protocol, TypeVar


class Keyed(Protocol):
    """key: what orders the item among others; None where nothing does. number: in which order items came."""

    key: Hashable | None
    number: int


ItemT = TypeVar("ItemT", bound=Keyed)


class Lineup(Generic[ItemT]):
    """Items go from *behind* another of their key to *ready*, are taken by `next`, and end; or they wait for a time, or
    at a *gate*: there the first that came is first, and it alone is tried again, by `next`.

    A key belongs to one item, from where that is ready until it ends: while it waits, too.
    """

    def __init__(self) -> None:
        self._ready: deque[ItemT] = deque()
        self._behind: dict[Hashable, deque[ItemT]] = {}
        self._waiting: list[tuple[float, int, ItemT | None, Hashable]] = []
        self._gates: dict[Hashable, _Gate[ItemT]] = {}
        self._numbers = itertools.count()
        self._came = itertools.count()

    def __bool__(self) -> bool:
        return bool(self._ready or self._waiting or self._behind or self._gates)

    def __iter__(self) -> Iterator[ItemT]:
        """All that are not taken, in no order."""
        yield from self._with_keys()
        for items in self._behind.values():
            yield from items

    @property
    def ready(self) -> int:
        """How many could start at once."""
        return len(self._ready)

    @property
    def next_at(self) -> float | None:
        """When the next item that waits is to be tried; None where none waits."""
        while self._waiting:
            at, _, item, gate = self._waiting[0]
            if item is not None or self._is_tried_at(gate, at):
                return at
            heapq.heappop(self._waiting)
        return None

    def add(self, item: ItemT) -> None:
        """An item comes, behind all others of its key, and is given its number."""
        item.number = next(self._came)
        if item.key is None:
            self._ready.append(item)
        elif item.key in self._behind:
            self._behind[item.key].append(item)
        else:
            self._behind[item.key] = deque()
            self._ready.append(item)

    def next(self, now: float) -> ItemT | None:
        """The next item to start; what has waited enough comes first. None where there is none."""
        while self._waiting and self._waiting[0][0] <= now:
            at, _, item, gate = heapq.heappop(self._waiting)
            if item is not None:
                return item
            if self._is_tried_at(gate, at):
                return self._first_at(gate, now)
        return self._ready.popleft() if self._ready else None

    def again(self, item: ItemT, at: float) -> None:
        """An item that was taken is to start once more, not before `at`. It keeps its key."""
        heapq.heappush(self._waiting, (at, next(self._numbers), item, None))

    def is_held(self, gate: Hashable, item: ItemT) -> bool:
        """Whether one waits at the gate that came before this item, which has to go behind it."""
        return gate in self._gates and self._gates[gate].items[0][0] < item.number

    def hold(self, item: ItemT, gate: Hashable, until: float) -> None:
        """An item that was taken waits at a gate. until: when to try the first there again, unless `wake` comes before.

        It goes behind those that came before it.
        """
        held = self._gates.setdefault(gate, _Gate([], until))
        heapq.heappush(held.items, (item.number, item))
        if held.items[0][1] is item:
            self._try_at(gate, until)

    def wake(self, gate: Hashable) -> None:
        """Try the first at this gate with the next look."""
        if gate in self._gates:
            self._try_at(gate, 0.0)

    def held_at(self, gate: Hashable) -> int:
        """How many wait at the gate."""
        return len(self._gates[gate].items) if gate in self._gates else 0

    def held(self, gate: Hashable) -> list[ItemT]:
        """Those that wait at the gate, in their order."""
        return [item for _, item in sorted(self._gates[gate].items)] if gate in self._gates else []

    def first_at(self, gate: Hashable) -> ItemT | None:
        """The first that waits at the gate; None where none does."""
        return self._gates[gate].items[0][1] if gate in self._gates else None

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
        owners = [item for item in self._with_keys() if is_dropped(item)]
        behind = [item for items in self._behind.values() for item in items if is_dropped(item)]
        gone = set(map(id, (*owners, *behind)))
        self._behind = {key: _without(items, gone) for key, items in self._behind.items()}
        self._ready = _without(self._ready, gone)
        self._waiting = [entry for entry in self._waiting if id(entry[2]) not in gone]
        heapq.heapify(self._waiting)
        for held in self._gates.values():
            held.items = sorted(entry for entry in held.items if id(entry[1]) not in gone)
        self._gates = {gate: held for gate, held in self._gates.items() if held.items}
        for item in owners:
            self.end(item)
        return owners + behind

    # Within

    def _with_keys(self) -> Iterator[ItemT]:
        """Those that are not taken, nor behind another one."""
        yield from self._ready
        yield from (item for _, _, item, _ in self._waiting if item is not None)
        for held in self._gates.values():
            yield from (item for _, item in held.items)

    def _try_at(self, gate: Hashable, at: float) -> None:
        self._gates[gate].at = at
        heapq.heappush(self._waiting, (at, next(self._numbers), None, gate))

    def _first_at(self, gate: Hashable, now: float) -> ItemT:
        """The first item at a gate is taken; the next one there is tried after it."""
        held = self._gates[gate]
        _, item = heapq.heappop(held.items)
        if held.items:
            self._try_at(gate, now)
        else:
            del self._gates[gate]
        return item

    def _is_tried_at(self, gate: Hashable, at: float) -> bool:
        """Whether the gate is to be tried then, and not at another time by now."""
        return gate in self._gates and self._gates[gate].at == at


@dataclass(slots=True)
class _Gate(Generic[ItemT]):
    """items: with their numbers, as a heap. at: when the first of them is tried again."""

    items: list[tuple[int, ItemT]]
    at: float


def _without(items: Iterable[ItemT], gone: set[int]) -> deque[ItemT]:
    return deque(item for item in items if id(item) not in gone)
