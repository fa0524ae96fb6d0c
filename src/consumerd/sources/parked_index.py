"""What a source may ask the parking store. Runs in workers and the foreground."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Protocol, TypeVar

from sqlalchemy import Connection

from consumerd.model.division import Division
from consumerd.model.parked import DueTask, Entry, ParkedTask
from consumerd.model.task import TaskId

ResultT = TypeVar("ResultT")


class ParkedIndex(Protocol):
    """The parked tasks of the source's consumer; each call raises StoreAwayError when the store does not answer.

    All but `parked_from` are for sources that give their tasks again and take up their parked ones themselves.
    """

    @property
    def is_shared(self) -> bool:
        """Whether masters of other hosts may use the store, too."""

    def divide(self, step: Callable[[Division, float], Division]) -> Division:
        """How the consumer's workers divide its keys, after `step` has changed it; no other worker changes it then.

        step: pure; given how it is, and the store's clock.
        """

    def is_slot_held(self, member: str) -> bool:
        """Whether a process of a slot of this host, `<id>.<group>.<name>.<slot>`, lives. Not of the caller's own."""

    def run(
        self, step: Callable[[Connection], ResultT], undo: Callable[[Connection, ResultT], object] | None = None
    ) -> ResultT:
        """Run a step in a transaction of the store's. undo: where its result came when nobody waited any more."""

    def entries_among(self, ids: Sequence[TaskId]) -> Mapping[TaskId, Entry]:
        """What there is of those of `ids` that are parked, waiting or dead."""

    def due(self, limit: int, after: DueTask | None = None) -> tuple[Sequence[DueTask], bool]:
        """At most `limit` tasks that wait and are due, claimed for nobody; and whether any task waits at all.

        Those due longest come first, of all workers'. after: only those behind this one.
        """

    def due_among(self, ids: Sequence[TaskId]) -> Sequence[ParkedTask]:
        """Those of `ids` that wait and are due, with what is kept of them."""

    def copy_of(self, task_id: TaskId) -> bytes:
        """The payload of a parked task; empty where there is none."""

    def reopen(self, task_id: TaskId) -> None:
        """A dead task is to be tried as if it never had been; its payload is forgotten."""

    def drop_copies(self) -> None:
        """Forget the payloads of all tasks that wait for a time to come."""

    def forget(self, ids: Sequence[TaskId]) -> None:
        """These are parked no more, whoever has claimed them."""

    def parked_from(self, source: str, shard: int, position: int) -> frozenset[TaskId]:
        """The ids parked, waiting or dead, of this shard at or above `position`."""
