"""The shape of a configuration: `{group: [{module, class, configs: {…}}]}`, and one reserved table, `consumerd`.

The master knows the common keys only; a source's options and the consumer's own `Config` are validated in the
consumer's zygote. Values of common keys but `environment` are resolved here (`${ENV}`, `file:`); all others travel as
they are written.
"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from consumerd.config.execution import Execution
from consumerd.config.sizes import Size
from consumerd.model.identity import ConsumerName
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


class Entry(BaseModel):
    """One consumer's entry, as it is written: `module` and `class`, or `class` as `package.module:Class` alone."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    module: str | None = None
    class_: str = Field(alias="class")
    name: str | None = None
    configs: dict[str, Any] = Field(default_factory=dict)  # the user's own keys have any plain value


class ConsumerSettings(BaseModel):
    """One consumer's entry, loaded. `configs` is as written (defaults merged under it), nothing in it resolved.

    origin, path: where the entry stands, for sentences; directory: where its module and its relative files are found;
    has_module_key: whether the entry has a `module`, or names it in its `class`;
    defaulted: the keys of `configs` that come from `consumerd.defaults`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    group: str
    name: str
    target: str  # "package.module:Class"
    configs: dict[str, Any]  # the user's own keys have any plain value
    common: CommonKeys
    origin: str = ""
    path: tuple[str | int, ...] = ()
    directory: Path = Path()
    has_module_key: bool = True
    defaulted: frozenset[str] = frozenset()

    @property
    def full_name(self) -> ConsumerName:
        return ConsumerName(self.group, self.name)

    @property
    def execution(self) -> Execution:
        """How its processes are executed."""
        return Execution.of(self.common.model_dump(), self.directory)


class LogSettings(BaseModel):
    """format: `auto` writes for people on a terminal and JSON elsewhere; level: the lowest that is written."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    format: Literal["auto", "json", "console"] = "auto"
    level: Literal["debug", "info", "warning", "error"] = "info"


class Settings(BaseModel):
    """The `consumerd` table: what belongs to no consumer.

    parking: `embedded`, a database URL, or None (embedded, and `run` judges whether that is durable enough).
    defaults: merged under every consumer's `configs`. watch: reload when the configuration's file has changed.
    on_event: a command, which the master executes when a pool fails or recovers and when a task dies.
    state_dir: where `run` keeps its state, unless its caller names a directory; relative to the configuration's.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    parking: str | None = None
    state_dir: PathName | None = None
    stop_timeout: Duration = 25.0
    watch: bool = False
    on_event: list[PathName] = Field(default_factory=list)
    log: LogSettings = LogSettings()
    defaults: dict[str, Any] = Field(default_factory=dict)  # keys of `configs`, any plain value


class Document(BaseModel):
    """A whole configuration, loaded and valid. `origin` is the file, or `module:NAME`."""

    model_config = ConfigDict(frozen=True)

    origin: str
    directory: Path
    settings: Settings
    consumers: tuple[ConsumerSettings, ...]

    @property
    def state_dir(self) -> Path | None:
        """Where the configuration wants the state kept; None where it does not say."""
        return None if self.settings.state_dir is None else self.directory / self.settings.state_dir
