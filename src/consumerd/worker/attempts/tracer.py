"""What an attempt knows of whoever traces it. `worker/traces` has the one that does, by OpenTelemetry.

Runs in workers and the foreground.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from consumerd.model.task import Task
from consumerd.sources.contract import Batch

if TYPE_CHECKING:
    from consumerd.worker.attempts.attempt import Attempt, Conclusion, Ending


class AttemptSpan(Protocol):
    """The span of one attempt."""

    def leave(self) -> None:
        """The attempt has ended, and what follows is not of it. In the thread that began it."""

    def end(self, ended: Ending | None, conclusion: Conclusion | None) -> None:
        """It is judged; without a conclusion, a further attempt follows. Only the first call has an effect."""


class BatchSpan(Protocol):
    """The span of one attempt at many tasks."""

    def end(self, endings: Sequence[Ending] | None) -> None:
        """How each has ended; None: all of them are to be tried one by one. In the thread that began it."""


class Tracer(Protocol):
    """Chooses what is traced. Callable from any thread, but for `next_in`."""

    def next_in(self, batch: Batch, start: int) -> int:
        """The index of the first task of the batch, from `start` on, that is to be traced; their number where none is.

        The loop's thread, ahead of tasks that run one at a time.
        """

    def pass_by(self, tasks: int) -> None:
        """So many of those have run without a question."""

    def begin(self, attempt: Attempt) -> AttemptSpan | None:
        """Where the attempt is to be traced, its span, which is the current one in this thread from now on."""

    def begin_batch(self, tasks: Sequence[Task]) -> BatchSpan | None:
        """The same for an attempt at many tasks."""

    def close(self, deadline: float) -> None:
        """Send what has ended, by `deadline` on the monotonic clock."""
