"""A parking store in memory, without a thread: for tests, which can take it away, and where nothing is to be kept."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, cast

from consumerd.clock import Clock
from consumerd.errors import StoreAwayError
from consumerd.model.parked import DueTask, Entry, ParkedState, ParkedTask
from consumerd.model.suspects import Suspect
from consumerd.model.task import TaskId
from consumerd.parking.thread import StoreThread


class MemoryStore:
    """The part of `ParkingStore` that a worker uses, and the `call` of its thread, in one.

    rows: by task id.
    is_away: every call raises StoreAwayError.
    refuses: by task id, what parking this task raises.
    calls: how many there were.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.rows: dict[str, ParkedTask] = {}
        self.claimed: set[str] = set()
        self.is_away = False
        self.refuses: dict[str, StoreAwayError] = {}
        self.calls = 0

    is_shared = False

    def as_thread(self) -> StoreThread:
        """Where a worker wants its store thread."""
        return cast("StoreThread", self)

    def call(
        self, function: Callable[[Any], Any], timeout_s: float | None = None, *, undo: object = None
    ) -> Any:  # as StoreThread
        del timeout_s, undo
        self.calls += 1
        if self.is_away:
            raise StoreAwayError("the store is away: the test took it")
        return function(self)

    def ask(self, consumer: str, question: Callable[[Any], Any], nothing: Any) -> Any:  # as StoreThread
        return nothing if self.has_nothing(consumer) else self.call(question)

    def has_nothing(self, consumer: str) -> bool:
        return not self.is_away and all(row.consumer != consumer for row in self.rows.values())

    def park(self, tasks: Sequence[ParkedTask]) -> None:
        for task in tasks:
            if (refusal := self.refuses.get(task.task_id)) is not None:
                raise refusal
        for task in tasks:
            self.rows[task.task_id] = task
            self.claimed.discard(task.task_id)

    def note_suspect(self, task: ParkedTask) -> None:
        row = self.rows.setdefault(task.task_id, task)
        if row.crashes < task.crashes:
            self.rows[task.task_id] = replace(
                row,
                crashes=task.crashes,
                error=task.error,
                traceback=task.traceback or row.traceback,
                last_at=task.last_at,
            )

    def suspects_of(self, consumer: str) -> tuple[Suspect, ...]:
        suspects = (row for row in self.rows.values() if row.state is ParkedState.SUSPECT and row.consumer == consumer)
        return tuple(Suspect(row.task_id, row.crashes, row.error, row.traceback) for row in suspects)

    def clear_suspects(self, consumer: str, ids: Sequence[str]) -> None:
        del consumer
        for task_id in ids:
            if task_id in self.rows and self.rows[task_id].state is ParkedState.SUSPECT:
                del self.rows[task_id]

    def park_again(self, task: ParkedTask, token: str) -> bool:
        del token
        self.park([task])
        return True

    def claim_due(self, consumer: str, limit: int, lease: object) -> tuple[ParkedTask, ...]:
        del lease
        rows = (row for row in self.rows.values() if row.consumer == consumer and self._is_due(row))
        due = sorted(rows, key=lambda row: row.due_at or 0.0)[:limit]
        self.claimed.update(row.task_id for row in due)
        return tuple(due)

    def revive(self, consumer: str, ids: Sequence[str]) -> None:
        for task_id in ids:
            if (row := self.rows.get(task_id)) is not None and row.state is ParkedState.DEAD:
                self.rows[task_id] = replace(row, state=ParkedState.WAITING, due_at=self._clock.wall())

    def finish(self, consumer: str, task_id: str, token: str) -> bool:
        del consumer, token
        return self.rows.pop(task_id, None) is not None

    def release(self, owner: str) -> int:
        del owner
        count = len(self.claimed)
        self.claimed.clear()
        return count

    def release_tasks(self, tasks: Sequence[ParkedTask], owner: str) -> None:
        del owner
        self.claimed.difference_update(task.task_id for task in tasks)

    def renew(self, lease: object) -> int:
        del lease
        return len(self.claimed)

    def next_due(self, consumer: str) -> float | None:
        due = [row.due_at for row in self.rows.values() if row.consumer == consumer and row.due_at is not None]
        return max(0.0, min(due) - self._clock.wall()) if due else None

    def entries_among(self, consumer: str, ids: Sequence[str]) -> dict[str, Entry]:
        rows = (self.rows[task_id] for task_id in ids if task_id in self.rows)
        return {
            row.task_id: Entry(row.state, self._is_due(row), row.attempts, row.first_at, row.last_at)
            for row in rows
            if row.consumer == consumer and row.state is not ParkedState.SUSPECT
        }

    def due(self, consumer: str, limit: int, after: DueTask | None = None) -> tuple[tuple[DueTask, ...], bool]:
        rows = [row for row in self.rows.values() if row.consumer == consumer and row.state is ParkedState.WAITING]
        due = sorted((row.due_at or 0.0, row.task_id, bool(row.payload)) for row in rows if self._is_due(row))
        behind = [each for each in due if after is None or each[:2] > (after.due_at, after.task_id)]
        return tuple(DueTask(TaskId(task_id), at, has) for at, task_id, has in behind[:limit]), bool(rows)

    def due_among(self, consumer: str, ids: Sequence[str]) -> tuple[ParkedTask, ...]:
        rows = (self.rows[task_id] for task_id in ids if task_id in self.rows)
        return tuple(row for row in rows if row.consumer == consumer and self._is_due(row))

    def copy_of(self, consumer: str, task_id: str) -> bytes:
        del consumer
        return self.rows[task_id].payload if task_id in self.rows else b""

    def reopen(self, consumer: str, task_id: str) -> None:
        del consumer
        now = self._clock.wall()
        waiting = {"state": ParkedState.WAITING, "due_at": now, "first_at": now, "attempts": 0, "payload": b""}
        self.rows[task_id] = replace(self.rows[task_id], **waiting)  # type: ignore[arg-type]  # each of its field's type

    def drop_copies(self, consumer: str) -> None:
        for task_id, row in self.rows.items():
            if row.consumer == consumer and row.state is ParkedState.WAITING and not self._is_due(row):
                self.rows[task_id] = replace(row, payload=b"")

    def forget(self, consumer: str, ids: Sequence[str]) -> None:
        del consumer
        for task_id in ids:
            self.rows.pop(task_id, None)

    def parked_of(self, consumer: str) -> frozenset[str]:
        rows = (row for row in self.rows.values() if row.consumer == consumer and not self._is_due(row))
        return frozenset(row.task_id for row in rows if row.state is not ParkedState.SUSPECT)

    def _is_due(self, row: ParkedTask) -> bool:
        return (
            row.state is ParkedState.WAITING
            and row.task_id not in self.claimed
            and row.due_at is not None
            and row.due_at <= self._clock.wall()
        )
