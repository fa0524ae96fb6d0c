"""What a source and a consumer may ask the parking store, through the worker's store thread. Runs in workers."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from consumerd.model.task import TaskId
from consumerd.parking.store import ParkingStore
from consumerd.parking.thread import StoreThread
from consumerd.worker.tasks.suspects import Suspects


class StoreIndex:
    """`sources.contract.ParkedIndex` for one consumer."""

    def __init__(self, consumer: str, store: StoreThread, suspects: Suspects) -> None:
        """suspects: are looked up with what is parked of a partition that comes, perhaps from another host."""
        self._consumer = consumer
        self._suspects = suspects
        self._store = store

    def parked_among(self, ids: Sequence[TaskId]) -> frozenset[TaskId]:
        return self._ask(lambda store: store.parked_among(self._consumer, ids))

    def parked_from(self, source: str, shard: int, position: int) -> frozenset[TaskId]:
        self._suspects.load()
        return self._ask(lambda store: store.parked_from(self._consumer, source, shard, position))

    def all_parked(self) -> frozenset[TaskId]:
        """The ids of all tasks of the consumer that are parked."""
        return self._ask(lambda store: store.parked_of(self._consumer))

    def _ask(self, question: Callable[[ParkingStore], frozenset[TaskId]]) -> frozenset[TaskId]:
        return frozenset() if self._store.has_nothing(self._consumer) else self._store.call(question)
