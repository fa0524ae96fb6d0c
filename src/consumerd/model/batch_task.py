"""A task as `handle_batch` gets it, beside others."""

from __future__ import annotations

from typing import Generic, TypeVar

from consumerd.model.outcome import Dead, Retry
from consumerd.model.task import Task

RecordT = TypeVar("RecordT")

Said = BaseException | str
"""What a handler says of one task: a verdict, that it is tried again later or is dead; or why it has failed."""


class BatchTask(Generic[RecordT]):
    """One of the tasks that `handle_batch` is given. It is done when that returns, unless something else is said.

    record: what `handle_task` would be given. A model of pydantic's is named as `tasks: list[BatchTask[Login]]`.
    said: what was said of it last; None: nothing.
    """

    __slots__ = ("_task", "record", "said")

    def __init__(self, task: Task, record: RecordT) -> None:
        self.record = record
        self.said: Said | None = None
        self._task = task

    def __repr__(self) -> str:
        return f"<task at offset {self.offset}: {self.record!r:.200}>"

    @property
    def offset(self) -> int:
        return self._task.offset

    @property
    def key(self) -> bytes | None:
        """The message's key, where the source has keys."""
        return self._task.key

    @property
    def headers(self) -> tuple[tuple[str, bytes | None], ...]:
        """The message's headers, where the source has them."""
        return self._task.headers

    @property
    def attempt(self) -> int:
        """The number of this attempt at it, from 1, over all retries."""
        return self._task.attempts + 1

    @property
    def first_seen(self) -> float | None:
        """When it was first attempted, seconds since the epoch; None in its first attempt."""
        return self._task.first_at

    def fail(self, error: BaseException | str) -> None:
        """This attempt at it has failed. error: why, for whoever looks at it when it is parked."""
        self.said = error

    def retry(self, after: float = 0.0) -> None:
        """Try it again in so many seconds, as if `handle_task` had returned `Retry`."""
        self.said = Retry(after)

    def dead(self, reason: str = "") -> None:
        """Park it until a person decides, as if `handle_task` had returned `Dead`."""
        self.said = Dead(reason)
