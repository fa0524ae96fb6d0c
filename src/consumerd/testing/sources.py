"""The tasks of a test, in memory, as the source of the consumer would bring them. For tests of consumers."""

from __future__ import annotations

from dataclasses import replace
from functools import partial
from typing import Any

from consumerd.sources.contract import Source
from consumerd.sources.decoding import decode_json
from consumerd.sources.memory import MemorySource
from consumerd.sources.schedule.tick import Tick, tick_of, with_cursor
from consumerd.testing.messages import MessageBatch

WITH_ROWS = ("table", "query")
"""The kinds of sources whose tasks stand in a database, where a transaction of the handler can settle them."""


def source_of(kind: str) -> Source:
    """For the records of a test, where the consumer's own source would be of this kind."""
    if kind == "schedule":
        return RunsInMemory()
    source_class = MemorySource if kind in WITH_ROWS else MessagesInMemory
    return source_class(partial(MessageBatch, decode=decode_json), decode_json)


class MessagesInMemory(MemorySource):
    """As a topic: `self.transaction()` is refused, as it is there."""

    transaction = None  # type: ignore[assignment]  # so that it is no `Transactional`


class RunsInMemory(MessagesInMemory):
    """The runs of a schedule, which go on from their checkpoints.

    checkpoints: the cursors that were kept, in order.
    """

    def __init__(self) -> None:
        super().__init__(partial(MessageBatch, decode=self._tick), self._tick)
        self.checkpoints: list[Any] = []  # what JSON has
        self._cursors: dict[bytes, Any] = {}
        self._running = b""

    def checkpoint(self, cursor: object, done: float | None, total: float | None) -> bool:
        """ValueError for a cursor that cannot be kept."""
        del done, total
        with_cursor(self._running, cursor)
        self._cursors[self._running] = cursor
        self.checkpoints.append(cursor)
        return True

    def _tick(self, payload: bytes) -> Tick:
        self._running = payload
        tick = tick_of(payload)
        return replace(tick, cursor=self._cursors.get(payload, tick.cursor))
