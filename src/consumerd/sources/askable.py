"""What people and producers ask of a source besides its workers: where a task is, what comes next, to take a task.

Runs in probes. Who asks joins no group, claims nothing, commits nothing and handles nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import TYPE_CHECKING, Any, Protocol

from consumerd.model.task import TaskId

if TYPE_CHECKING:
    from consumerd.parking.store import ParkingStore


class TaskState(StrEnum):
    """How far a task has come.

    done: it is finished. running: a worker runs it. claimed: a worker has taken it, and may not have begun. waiting: it
    is due later, or is tried again later. pending: it is due, and its turn has not come. dead: it is parked until a
    person decides. absent: its source has no such task (yet). unknown: nobody can tell.
    """

    DONE = "done"
    RUNNING = "running"
    CLAIMED = "claimed"
    WAITING = "waiting"
    PENDING = "pending"
    DEAD = "dead"
    ABSENT = "absent"
    UNKNOWN = "unknown"


@dataclass(frozen=True, slots=True)
class Whereabouts:
    """Where a task is, as far as its source knows.

    told: the evidence, as a sentence without its period.
    ids: the ids that the task may have on a board and in the parking store.
    facts: the same evidence for programs; plain values.
    """

    state: TaskState
    told: str
    ids: tuple[TaskId, ...] = ()
    facts: Mapping[str, object] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Upcoming:
    """A task that comes next.

    place: what `where` takes for it, such as `0:42`.
    note: what is to be known of it besides, such as since when it waits; perhaps empty.
    """

    place: str
    id: TaskId | None
    payload: bytes
    key: bytes | None = None
    note: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """A task that is to be sent: the bytes of its record, and what a Kafka message has besides."""

    payload: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()


@dataclass(frozen=True)
class AskContext:
    """What a source is asked with.

    name: the consumer's full name.
    options: the source's own pydantic model, validated, secrets resolved.
    store: the parking store; None where nothing was ever parked in it.
    consumer: an instance of the user's class, which has run `pre_consume`, until the block ends.
    may_call: a query may be called of which nobody has said whether it claims the rows that it returns.
    """

    name: str
    options: Any  # each source casts it to its own model
    store: ParkingStore | None
    consumer: Callable[[], AbstractContextManager[Any]]  # the user's class, known by its hooks only
    may_call: bool = False


class Askable(Protocol):
    """Each call may raise SourceAwayError, SourceRefusedError, and UsageError for what this source cannot be asked."""

    def where(self, task: str) -> Whereabouts:
        """Where the task is that a person names so: by its place, or by its id."""

    def peek(self, limit: int) -> Sequence[Upcoming]:
        """At most so many of the tasks that come next, in the order in which workers take them."""

    def send(self, messages: Sequence[Message]) -> Sequence[str | None]:
        """Put tasks where this source reads; all of them are there when it returns. The place of each, for `where`;
        None where it is not known.
        """
