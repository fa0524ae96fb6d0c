"""The common keys: those of `configs` that every consumer may have, and how they are read.

The master knows these alone; a source's keys and the consumer's own are read in the consumer's processes.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from dataclasses import replace
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from consumerd.config.execution import AS_WRITTEN, Execution
from consumerd.config.problems import Problem
from consumerd.config.redaction import Redactor
from consumerd.config.secrets import Resolved, Resolver
from consumerd.config.sizes import Size
from consumerd.config.tables import Place, keys_of, read_table
from consumerd.model.slots import MOST_WORKERS

LONGEST_S = 10 * 366 * 24 * 60 * 60
"""The longest duration that can be configured: ten years. Timers of the system overflow somewhere beyond."""

Duration = Annotated[float, Field(gt=0, le=LONGEST_S)]
ProcessName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
PathName = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$")]
FullName = Annotated[str, Field(pattern=r"^[^/]+/[^/]+$")]


class WorkerRange(BaseModel):
    """`workers` as a table: the master changes the number between `min` and `max`, so that a backlog is worked off
    within `target_seconds`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    min: int = Field(default=1, ge=1, le=MOST_WORKERS)
    max: int = Field(ge=1, le=MOST_WORKERS)
    target_seconds: Duration = 30.0

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> Self:
        if self.max < self.min:
            raise ValueError(f"max ({self.max}) must be at least min ({self.min})")
        return self

    def __str__(self) -> str:
        return f"{self.min} to {self.max}"


class CommonKeys(BaseModel):
    """The keys of `configs` that every consumer may have. Durations in seconds.

    workers: the number of slots of the pool, or its bounds; process_name: the title of its processes.
    task_retry_times: immediate retries. back_off_time, max_back_off_time, expire_time: deferred retries.
    task_timeout: of one attempt; the worker of one that takes longer is replaced.
    crash_limit: a task that has killed so many workers, one after the other, is parked as dead.
    restart: `always` restarts a worker whose `iterate_task` returned; `on-failure` leaves its slot finished.
    max_unavailable: how many slots a restart, a reload or recycling may empty at once; None: one, or a tenth.
    max_tasks, max_memory, max_age: what a worker may come to before it is replaced; memory_limit: what it can't exceed.
    after: consumers, `group/name`, that must be healthy before this one starts. essential: when it has failed for
    five minutes, `run` ends with exit code 1. enabled: false keeps the pool from being started.
    start: whether workers are forked from one process that has imported the code, or executed, so that each imports
    it; `auto` executes them where the import leaves threads or connections behind.
    environment, env_file, directory, user, nice: how its processes are executed (`config.execution`); the texts of
    `environment` are as written, unresolved.
    """

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    workers: Annotated[int, Field(ge=1, le=MOST_WORKERS)] | WorkerRange = 1
    process_name: ProcessName | None = None
    task_retry_times: int | None = Field(default=None, ge=0)
    reload_interval: Annotated[float, Field(ge=0, le=LONGEST_S)] | None = None
    back_off_time: Duration | None = None
    max_back_off_time: Duration | None = None
    expire_time: Duration | None = None
    stop_timeout: Duration | None = None
    crash_limit: int = Field(default=3, ge=1, le=1000)
    settle_interval: Duration = 1.0
    max_unsettled: int = Field(default=10_000, ge=1)
    task_timeout: Duration = 300.0
    payload_limit: int = Field(default=1_048_576, ge=1, le=16 * 1_048_576)
    restart: Literal["on-failure", "always"] = "on-failure"
    start: Literal["auto", "fork", "exec"] = "auto"
    max_unavailable: int | None = Field(default=None, ge=1)
    max_tasks: int | None = Field(default=None, ge=1)
    max_memory: Size | None = None
    max_age: Duration | None = None
    memory_limit: Size | None = None
    after: list[FullName] = Field(default_factory=list)
    essential: bool = False
    enabled: bool = True
    environment: dict[str, str] = Field(default_factory=dict)
    env_file: PathName | None = None
    directory: PathName | None = None
    user: Annotated[int, Field(ge=0)] | Annotated[str, Field(min_length=1)] | None = None
    nice: int | None = Field(default=None, ge=-20, le=19)

    @property
    def scaling(self) -> WorkerRange | None:
        """Within what the number of workers is changed by the master; None where it is fixed."""
        return self.workers if isinstance(self.workers, WorkerRange) else None

    @property
    def fewest_workers(self) -> int:
        """So many a pool has at first."""
        return self.workers.min if isinstance(self.workers, WorkerRange) else self.workers

    @property
    def most_workers(self) -> int:
        return self.workers.max if isinstance(self.workers, WorkerRange) else self.workers

    @model_validator(mode="after")
    def _delays_are_in_order(self) -> Self:
        first, largest = self.back_off_time, self.max_back_off_time
        if first is not None and largest is not None and largest < first:
            raise ValueError(f"max_back_off_time ({largest:g}) must be at least back_off_time ({first:g})")
        return self


COMMON_KEYS = keys_of(CommonKeys)


def read_common_keys(
    configs: Mapping[str, Any], place: Place, resolver: Resolver
) -> tuple[CommonKeys, tuple[Problem, ...]]:
    """The common keys of `configs`, which may hold others; with problems, their default values."""
    common = {key: configs[key] for key in configs if key in COMMON_KEYS}
    resolved = resolve_configs(common, resolver)
    problems = [place.problem(sentence, *steps) for steps, sentence in resolved.failures]
    for key in {str(steps[0]) for steps, _ in resolved.failures}:
        del resolved.value[key]
    if isinstance(resolved.value.get("workers"), dict):
        problems += _read_range(resolved, place)
    keys, wrong = read_table(CommonKeys, resolved.value, place, resolved=[str(steps[0]) for steps in resolved.places])
    redact = Redactor(resolved.secrets).redact
    ordered = place.in_order([*problems, *wrong], common)
    return keys or CommonKeys(), tuple(problem.redacted(redact) for problem in ordered)


def _read_range(resolved: Resolved, place: Place) -> tuple[Problem, ...]:
    """Read `workers` where it is a table, by itself: its references are within it. One with mistakes is left out."""
    referenced = [str(steps[1]) for steps in resolved.places if steps[0] == "workers" and len(steps) > 1]
    written = resolved.value.pop("workers")
    found, problems = read_table(WorkerRange, written, place.within("workers"), resolved=referenced)
    if found is not None:
        resolved.value["workers"] = found.model_dump()
    return problems


def resolve_configs(configs: Mapping[str, Any], resolver: Resolver) -> Resolved:
    """`configs` with every reference resolved but those that the execution of a process has resolved, or will."""
    resolved = resolver.resolve({key: value for key, value in configs.items() if key not in AS_WRITTEN})
    value = {key: resolved.value.get(key, configs[key]) for key in configs}
    return replace(resolved, value=value)


def execution_problems(common: CommonKeys, place: Place, resolver: Resolver) -> list[Problem]:
    """What keeps processes from being executed as valid keys say: here, now, and by this user."""
    execution = Execution.of(common.model_dump(), resolver.directory)
    return [place.problem(sentence, *steps) for steps, sentence in execution.complaints(resolver.environ, os.geteuid())]
