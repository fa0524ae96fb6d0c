"""What few sources can do; the worker asks for it by `isinstance`, as for what `contract` has."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from typing import Any, NamedTuple, Protocol, runtime_checkable

from consumerd.errors import SourceAwayError
from consumerd.model.task import Task, TaskId
from consumerd.sources.contract import Batch
from consumerd.wire.schedules import ScheduleStatus

RENEWED_AFTER = 1 / 3
"""The part of a lease after which its holder renews it."""
TRUSTED_FOR = 0.8
"""The part of a lease after which its holder begins no task any more: clocks and answers take their time."""


@runtime_checkable
class Listens(Protocol):
    """A source that somebody may tell of new tasks: one worker of a pool listens for all of them."""

    def listen(self, *, is_wanted: bool) -> None:
        """Whether it is this worker that listens, as the master has it. The keeper, once a second."""


@runtime_checkable
class Resumes(Protocol):
    """A source whose long tasks go on from their last checkpoint, whoever runs them next."""

    def checkpoint(self, cursor: object, done: float | None, total: float | None) -> bool:
        """Keep durably how far the running task has come; false where it is another worker's by now.

        The loop's thread, from within the handler. Raises ValueError for a cursor that cannot be kept.
        """


@runtime_checkable
class Planned(Protocol):
    """A source that knows when its next tasks come."""

    def schedule(self) -> ScheduleStatus | None:
        """How it stands; None where nothing is to be told anew. The keeper, once a beat."""


@runtime_checkable
class TellsTrouble(Protocol):
    """A source whose tasks may go on coming while something is wrong: read ahead, or from its other shards."""

    def trouble(self) -> SourceAwayError | None:
        """What is wrong now; asked after each fetch. The loop's thread."""


@runtime_checkable
class Unordered(Protocol):
    """A batch whose tasks are in no order that anybody counts on."""

    def put_last(self, are_last: Callable[[TaskId], bool]) -> bool:
        """Let these tasks come after the others; whether there are any. Before a task of the batch has begun."""


@runtime_checkable
class HasHeaders(Protocol):
    """A batch whose tasks have headers, which are read without making an object of each task."""

    headers: Callable[[Any], Sequence[tuple[str, bytes | None]] | None]


@runtime_checkable
class Dated(Protocol):
    """A source that knows when its tasks became due."""

    def due_between(self, batch: Batch) -> tuple[float, float] | None:
        """When the first and the last of them did, on the wall clock; None where nobody knows. The loop's thread."""


@runtime_checkable
class Asked(Protocol):
    """A source that is asked now and then whether there is something, since nothing tells it."""

    def look_now(self) -> None:
        """There may be tasks: the next fetch asks, whether or not it is time. The loop's thread."""


class RowNow(NamedTuple):
    """The row of a parked task, as it is now.

    payload: what the row has now, where the task is dead still; else None.
    is_claimed: a worker has it, and its end is not known yet.
    fate: otherwise what became of it, in words. is_over: the copy is not needed any more: the row is done, or is a new
    task of its own. Else nobody knows what became of the task, and the copy may be all that is left of it.
    """

    payload: bytes | None = None
    is_claimed: bool = False
    fate: str = ""
    is_over: bool = False


@runtime_checkable
class KeepsRows(Protocol):
    """A source whose rows outlive their tasks: the row says what became of the parked copy, too."""

    def parked_rows(self, ids: Sequence[TaskId]) -> Mapping[TaskId, RowNow]:
        """What the rows of these tasks are now; without those that are no rows of this source. The loop's thread."""

    def finish_parked(self, task_id: TaskId) -> None:
        """A task that was settled as dead is done after all: it was parked, and a person had it tried again.

        The loop's thread, before the parking store forgets it. While the source is away: written with what comes next.
        """


@runtime_checkable
class Transactional(Protocol):
    """A source that settles a task in the transaction in which its handler writes: both are there, or neither.
    `transaction` is called by one thread at a time; what it returns is left in the handler's own, beside others.
    """

    def transaction(self, task: Task) -> AbstractContextManager[Any]:
        """For the handler of the task, which is in hand: a connection. When it is committed, the task is done."""

    def is_settled(self, task: Task) -> bool:
        """Whether that was committed. Asked when the handler has ended; what it settles now changes nothing."""
