"""A worker's line to its master, as the worker's parts see it. Runs in workers and the foreground."""

from __future__ import annotations

from collections import deque
from typing import Generic, TypeVar

from consumerd.wire.messages import Message

ItemT = TypeVar("ItemT")


class Newest(Generic[ItemT]):
    """Hands the newest item from one thread to another; what is older and was not taken is dropped."""

    def __init__(self) -> None:
        self._items: deque[ItemT] = deque()

    def put(self, item: ItemT) -> None:
        """In place of the item before."""
        self._items.append(item)

    def take(self) -> ItemT | None:
        """The newest item; None where none was put since the last call."""
        newest = None
        while self._items:
            newest = self._items.popleft()
        return newest


class Link:
    """Where there is no master: what is told goes nowhere, and nothing comes.

    suspects: all tasks of the pool that were running when a worker died, as the message `Suspects` has them.
    entries: the consumer's entry with other values of live keys, as the message `Amend` has it.
    measures_lag: whether this worker measures the lag, and counts what is parked, for the whole pool.
    """

    def __init__(self) -> None:
        self.suspects: Newest[tuple[tuple[str, int, str], ...]] = Newest()
        self.entries: Newest[str] = Newest()
        self.measures_lag = False

    def tell(self, message: Message) -> None:
        """Send the master a message, as soon as it reads; callable from any thread."""
