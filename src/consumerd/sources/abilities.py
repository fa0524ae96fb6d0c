"""What few sources can do; the worker asks for it by `isinstance`, as for what `contract` has."""

from __future__ import annotations

from typing import Protocol, runtime_checkable

from consumerd.errors import SourceAwayError
from consumerd.wire.status import ScheduleStatus

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
class Asked(Protocol):
    """A source that is asked now and then whether there is something, since nothing tells it."""

    def look_now(self) -> None:
        """There may be tasks: the next fetch asks, whether or not it is time. The loop's thread."""
