"""What `status` answers, as the master makes it, the command line reads it and the published schema describes it.

Times are seconds: `…_s` is a duration or an age, `at` and `since` are of the wall clock.
"""

from __future__ import annotations

import os
from typing import Annotated, Any

from msgspec import UNSET, Meta, Struct, UnsetType, field

from consumerd.model.exits import end_with
from consumerd.wire.control import call
from consumerd.wire.method import read_answer
from consumerd.wire.problems import PoolProblem
from consumerd.wire.schedules import ScheduleStatus


class Answered(Struct, frozen=True, kw_only=True):
    """What every part of the answer is."""


class ShardStatus(Answered, frozen=True):
    """How far a shard of the source is behind."""

    shard: Annotated[int, Meta(description="Its number; of Kafka, the partition.")]
    tasks: Annotated[int, Meta(description="How many tasks wait in it.")]
    oldest_s: Annotated[float | None, Meta(description="The age of the oldest unfinished task, if known.")]
    position: Annotated[int, Meta(description="Of Kafka the committed offset, of a table how many rows are done.")]


class Paused(Answered, frozen=True):
    """Since when, and by which user a pool is paused."""

    at: float
    by: str


class ParkedCounts(Answered, frozen=True):
    """How many tasks are parked, as a worker counted them."""

    waiting: int
    dead: int
    age_s: float


class ZygoteStatus(Answered, frozen=True):
    """The process that imports a consumer's code and forks its workers."""

    state: str
    since_s: float
    pid: int | None


class Scaling(Answered, frozen=True):
    """How the lag fills the range of `workers`."""

    min: int
    max: int
    target_seconds: float
    wanted: Annotated[int, Meta(description="Workers, within the range.")]
    needed: Annotated[int, Meta(description="Workers, as the lag alone asks for.")]
    reason: str


class Flag(Answered, frozen=True):
    """Something that a pool's tasks need and that is away: `source`, `store`, `destination`, or `starved`.

    `failing`: all its tasks die of one error. `settling`: rows that were handled cannot be settled.
    `standby` is no problem: another host has the consumer.
    """

    away: str
    since: float
    error: str


class LastError(Answered, frozen=True):
    """The last event of a pool that a human must look at, with its fields."""

    name: str
    fields: dict[str, Any]  # as each event has them
    at: float


class Culprit(Answered, frozen=True):
    """The task that a worker died of, where that is certain."""

    shard: int
    offset: int


class EndedTasks(Answered, frozen=True):
    """Tasks that a worker has ended, one after the other and alike: one, or those of a fast loop or a quick batch."""

    at: Annotated[float, Meta(description="When the last of them ended.")]
    outcome: Annotated[str, Meta(description="done, retried, dead, expired or put off.")]
    tasks: Annotated[int, Meta(description="How many they are.")]
    took_s: Annotated[float, Meta(description="How long each of them ran, with all its attempts in a row.")]
    is_about: Annotated[bool, Meta(description="Each has its share of the time of all: no clock is read between.")]
    shard: int
    first: Annotated[int, Meta(description="The offset of the first.")]
    last: Annotated[int, Meta(description="The offset of the last.")]
    id: Annotated[str | None, Meta(description="Of the last; a long one is cut in the middle.")]


class Recent(Answered, frozen=True):
    """What a worker's flight recorder holds."""

    ended: Annotated[list[EndedTasks], Meta(description="The newest first.")]
    torn: Annotated[int, Meta(description="Entries that were being written when they were read, or at its death.")]


class LastEnd(Answered, frozen=True):
    """How the last worker of a slot ended that nobody had asked to."""

    at: float
    pid: int | None
    generation: int
    end: str
    reason: str
    culprit: Culprit | None
    board: Annotated[dict[str, Any] | None, Meta(description="Its board at its end.")]  # read by people
    stacks: str
    stderr: str
    running: Annotated[list[str], Meta(description="The ids of the tasks that it was running.")] = []
    recent: Annotated[Recent | None, Meta(description="What it had ended before; null: it was not asked for.")] = None

    @property
    def how(self) -> str:
        """The end in words, with its reason."""
        return end_with(self.end, self.reason or self.stderr)


