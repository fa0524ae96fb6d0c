"""The batches of which a window has tasks in hand: what of them is settled, and when they are released.

Runs in workers and the foreground; the loop's thread alone calls it.
"""

from __future__ import annotations

from collections.abc import Collection

from consumerd.model.runs import runs
from consumerd.sources.contract import Batch, Revocable, Source
from consumerd.worker.tasks.runner import Span
from consumerd.worker.tasks.settling import Settling
from consumerd.worker.window.in_hand import BatchInHand


class Batches:
    """In the order in which they came."""

    def __init__(self, source: Source, settling: Settling) -> None:
        self._source = source
        self._settling = settling
        self._keeps = source.keeps if isinstance(source, Revocable) else None
        self._in_hand: list[BatchInHand] = []

    def __bool__(self) -> bool:
        return bool(self._in_hand)

    def take(self, batch: Batch) -> BatchInHand:
        """A batch comes, none of whose tasks has ended."""
        came_in = BatchInHand(batch, len(batch.raws))
        self._in_hand.append(came_in)
        return came_in

    def lost(self) -> Collection[BatchInHand]:
        """Those that are being taken away: nothing of them may begin any more."""
        if self._keeps is None:
            return ()
        return [came_in for came_in in self._in_hand if not self._keeps(came_in.batch)]

    def settle_done(self) -> int:
        """Settle what is done and was not settled yet; how many tasks those are."""
        done = 0
        for came_in in self._in_hand:
            if came_in.done:
                done += len(came_in.done)
                for start, stop in runs(sorted(came_in.done)):
                    self._settling.take(Span(came_in.batch, start, stop))
                came_in.done = []
        return done

    def release_ended(self) -> None:
        """Release the batches of which no task is left."""
        if all(came_in.left for came_in in self._in_hand):
            return
        if self._settling.held:
            self._settling.park()  # before a batch is left: whoever takes its shard away waits for that
        for came_in in self._in_hand:
            if not came_in.left:
                self._source.release(came_in.batch, sorted(came_in.not_begun))
        self._in_hand = [came_in for came_in in self._in_hand if came_in.left]
