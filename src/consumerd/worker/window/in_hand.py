"""The tasks that a worker has in hand, and the batches that they came in. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Collection, Hashable, Sequence
from dataclasses import dataclass, field
from typing import Any

from consumerd.model.parked import ParkedTask
from consumerd.model.task import Task
from consumerd.sources.contract import Batch
from consumerd.wire.board_writer import LaneWriter
from consumerd.worker.attempts.attempt import Attempt, Ending
from consumerd.worker.attempts.maker import UNSEEN
from consumerd.worker.tasks.runner import Records


@dataclass(slots=True, eq=False)
class BatchInHand:
    """left: how many of its tasks have not ended. number: of the batches that came, in order. size_bytes: of all its
    payloads. records: make attempts at its tasks.

    done: the indexes of those that are done and not settled yet; not_begun: of those that were given back.
    leave_by: until when what fills a hole of it may still begin, once it is to be left; 0 before.
    """

    batch: Batch
    left: int
    number: int = 0
    size_bytes: int = 0
    done: list[int] = field(default_factory=list)
    not_begun: list[int] = field(default_factory=list)
    leave_by: float = 0.0
    records: Records | None = None

    def end(self, index: int, *, is_done: bool) -> None:
        """A task has come to its end."""
        self.left -= 1
        if is_done:
            self.done.append(index)

    def last_begun(self, waiting: Collection[int]) -> int:
        """The last of its tasks that have begun, where these wait; -1 where none has."""
        not_begun = {*self.not_begun, *waiting}
        return max((index for index in range(len(self.batch.raws)) if index not in not_begun), default=-1)

    def give_back(self, index: int) -> None:
        """A task comes again: it was not begun, or is to be begun anew."""
        self.left -= 1
        self.not_begun.append(index)


@dataclass(slots=True, eq=False)
class InHand:
    """A task that this worker has, whether or not it runs.

    begun: the attempt at it, once there is one: where many tasks go together, most need none of their own.
    came_in: its batch; or the parked task that it is.
    index: its place in its batch.
    number: in which order it came.
    key: two tasks of one key never run at once; None where that does not matter.
    gates: what rules have noted of it, that it need not be found again.
    waits_since: when it came first to a gate that it has not passed; 0 where it waits at none.
    lane: its place on the board, while an attempt at it is made.
    thread: in which that is made; None on an event loop.
    ended: how that attempt has ended.
    error: what ends the worker, raised where no handler had begun.
    is_alone: no other one goes into a batch with it.
    record: made ahead of its attempt, where that is in a batch.
    others: tasks that are finished with it, once it is done.
    gathered_at: when the first of its key came to be gathered, where it was taken back from there; None before.
    openings: how often its destination had opened when the attempt began.
    """

    begun: Attempt | None
    came_in: BatchInHand | ParkedTask
    index: int = 0
    key: Hashable | None = None
    number: int = 0
    gates: dict[object, Any] = field(default_factory=dict)  # each rule knows its own
    waits_since: float = 0.0
    lane: LaneWriter = None  # type: ignore[assignment]  # is set before an attempt is made
    thread: int | None = None
    ended: Ending | None = None
    error: BaseException | None = None
    is_alone: bool = False
    record: object = UNSEEN
    gathered_at: float | None = None
    others: Sequence[InHand] = ()
    openings: int = 0

    @property
    def attempt(self) -> Attempt:
        if self.begun is None:
            assert isinstance(self.came_in, BatchInHand)
            assert self.came_in.records is not None
            self.begun = self.came_in.records.attempt(self.came_in.batch, self.index)
            self.begun.has_record = self.record is not UNSEEN
        return self.begun

    @property
    def task(self) -> Task:
        return self.attempt.task

    @property
    def parked(self) -> ParkedTask | None:
        """Where it came from the parking store: as it stands there."""
        return self.came_in if isinstance(self.came_in, ParkedTask) else None

    def parted(self) -> list[InHand]:
        """It and those that were to be finished with it, and are not any more."""
        parted, self.others = [self, *self.others], ()
        return parted