class TaskStatus(Answered, frozen=True):
    """A task that a worker runs, by the name that `consumerd cancel` takes."""

    task: str
    id: Annotated[str | None, Meta(description="Its id: of a row, its key is in it. null: it has none, or has ended.")]
    busy_s: Annotated[float, Meta(description="For how long at most: a fast loop reads no clock.")]


class WorkerStatus(Answered, frozen=True):
    """A slot of a pool and its worker. What the worker's board would say is missing where there is no worker.

    `task`, `busy_s`, `shard` and `offset` are of the task that has run for the longest time.
    """

    slot: int
    state: str
    since_s: float
    pid: int | None
    generation: int
    edition: int
    restarts: int
    is_worn: bool
    refused: Annotated[str, Meta(description="Why the system refuses it a process; empty where it does not.")]
    is_refused: Annotated[bool, Meta(description="The system has refused it a process several times in a row.")]
    starts_in_s: Annotated[float | None, Meta(description="null: it does not back off, or nobody knows when.")]
    stuck: Annotated[str | None, Meta(description="What it makes no progress in, as a sentence.")]
    last_end: LastEnd | None
    stuck_in: Annotated[str | None, Meta(description="task, loop, or stopped: by a signal.")] = None
    task: str | UnsetType | None = UNSET
    handled: int | UnsetType = UNSET
    failed: int | UnsetType = UNSET
    parked: int | UnsetType = UNSET
    unsettled: int | UnsetType = UNSET
    busy_s: float | UnsetType | None = UNSET
    shard: int | UnsetType | None = UNSET
    offset: int | UnsetType | None = UNSET
    running: Annotated[int | UnsetType, Meta(description="How many tasks it runs now.")] = UNSET
    at_once: Annotated[int | UnsetType, Meta(description="How many it may run at once, by now.")] = UNSET
    hold: Annotated[str | UnsetType, Meta(description="What keeps its next task from starting; or nothing.")] = UNSET
    tasks: Annotated[list[TaskStatus] | UnsetType, Meta(description="Each of them, where that was asked for.")] = UNSET
    recent: Annotated[Recent | UnsetType, Meta(description="What it has ended last, where that was asked for.")] = UNSET
    memory_bytes: int | UnsetType | None = UNSET
    flags: list[str] | UnsetType = UNSET


