"""Between tasks and the rows of the parking store. Runs in workers and the foreground."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from typing import TypeVar

from sqlalchemy import Connection

from consumerd import events
from consumerd.events.facts import Fact
from consumerd.model.division import Division
from consumerd.model.outcome import Dead, Expired, Outcome, Retry
from consumerd.model.parked import DueTask, Entry, ParkedState, ParkedTask
from consumerd.model.suspects import Suspect
from consumerd.model.task import Task, TaskId
from consumerd.parking.store import ParkingStore
from consumerd.parking.thread import StoreThread
from consumerd.worker.attempts.attempt import Conclusion, Unfinished

ResultT = TypeVar("ResultT")

DIED_OF = "; the task has died of: "


def lost_fact(parked: ParkedTask) -> Fact:
    """That nobody has a task any more: its generator gave it away, and the store did not take it until the end."""
    advice = "the parking store did not answer until the stop's deadline: the task is to be produced again"
    return events.task_lost(task=parked.task_id, offset=parked.offset, error=parked.error, advice=advice)


def parked_fact(parked: ParkedTask) -> Fact:
    """That the store has a task now: an error where a person must decide."""
    event = events.task_died if parked.state is ParkedState.DEAD else events.task_parked
    return event(
        task=parked.task_id,
        offset=parked.offset,
        shard=parked.shard,
        state=parked.state.value,
        attempts=parked.attempts,
        error=parked.error,
    )


def deferred_fact(conclusion: Conclusion, after_s: float) -> Fact:
    """That a source with rows of its own keeps a task for a later attempt."""
    task, failure = conclusion.task, conclusion.failure
    assert failure is not None
    return events.task_deferred(
        task=task.id,
        offset=task.offset,
        shard=task.shard,
        attempts=task.attempts,
        after_s=round(after_s, 3),
        error=failure.error,
    )


def parked_task(consumer: str, conclusion: Conclusion, now: float) -> ParkedTask:
    """The row that a concluded task becomes. A task without an id gets a random one."""
    task, outcome, failure = conclusion.task, conclusion.outcome, conclusion.failure
    assert not isinstance(outcome, Unfinished)
    assert failure is not None
    why = f" ({outcome.reason})" if isinstance(outcome, Expired) else ""
    row = _row(consumer, task, f"{failure.error}{why}", now)
    return replace(
        row,
        state=ParkedState.WAITING if isinstance(outcome, Retry) else ParkedState.DEAD,
        due_at=now + outcome.after if isinstance(outcome, Retry) else None,
        traceback=failure.traceback,
        log=failure.log,
        payload=b"" if task.is_given_again and isinstance(outcome, Retry) else task.payload,
        key=task.key,
        headers=task.headers,
        crashes=conclusion.crashes,
    )


def as_dead(parked: ParkedTask, why: str) -> ParkedTask:
    """The copy of a task that was to be tried again and cannot be, with what it has died of."""
    _, _, error = parked.error.rpartition(DIED_OF)
    return replace(parked, state=ParkedState.DEAD, due_at=None, error=f"{why}{DIED_OF}{error}")


def suspect_row(consumer: str, task: Task, suspect: Suspect, now: float) -> ParkedTask:
    """The row that keeps the crashes of a task, which is not parked."""
    return replace(_row(consumer, task, suspect.ends, now), crashes=suspect.crashes, traceback=suspect.stacks)


def _row(consumer: str, task: Task, error: str, now: float) -> ParkedTask:
    """A suspect's, without what only a parked task has."""
    return ParkedTask(
        consumer=consumer,
        task_id=task.id or TaskId(f"{task.source}:{uuid.uuid4().hex}"),
        source=task.source,
        shard=task.shard,
        position=task.position,
        offset=task.offset,
        state=ParkedState.SUSPECT,
        due_at=None,
        attempts=task.attempts,
        first_at=task.first_at or now,
        last_at=now,
        error=error,
        traceback="",
        payload=b"",
    )


def must_be_parked(outcome: Outcome, *, is_durable_defer: bool) -> bool:
    """Whether the parking store must have the task before it settles; a source with rows keeps a retry itself."""
    if isinstance(outcome, Retry):
        return not is_durable_defer
    return isinstance(outcome, (Dead, Expired))


def unparked(parked: ParkedTask) -> Task:
    """The task that a parked row holds, for its next attempt."""
    return Task(
        id=parked.task_id,
        offset=parked.offset,
        source=parked.source,
        shard=parked.shard,
        position=parked.position,
        payload=parked.payload,
        key=parked.key,
        headers=parked.headers,
        attempts=parked.attempts,
        first_at=parked.first_at,
        is_tombstone=not parked.payload and parked.attempts > 0,  # without a payload, nothing else is ever attempted
    )


class StoreIndex:
    """`sources.contract.ParkedIndex` for one consumer."""

    def __init__(self, consumer: str, store: StoreThread, load_suspects: Callable[[], None]) -> None:
        """load_suspects: looks them up with what is parked of a partition that comes, perhaps from another host."""
        self._consumer = consumer
        self._load_suspects = load_suspects
        self._store = store

    @property
    def is_shared(self) -> bool:
        return self._store.is_shared

    def divide(self, step: Callable[[Division, float], Division]) -> Division:
        return self._store.call(lambda store: store.divide(self._consumer, step))

    def is_slot_held(self, member: str) -> bool:
        return self._store.is_slot_held(self._consumer, int(member.rpartition(".")[2]))

    def run(
        self, step: Callable[[Connection], ResultT], undo: Callable[[Connection, ResultT], object] | None = None
    ) -> ResultT:
        def take_back(store: ParkingStore, result: ResultT) -> None:
            if undo is not None:
                store.database.write(lambda connection: undo(connection, result))

        return self._store.call(lambda store: store.database.write(step), undo=take_back)

    def entries_among(self, ids: Sequence[TaskId]) -> Mapping[TaskId, Entry]:
        return self._ask(lambda store: store.entries_among(self._consumer, ids), {})

    def due(self, limit: int, after: DueTask | None = None) -> tuple[Sequence[DueTask], bool]:
        nothing: tuple[tuple[DueTask, ...], bool] = ((), False)
        return self._ask(lambda store: store.due(self._consumer, limit, after), nothing)

    def due_among(self, ids: Sequence[TaskId]) -> Sequence[ParkedTask]:
        return self._ask(lambda store: store.due_among(self._consumer, ids), ())

    def copy_of(self, task_id: TaskId) -> bytes:
        return self._ask(lambda store: store.copy_of(self._consumer, task_id), b"")

    def reopen(self, task_id: TaskId) -> None:
        self._ask(lambda store: store.reopen(self._consumer, task_id), None)

    def drop_copies(self) -> None:
        self._ask(lambda store: store.drop_copies(self._consumer), None)

    def forget(self, ids: Sequence[TaskId]) -> None:
        self._ask(lambda store: store.forget(self._consumer, ids), None)

    def parked_from(self, source: str, shard: int, position: int) -> frozenset[TaskId]:
        self._load_suspects()
        return self._store.ask(
            self._consumer, lambda store: store.parked_from(self._consumer, source, shard, position), frozenset()
        )

    def left_out(self) -> frozenset[TaskId]:
        """The ids of all tasks of the consumer that are parked and not due: a query may leave them out."""
        return self._ask(lambda store: store.parked_of(self._consumer), frozenset())

    def _ask(self, question: Callable[[ParkingStore], ResultT], nothing: ResultT) -> ResultT:
        return self._store.ask(self._consumer, question, nothing)
