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
    """At most one batch: the loop leaves it by settling to its end, by releasing the rest, or by fetching on."""

    def __init__(self, state: Condition, interrupt: Callable[[], None]) -> None:
        """interrupt: makes the loop look up from its batch."""
        self._state = state
        self._batch: AnyBatch | None = None
        self._loop_thread = threading.get_ident()
        self.interrupt = interrupt

    @property
    def batch(self) -> AnyBatch | None:
        """The batch that the loop has not left. Under the state lock."""
        return self._batch

    def oldest_of(self, assigned: AssignedPartition) -> Message | None:
        """The first message of this partition that is in hand and not finished. Under the state lock."""
        batch = self._batch
        if not isinstance(batch, KafkaBatch) or batch.assigned is not assigned or not batch.parts:
            return None
        oldest: Message = batch.raws[min(part.start for part in batch.parts)]
        return oldest

    def give(self, batch: AnyBatch) -> None:
        """The loop gets this batch. Under the state lock."""
        self._batch = batch

    def leave(self, batch: AnyBatch | None = None) -> None:
        """The loop has left this batch, or whichever it had. Under the state lock."""
        if batch is None or batch is self._batch:
            self._batch = None
            self._state.notify_all()

    def enter(self) -> None:
        """The loop fetches: it has left whatever it had, and this is its thread."""
        self._loop_thread = threading.get_ident()
        if self._batch is not None:  # as only this thread gives and leaves, what it sees is so
            with self._state:
                self.leave()

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
        return self._batch is not None and self._batch.assigned in leaving
