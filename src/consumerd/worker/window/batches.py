"""The batches of which a window has tasks in hand: what of them is settled, and when they are released; and the parked
tasks that it has in hand beside them.

Runs in workers and the foreground; the loop's thread alone calls it.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any

from consumerd.model.outcome import DONE, Retry
from consumerd.model.parked import ParkedTask
from consumerd.model.runs import runs
from consumerd.sources.contract import Batch, Revocable
from consumerd.wire.board import Hold
from consumerd.worker.attempts.attempt import Conclusion
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.handling import Parts
from consumerd.worker.tasks.recording import ended_task
from consumerd.worker.tasks.runner import Span
from consumerd.worker.window.in_hand import BatchInHand, InHand

MOST_BYTES = 64 * 1_048_576
"""Of the payloads in hand, together: where they take more, nothing is fetched until some batch has ended."""

LEAVE_S = 5.0
"""So long a stop, or whoever takes a shard away, waits at most for tasks that were not begun and fill a hole."""


class Batches:
    """In the order in which they came.

    parked: how many parked tasks are in hand.
    """

    def __init__(self, context: WorkerContext, parts: Parts) -> None:
        self._board = context.board
        self._parts = parts
        self._clock = context.clock
        self._is_positional = parts.source.traits.positional
        self._source = source = parts.source
        self._settling = parts.settling
        self._revocable = source if isinstance(source, Revocable) else None
        self._leave_s = min(LEAVE_S, context.deadline.stop_timeout_s / 2)
        self.parked = 0
        self._in_hand: list[BatchInHand] = []
        self._taken = 0
        self._ended: dict[int, int] = {}  # by shard: the number of its last batch that has ended, and had begun
        self._last_ended: list[tuple[InHand, Conclusion]] = []
        self._size_bytes = 0
        self._task_bytes = context.common.payload_limit  # nobody has seen one; then the last batch says it

    def __bool__(self) -> bool:
        return bool(self._in_hand or self.parked)

    @property
    def newest(self) -> BatchInHand:
        """Of those in hand, the one that came last."""
        return self._in_hand[-1]

    def take(self, batch: Batch) -> list[InHand]:
        """A batch comes; its tasks, none of which has begun."""
        self._taken += 1
        came_in = BatchInHand(batch, len(batch.raws), self._taken, records=self._parts.records)
        self._in_hand.append(came_in)
        tasks = [InHand(None, came_in, index) for index in range(len(batch.raws))]
        came_in.size_bytes = _size_bytes([*map(batch.payload, batch.raws)], tasks)
        self._size_bytes += came_in.size_bytes
        self._task_bytes = max(1, came_in.size_bytes // len(batch.raws))
        return tasks

    def claim(self, limit: int) -> list[InHand]:
        """Parked tasks that are due, and are in hand now."""
        due = self._parts.due
        claimed = due.claim(limit)
        self.parked += len(claimed)
        return [InHand(due.attempt(parked), parked) for parked in claimed]

    def room(self) -> int:
        """How many more tasks may come, by the bytes of those in hand; the board shows where there is no room."""
        left_bytes = MOST_BYTES - self._size_bytes
        if left_bytes <= 0:
            self._board.holds(Hold.UNSETTLED_FULL)
            return 0
        return max(1, left_bytes // self._task_bytes)

    def lost(self) -> Collection[BatchInHand]:
        """Those that are being taken away, or are gone."""
        if self._revocable is None:
            return ()
        return [came_in for came_in in self._in_hand if not self._revocable.keeps(came_in.batch)]

    def is_to_be_left(self, task: InHand) -> bool:
        """Whether its batch is gone; or is being taken away, and it is not known yet whether the task fills a hole."""
        came_in = task.came_in
        if self._revocable is None or isinstance(came_in, ParkedTask) or self._revocable.keeps(came_in.batch):
            return False
        return not came_in.leave_by or not self._revocable.settles(came_in.batch)

    def to_be_dropped(
        self, left: Collection[BatchInHand] | None, in_line: Iterable[InHand]
    ) -> Callable[[InHand], bool]:
        """Which tasks come again where these batches are left, or all is: not those among `in_line` that fill holes."""
        holes = self._holes(left, in_line)
        return lambda task: task not in holes and (left is None or task.came_in in left)

    def _holes(self, left: Collection[BatchInHand] | None, in_line: Iterable[InHand]) -> Collection[InHand]:
        """Of batches that are to be left, or of all, the tasks in line behind which others of their shard have begun.

        Where a source is settled by a position, that would stay before them, and all that has ended behind would run
        again. So they are run, too, for a while.
        """
        if not self._is_positional:
            return ()
        now, waiting = self._clock.monotonic(), defaultdict[BatchInHand, list[InHand]](list)
        for came_in in self._in_hand if left is None else left:
            is_gone = self._revocable is not None and not self._revocable.settles(came_in.batch)
            came_in.leave_by = now if is_gone else came_in.leave_by or now + self._leave_s
        for task in in_line:
            if isinstance(task.came_in, BatchInHand):
                waiting[task.came_in].append(task)
        begun = self._begun(waiting) if waiting else {}
        return {
            task
            for came_in, tasks in waiting.items()
            for task in tasks
            if now < came_in.leave_by and (came_in.number, task.index) < begun.get(came_in.batch.shard, (0, 0))
        }

    def _begun(self, waiting: Mapping[BatchInHand, Iterable[InHand]]) -> Mapping[int, tuple[int, int]]:
        """By shard, where the last task stands that has begun, where these wait: also of batches that have ended."""
        begun = {shard: (number, 0) for shard, number in self._ended.items()}
        for came_in in self._in_hand:
            last = came_in.last_begun([task.index for task in waiting.get(came_in, ())])
            if last >= 0:
                begun[came_in.batch.shard] = max(begun.get(came_in.batch.shard, (0, 0)), (came_in.number, last))
        return begun

    def give_back(self, tasks: Iterable[InHand]) -> None:
        """These come again: from their batches, or from the parking store."""
        parked = []
        for task in tasks:
            if isinstance(task.came_in, ParkedTask):
                parked.append(task.came_in)
            else:
                task.came_in.give_back(task.index)
        self.parked -= len(parked)
        self._parts.due.put_back(parked)

    def conclude(self, task: InHand, conclusion: Conclusion) -> None:
        """A task has come to its end, by itself or with another. What is done of batches is settled later, together."""
        came_in = task.came_in
        if isinstance(came_in, ParkedTask):
            self.parked -= 1
            self._parts.due.conclude(came_in, conclusion)
            return
        self._last_ended.append((task, conclusion))
        is_done = conclusion.outcome is DONE
        came_in.end(task.index, is_done=is_done)
        if is_done:
            self._parts.breaker.note_done()  # at once: what fails beside it fails by itself
            return
        self._settling.take(Span(came_in.batch, task.index, task.index + 1, conclusion))
        if isinstance(conclusion.outcome, Retry) and not self._source.traits.durable_defer:
            self._parts.due.look_soon()

    def count(self, outcome: Retry, conclusion: Conclusion) -> None:
        """A task is to be tried again later, and stays in hand until then."""
        self._board.note_outcome(outcome, **conclusion.counted)

    def settle(self) -> None:
        """Settle what is done, and release the batches of which no task is left."""
        self._record()
        self._settle_done()
        if not all(came_in.left for came_in in self._in_hand):
            self._release_ended()

    def _record(self) -> None:
        """Keep in mind what has ended since the last pass, for whoever asks what the worker did last."""
        ended, self._last_ended = self._last_ended, []
        at, alike = self._clock.wall(), 0
        for number, (task, conclusion) in enumerate(ended, 1):
            alike += 1
            if number < len(ended) and _are_alike(task, conclusion, *ended[number]):
                continue  # one entry for all of them
            first = ended[number - alike][0]
            entry = ended_task(task.task, conclusion, at)
            self._board.note_ended(entry._replace(first=first.task.offset, tasks=alike) if alike > 1 else entry)
            alike = 0

    def _settle_done(self) -> None:
        done, spans = 0, list[Span]()
        for came_in in self._in_hand:
            if came_in.done:
                done += len(came_in.done)
                spans += [Span(came_in.batch, start, stop) for start, stop in runs(sorted(came_in.done))]
                came_in.done = []
        if done:
            self._settling.finish(spans)
            self._board.note_done(done)
            self._parts.hooks.count(done)

    def _release_ended(self) -> None:
        if self._settling.held:
            self._settling.park()  # before a batch is left: whoever takes its shard away waits for that
        for came_in in self._in_hand:
            if not came_in.left:
                self._size_bytes -= came_in.size_bytes
                if len(came_in.not_begun) < len(came_in.batch.raws):
                    shard = came_in.batch.shard
                    self._ended[shard] = max(came_in.number, self._ended.get(shard, 0))
                self._source.release(came_in.batch, sorted(came_in.not_begun))
        self._in_hand = [came_in for came_in in self._in_hand if came_in.left]


def _size_bytes(payloads: Sequence[Any], tasks: Sequence[InHand]) -> int:  # bytes, or whatever the source has
    """Of all payloads; of those that did not come as bytes, as they would be kept."""
    if {*map(type, payloads)} == {bytes}:
        return sum(map(len, payloads))
    each = zip(payloads, tasks, strict=True)
    return sum(len(payload) if isinstance(payload, bytes) else len(task.task.payload) for payload, task in each)


def _are_alike(task: InHand, conclusion: Conclusion, other: InHand, of_other: Conclusion) -> bool:
    """Whether both are done, of one batch, and took the same time: as those of `handle_batch` did together."""
    is_done = conclusion.outcome is DONE and of_other.outcome is DONE
    return is_done and conclusion.ran is of_other.ran and task.came_in is other.came_in
