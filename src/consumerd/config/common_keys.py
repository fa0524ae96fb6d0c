"""The common keys: those of `configs` that every consumer may have.

A new one is a field here and the code that uses it: the JSON Schema and the manual's table come from the fields.
"""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from consumerd.config.keys.breaker import BreakerKeys
from consumerd.config.keys.coalescing import Coalesce
from consumerd.config.keys.concurrency import Concurrency
from consumerd.config.keys.contradictions import contradictions
from consumerd.config.keys.throttle import Throttle
from consumerd.config.keys.traces import Traces
from consumerd.config.keys.worker_range import WorkerRange
from consumerd.config.sizes import LONGEST_S, Duration, Size
from consumerd.model.slots import MOST_LANES, MOST_WORKERS

ProcessName = Annotated[str, Field(min_length=1, max_length=200, pattern=r"^[^\x00-\x1f\x7f]+$")]
PathName = Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$")]
ErrorName = Annotated[str, Field(min_length=1, pattern=r"^[\w.:]+$")]
FullName = Annotated[str, Field(pattern=r"^[^/]+/[^/]+$")]

MASTERS = "the master's alone"
"""Marks a key on which the master alone acts: a change of it restarts nobody."""


class CommonKeys(BaseModel):
    """The keys of `configs` that every consumer may have."""

    model_config = ConfigDict(frozen=True, extra="ignore", strict=True)

    workers: Annotated[Annotated[int, Field(ge=1, le=MOST_WORKERS)] | WorkerRange, MASTERS] = Field(
        default=1,
        description="How many worker processes run this consumer on this master, 1 to 4096; or a table `{min, max, "
        "target_seconds}`, within which the master changes the number itself.",
    )
    process_name: ProcessName | None = Field(
        default=None,
        description="How the titles of its processes begin, as `ps` shows them: `gop: worker 3 billing/Prices`. "
        "Left out: `consumerd`.",
    )
    task_retry_times: int | None = Field(
        default=None,
        ge=0,
        description="How often a failed task is tried again at once; each retry waits the class's "
        "`RETRY_BASIC_INTERVAL`, 0.1 seconds, times the number of retries before it. Left out: the class's "
        "`DEFAULT_RETRY_TIMES`, which is 0.",
    )
    reload_interval: Annotated[float, Field(ge=0, le=LONGEST_S)] | None = Field(
        default=None,
        description="Every so many seconds `reload_config` is called, between two tasks; it is also called at once "
        "when a reload has changed a key of the class's `LIVE_CONFIGS`. Left out: the class's `RELOAD_INTERVAL`, "
        "which is 300.",
    )
    back_off_time: Duration | None = Field(
        default=None,
        description="Seconds before the first deferred retry of a task that has used up its immediate ones. The delay "
        "doubles with each further retry, and each is up to a fifth shorter, by chance, so that tasks that failed "
        "together do not come back together. Left out: no deferred retry, the task is parked as dead.",
    )
    max_back_off_time: Duration | None = Field(
        default=None, description="The longest delay before a deferred retry, in seconds. Left out: 30 days."
    )
    expire_time: Duration | None = Field(
        default=None,
        description="A task that has not succeeded so many seconds after its first attempt is parked as dead. "
        "Left out: it is retried without end.",
    )
    retry_on: list[ErrorName] | None = Field(
        default=None,
        description='Errors that are retried, as names of their classes: `["requests.Timeout", "ConnectionError"]`. '
        "A task whose handler raises any other is dead at once. Left out: the class's `retry_on`; with neither, all "
        "errors are retried.",
    )
    dead_on: list[ErrorName] | None = Field(
        default=None,
        description="Errors that are not retried, as `retry_on` names them: the task is parked as dead at once. Of two "
        "classes that fit, in these lists, the nearer one counts. Left out: the class's `dead_on`.",
    )
    retry_share: Annotated[float, Field(gt=0, le=1)] = Field(
        default=0.2,
        description="How much of each worker tasks that were put off may take when they are due again, while new ones "
        "wait: of its time, or, with `concurrency`, of the tasks that it runs at once; up to 1. While no new task "
        "waits, they may take all.",
    )
    same_error_limit: int = Field(
        default=20,
        ge=0,
        le=1000,
        description="So many new tasks in a row that would die of one and the same error, none done in between, pause "
        "a worker: it tries one task now and then, gives none up, and goes on when one is done. 0: never.",
    )
    throttle: Annotated[Throttle | None, MASTERS] = Field(
        default=None,
        description="[A table](#throttle) of hours or of a file that hold tasks back. Left out: nothing does.",
    )
    stop_timeout: Annotated[Duration | None, MASTERS] = Field(
        default=None,
        description="How many seconds this consumer's workers may take to leave before they are killed. "
        "Left out: `consumerd.stop_timeout`.",
    )
    crash_limit: int = Field(
        default=3,
        ge=1,
        le=1000,
        description="A task that has killed so many workers, one after the other, is parked as dead; 1 to 1000.",
    )
    concurrency: Annotated[int, Field(ge=1, le=MOST_LANES)] | Concurrency | Literal["auto"] = Field(
        default=1,
        description="How many tasks a worker runs at once, 1 to 1024: in threads, or, where `handle_task` is `async "
        "def`, on one event loop. The next task starts whenever one has ended. `auto`, or a table `{min, max}`: each "
        "worker begins with 4, or with `min` where that is more, and [finds the number "
        "itself](writing-a-consumer.md#as-many-tasks-at-once-as-help).",
    )
    ordered: Literal["key"] | None = Field(
        default=None,
        description='With `concurrency`: `"key"` runs the tasks of one key one at a time and in the order of their '
        "source; a task that is retried, also by `Retry(after=…)`, holds up those of its key alone. The key is a "
        "message's own, or what the consumer's `task_key(record)` returns. Left out: tasks run in any order.",
    )
    destination: Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="The field of a record that names what its task needs, such as a game server: while that is down, "
        "the tasks that need it wait, and the others go on. Left out: what the consumer's `task_destination(record)` "
        "returns; without that hook, nothing.",
    )
    breaker: BreakerKeys = Field(
        default=BreakerKeys(),
        description="[A table](#breaker-as-a-table) that says when a destination of tasks is taken for down.",
    )
    batch_size: int = Field(
        default=100,
        ge=1,
        le=10_000,
        description="With `handle_batch`: how many tasks it is given at most, 1 to 1024. Of a claimed table: how many "
        "rows one claim takes at most, too, 1 to 10000.",
    )
    batch_linger: Annotated[float, Field(ge=0, le=LONGEST_S)] = Field(
        default=0.1,
        description="With `handle_batch`: how many seconds after its first task a batch waits for further ones; 0: it "
        "is what is there.",
    )
    batch_across: bool = Field(
        default=False,
        description="With `handle_batch`: whether tasks of several shards, of Kafka: partitions, go into one batch.",
    )
    coalesce: Coalesce | None = Field(
        default=None,
        description="With `handle_batch`: [a table](#coalesce) that says which tasks stand for others. Left out: none "
        "does.",
    )
    limits: list[str] = Field(
        default_factory=list,
        description='The limits that hold for its tasks, by their names in `consumerd.limits`: `["channel", "total"]`. '
        "A task that must wait takes no lane and burns no attempt.",
    )
    settle_interval: Duration = Field(
        default=1.0, description="Every so many seconds finished tasks are settled with the source, between two tasks."
    )
    max_unsettled: int = Field(
        default=10_000,
        ge=1,
        description="How many tasks a worker may have taken that are not durably settled yet; 1 settles each task. "
        "With `concurrency`, a worker also fetches nothing while it has payloads of 64 MiB in hand.",
    )
    task_timeout: Duration = Field(
        default=300.0,
        description="How many seconds one attempt at a task may take; the worker of one that takes longer is "
        "replaced. `self.progress()` in the handler begins the time anew.",
    )
    soft_timeout: Duration | None = Field(
        default=None,
        description="An attempt that takes longer than so many seconds, less than `task_timeout`, has failed: "
        "`TaskInterrupted` is raised in the handler, or its coroutine is cancelled. Left out: no limit.",
    )
    payload_limit: int = Field(
        default=1_048_576,
        ge=1,
        le=16 * 1_048_576,
        description="A payload of more bytes is parked as dead without being decoded; at most 16777216 (16 MiB).",
    )
    restart: Annotated[Literal["on-failure", "always"], MASTERS] = Field(
        default="on-failure",
        description="What becomes of a worker whose `iterate_task` has returned: `on-failure` leaves its slot "
        "finished, `always` starts it again.",
    )
    start: Literal["auto", "fork", "exec"] = Field(
        default="auto",
        description="How workers are started. `fork`: from one process that has imported the code. `exec`: each as a "
        "fresh process, which imports the code itself. `auto`: forked, unless the import leaves a thread or a "
        "connection behind.",
    )
    max_unavailable: Annotated[int | None, MASTERS] = Field(
        default=None,
        ge=1,
        description="How many slots a restart, a reload or recycling may leave without a worker at once. "
        "Left out: a tenth of the workers, at least 1.",
    )
    max_tasks: Annotated[int | None, MASTERS] = Field(
        default=None,
        ge=1,
        description="A worker that has handled about so many tasks is replaced by a new one. Left out: no limit.",
    )
    max_memory: Annotated[Size | None, MASTERS] = Field(
        default=None,
        description="A worker with about so much memory of its own is replaced by a new one: a number of bytes, or a "
        'text such as `"512MiB"`. Left out: no limit.',
    )
    max_age: Annotated[Duration | None, MASTERS] = Field(
        default=None,
        description="A worker that has run for about so many seconds is replaced by a new one. Left out: no limit.",
    )
    memory_limit: Size | None = Field(
        default=None,
        description="A worker cannot allocate more memory than this: beyond it an allocation fails. A number of bytes, "
        'or a text such as `"1GiB"`. Left out: no limit.',
    )
    after: Annotated[list[FullName], MASTERS] = Field(
        default_factory=list,
        description="Consumers that must have been healthy once before this one starts, by their names "
        '`group/name`: `["billing/Prices"]`.',
    )
    essential: Annotated[bool, MASTERS] = Field(
        default=False,
        description="Whether `consumerd run` ends with exit code 1 when this pool has failed for five minutes and "
        "nothing of it runs.",
    )
    traces: Traces | None = Field(
        default=None, description="[A table](#traces): which tasks are [traced](traces.md). Left out: none."
    )
    enabled: Annotated[bool, MASTERS] = Field(
        default=True,
        description="Whether the pool is started. `status` shows one that is not as disabled; a reload turns it on "
        "and off.",
    )
    environment: dict[str, str] = Field(
        default_factory=dict,
        description='Environment variables of its processes, as a table of texts: `{TZ = "UTC"}`. References in it '
        "are resolved in the process itself.",
    )
    env_file: PathName | None = Field(
        default=None,
        description="A file of lines `KEY=VALUE`, environment variables of its processes; relative to the "
        "configuration's directory.",
    )
    directory: PathName | None = Field(
        default=None,
        description="The working directory of its processes, relative to the configuration's. Left out: the master's.",
    )
    user: Annotated[int, Field(ge=0)] | Annotated[str, Field(min_length=1)] | None = Field(
        default=None,
        description="The user, by name or uid, as whom its processes run; only root can name another than itself. "
        "Left out: the master's.",
    )
    nice: int | None = Field(
        default=None,
        ge=-20,
        le=19,
        description="The scheduling priority of its processes, from -20, the most favourable, to 19. "
        "Left out: the master's.",
    )

    @property
    def at_once(self) -> Concurrency:
        """Within what the number of tasks is that a worker runs at once; both bounds are the same where it is fixed."""
        if isinstance(self.concurrency, int):
            return Concurrency(min=self.concurrency, max=self.concurrency)
        return Concurrency() if self.concurrency == "auto" else self.concurrency

    @property
    def scaling(self) -> WorkerRange | None:
        """Within what the number of workers is changed by the master; None where it is fixed."""
        return self.workers if isinstance(self.workers, WorkerRange) else None

    @property
    def fewest_workers(self) -> int:
        """The number of workers that the pool has at first."""
        return self.workers.min if isinstance(self.workers, WorkerRange) else self.workers

    @property
    def most_workers(self) -> int:
        return self.workers.max if isinstance(self.workers, WorkerRange) else self.workers

    @model_validator(mode="after")
    def _go_together(self) -> Self:
        if (sentence := next(contradictions(self), None)) is not None:
            raise ValueError(sentence)
        return self


COMMON_KEYS = tuple(CommonKeys.model_fields)

MASTERS_KEYS = frozenset(key for key, info in CommonKeys.model_fields.items() if MASTERS in info.metadata)
"""Keys of `configs` on which the master alone acts."""
