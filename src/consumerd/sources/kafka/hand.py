"""The batch that the loop has in hand, and waiting until it has left it. Runs in workers."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from threading import Condition

from confluent_kafka import Message

from consumerd.sources.kafka.assigned import AssignedPartition
from consumerd.sources.kafka.batch import KafkaBatch
from consumerd.sources.kafka.yielded import YieldedBatch

AnyBatch = KafkaBatch | YieldedBatch


class Hand:
    """The batches that the loop has not left."""

    def __init__(self, state: Condition, interrupt: Callable[[], None]) -> None:
        """interrupt: makes the loop look up from its batch."""
        self._state = state
        self._batches: list[AnyBatch] = []
        self._loop_thread = threading.get_ident()
        self.interrupt = interrupt

    def oldest_of(self, assigned: AssignedPartition) -> Message | None:
        """The first message of this partition that is in hand and not finished. Under the state lock."""
        for batch in self._batches:
            if isinstance(batch, KafkaBatch) and batch.assigned is assigned and batch.parts:
                oldest: Message = batch.raws[min(part.start for part in batch.parts)]
                return oldest
        return None

    def give(self, batch: AnyBatch) -> None:
        """The loop gets this batch. Under the state lock."""
        self._batches.append(batch)

    def leave(self, batch: AnyBatch) -> None:
        """The loop has left this batch. Under the state lock."""
        self._batches.remove(batch)
        self._state.notify_all()

    def leave_all(self) -> None:
        """The loop has ended."""
        with self._state:
            self._batches.clear()
            self._state.notify_all()

    def enter(self) -> None:
        """The loop fetches: this is its thread."""
        self._loop_thread = threading.get_ident()

    def wait_until_left(self, leaving: Sequence[AssignedPartition], timeout_s: float) -> bool:
        """Have the loop leave a batch of these partitions; false when it did not in time.

        In the loop's own thread there is nothing to wait for: it is within `fetch`.
        """
        with self._state:
            if not self._has_one_of(leaving) or threading.get_ident() == self._loop_thread:
                return True
            self.interrupt()
            return self._state.wait_for(lambda: not self._has_one_of(leaving), timeout_s)

    def _has_one_of(self, leaving: Sequence[AssignedPartition]) -> bool:
        return any(batch.assigned in leaving for batch in self._batches)