class PoolStatus(Answered, frozen=True):
    """One consumer: its workers, what they have done since the master started, and what is wrong."""

    name: str
    target: str = field(name="class")
    source: str | None
    state: str
    since_s: float
    edition: Annotated[int, Meta(description="What its workers are to run: each restart or reload makes a new one.")]
    established: Annotated[int, Meta(description="The newest edition of which a worker has proved itself.")]
    rejected: Annotated[int, Meta(description="The newest edition that did not hold up.")]
    zygote: ZygoteStatus
    is_paused: bool
    workers_configured: Annotated[int | dict[str, Any], Meta(description="A number, or the range.")]  # as written
    workers_pinned: int | None
    workers_wanted: int
    workers_helping: Annotated[int | None, Meta(description="So many have something to do; null: all.")]
    workers_running: int
    workers_stalled: int
    scaling: Scaling | None
    workers_finished: int
    handled: int
    failed: int
    parked: Annotated[int, Meta(description="How often a task was parked; parked_now has how many are.")]
    unsettled: Annotated[int, Meta(description="Tasks that were taken and are not durably settled, handled or not.")]
    parked_now: ParkedCounts | None
    suspects: int
    restarts: int
    lag: Annotated[
        list[ShardStatus],
        Meta(description="How far each shard is behind; empty where nobody can know, and then it is no zero."),
    ]
    lag_age_s: Annotated[float | None, Meta(description="Seconds since the lag was measured; null: never.")]
    later: Annotated[int | None, Meta(description="How many more tasks have a time that has not come.")]
    flags: list[Flag]
    reason: str
    traceback: str
    last_error: LastError | None
    problems: Annotated[list[str], Meta(description="Why it is not healthy, a sentence each.")]
    workers: list[WorkerStatus]
    paused: Paused | None
    throttled: Annotated[str, Meta(description="Why its throttle holds tasks back; empty while it does not.")] = ""
    schedule: ScheduleStatus | None = None
    wrong: Annotated[list[PoolProblem], Meta(description="`problems`, each with its kind.")] = []
    clock_ahead_s: Annotated[float | None, Meta(description="Of its database, of this host; null: not known.")] = None
    limits: Annotated[list[str], Meta(description="Those that it lists.")] = []
    ordered: Annotated[str | None, Meta(description="key: of each key one task runs at a time.")] = None
    coalesced: Annotated[int, Meta(description="Of the handled tasks, those that were finished with another.")] = 0
    asked: Annotated[int, Meta(description="Retries that handlers asked for; `failed` has none of them.")] = 0

    @property
    def held(self) -> str:
        """What holds its tasks back on purpose: `paused`, `throttled`, or nothing."""
        return "paused" if self.is_paused else "throttled" if self.throttled else ""

    @property
    def lag_tasks(self) -> int | None:
        """How many tasks wait, in all shards; None where nobody knows."""
        return sum(shard.tasks for shard in self.lag) if self.lag else None

    @property
    def lag_s(self) -> float | None:
        """The age of the oldest unfinished task: 0 where none waits, None where nobody knows."""
        known = (shard.oldest_s for shard in self.lag if shard.oldest_s is not None)
        return max(known, default=0.0 if self.lag_tasks == 0 else None)

    @property
    def parked_tasks(self) -> int:
        """How many of its tasks are parked, as counted last; 0 where nobody has counted yet."""
        return 0 if self.parked_now is None else self.parked_now.waiting + self.parked_now.dead

    def per_second(self, count: str, before: PoolStatus | None, apart_s: float) -> float | None:
        """By how much a counter has risen since an earlier look; None where the master has started anew meanwhile."""
        risen = -1 if before is None else getattr(self, count) - getattr(before, count)
        return None if risen < 0 or apart_s <= 0 else float(risen / apart_s)


class LimitStatus(Answered, frozen=True):
    """How a limit, or one key of it, is used by all workers of this master."""

    limit: str
    by: Annotated[str | None, Meta(description="The field of the record that it counts by.")]
    key: Annotated[str | None, Meta(description="null: of all keys together.")]
    at_once: int | None
    per_second: float | None
    running: int
    waiting: Annotated[int, Meta(description="How many tasks are fetched and wait for it.")]
    placeless: Annotated[int, Meta(description="How many of them since too many keys are in use at once.")]
    first_waits_s: float | None
    hosts: Annotated[int | None, Meta(description="How many hosts share it; the numbers are this host's part.")]
    is_unshared: Annotated[bool, Meta(description="Nothing starts: the store by which hosts share it is away.")]


class Status(Answered, frozen=True):
    """All that a master runs."""

    version: str
    pid: int
    config: str
    started_at: float
    state: Annotated[str, Meta(description="running or stopping")]
    is_healthy: bool
    problems: list[str]
    pools: list[PoolStatus]
    disabled: list[str]
    limits: Annotated[list[LimitStatus], Meta(description="Each limit, and each key of one that is in use.")]

    def pool(self, name: str) -> PoolStatus | None:
        """The pool with this full name, where it runs."""
        return next((pool for pool in self.pools if pool.name == name), None)


def status_of(answer: object) -> Status:
    """An answer to `status`, read. WireError where it comes from a master of another version."""
    return read_answer(answer, Status, "status")


def ask_status(socket_path: str | os.PathLike[str]) -> Status:
    """The status of the master that listens there. Raises what `call` raises."""
    return status_of(call(socket_path, "status"))
