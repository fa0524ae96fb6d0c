"""A parked task: kept in the parking store, waiting until it is due again, or dead until a person decides."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import NamedTuple

from consumerd.model.task import TaskId


class ParkedState(StrEnum):
    """waiting: due at `due_at`; dead: until a person decides; suspect: pending in its source, `crashes` counts."""

    WAITING = "waiting"
    DEAD = "dead"
    SUSPECT = "suspect"


@dataclass(frozen=True, slots=True)
class Entry:
    """What a source that gives its tasks again has to know of one that is parked.

    is_due: it waits, and its time has come; attempts, first_at, last_at: as of `ParkedTask`.
    """

    state: ParkedState
    is_due: bool
    attempts: int
    first_at: float
    last_at: float


class DueTask(NamedTuple):
    """A parked task that is due, without what is kept of it. has_copy: its payload is kept, too."""

    task_id: TaskId
    due_at: float
    has_copy: bool


@dataclass(frozen=True, slots=True)
class ParkedTask:
    """One row of the parking store. Times are seconds since the epoch.

    consumer: `group/name`; attempts: all that were made; payload: byte for byte as the source gave it;
    error: one line, traceback: what came before it, log: the last lines that its last attempt logged; all shortened and
    without secrets.
    """

    consumer: str
    task_id: TaskId
    source: str
    shard: int
    position: int
    offset: int
    state: ParkedState
    due_at: float | None
    attempts: int
    first_at: float
    last_at: float
    error: str
    traceback: str
    payload: bytes
    key: bytes | None = None
    headers: tuple[tuple[str, bytes | None], ...] = ()
    crashes: int = 0
    log: str = ""
