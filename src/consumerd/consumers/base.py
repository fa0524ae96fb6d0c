"""The base of all consumers: the post's names, thin, on the contract in `model.contract`.

`LoginConsumer(0, **configs).consume()` runs one consumer in the foreground, with no master: that is how to debug.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from contextlib import AbstractContextManager
from functools import cached_property
from typing import Any, ClassVar

from consumerd.model.batch_task import BatchTask
from consumerd.model.contract import default_hook
from consumerd.model.shards import Shard
from consumerd.worker.runtime import Runtime


class BaseConsumer:
    """A consumer of tasks from a generator of its own: write `iterate_task` and `handle_task`.

        class MailConsumer(BaseConsumer):
            def iterate_task(self):
                yield from enumerate(mailbox.unread())

            def handle_task(self, offset, record):
                answer(record)

    SLEEP_TIME: seconds between two looks at a source that had nothing.
    DEFAULT_RETRY_TIMES: immediate retries of a failed task, where `task_retry_times` is not configured.
    DEFAULT_WORKER_COUNT: workers, where `workers` is not configured.
    RETRY_BASIC_INTERVAL: seconds; an immediate retry waits this × the number of retries before it.
    RELOAD_INTERVAL: seconds between two calls of `reload_config`, where `reload_interval` is not configured.
    retry_on, dead_on: exceptions that are retried, and those after which a task is dead at once, where `configs` says
    nothing of them. None: all are retried.
    LIVE_CONFIGS: keys of `configs` of your own that may change while a worker runs. A reload that changes no others
    restarts nobody: `self.config` has the new values, and `reload_config` is called at once.
    """

    SOURCE: ClassVar[str] = "generator"

    SLEEP_TIME: float = 1
    DEFAULT_RETRY_TIMES = 0
    DEFAULT_WORKER_COUNT = 1
    RETRY_BASIC_INTERVAL = 0.1
    RELOAD_INTERVAL: float = 60 * 5
    LIVE_CONFIGS: ClassVar[Collection[str]] = ()
    retry_on: Collection[type[BaseException]] | type[BaseException] | None = None
    dead_on: Collection[type[BaseException]] | type[BaseException] | None = None

    _runtime: Runtime | None = None

    def __init__(self, worker_id: int, **kwargs: Any) -> None:  # the user's own keys have any value
        """worker_id: the slot, from 0; kwargs: the entry's `configs`."""
        self.worker_id = worker_id
        self.config = kwargs
        workers = self.config.get("workers", self.DEFAULT_WORKER_COUNT)
        self.worker_count = workers.get("min", 1) if isinstance(workers, dict) else workers
        self.task_retry_times = self.config.get("task_retry_times", self.DEFAULT_RETRY_TIMES)
        self.reload_interval = self.config.get("reload_interval", self.RELOAD_INTERVAL)
        self.consume_client: Any = None  # a facade over the source's client, where it has one
        self.number_of_consumed = 0

    def consume(self) -> None:
        """Consume until asked to stop. A worker calls it; called by hand, it runs in the foreground."""
        if self._runtime is not None:
            self._runtime.run()
        else:
            from consumerd.worker.foreground import consume_in_foreground

            consume_in_foreground(self)

    # What the user writes

    @default_hook
    def iterate_task(self) -> Iterator[tuple[int, Any]]:
        """Yield (offset, record) for each task. `self.can_stop_consume()` becomes true when the worker should stop."""
        raise NotImplementedError(f"{type(self).__name__} must define iterate_task")

    @default_hook
    def handle_task(self, offset: int, record: Any) -> object:
        """Handle one task. Returns or raises `Retry` or `Dead` to decide its outcome; anything else means done."""
        raise NotImplementedError(f"{type(self).__name__} must define handle_task")

    @default_hook
    def handle_batch(self, tasks: list[BatchTask[Any]]) -> object:
        """In the place of `handle_task`: handle many tasks at once. A task is done when it returns, unless it says
        otherwise: by `task.fail(error)`, `task.retry(after)`, `task.dead(reason)`, or by a list of what became of each.
        """
        raise NotImplementedError(f"{type(self).__name__} must define handle_batch")

    # Hooks

    @default_hook
    def pre_consume(self) -> None:
        """Called once in the worker, before the first task."""

    @default_hook
    def post_consume(self) -> None:
        """Called once in the worker, after the last task."""

    @default_hook
    def pre_handle_task(self) -> None:
        """Called before each task."""

    @default_hook
    def post_handle_task(self) -> None:
        """Called after each task, whatever became of it."""

    @default_hook
    def reload_config(self) -> None:
        """Called before the first task, then between tasks every `reload_interval` seconds, and when a key of
        `LIVE_CONFIGS` has changed."""

    @default_hook
    def can_stop_consume(self) -> bool:
        """Whether to stop; asked before each task. Overridden, a true answer finishes this worker's slot."""
        return self._runtime is not None and self._runtime.may_stop()

    @default_hook
    def get_process_name(self) -> str:
        """The title of the worker's process."""
        name = self.config.get("process_name") or "consumerd"
        return f"{name}: worker {self.worker_id} {type(self).__name__}"

    @default_hook
    def task_id(self, record: Any) -> object:
        """What makes a record itself: its `id`, as a key or an attribute; None where it has none.

        Kafka and claimed tables have identities of their own and do not ask.
        """
        if isinstance(record, Mapping):
            return record.get("id")
        if hasattr(record, "keys"):  # a row of a driver
            return record["id"] if "id" in record.keys() else None  # noqa: SIM118 - a row's `in` looks at its values
        return getattr(record, "id", None)

    @default_hook
    def task_key(self, record: Any) -> object:
        """With `ordered = "key"`: tasks for which this returns the same run one at a time, in their source's order.

        Any value that can be a key of a dictionary; tasks with None wait for nobody. Left out: the message's own key.
        """

    @default_hook
    def coalesce_key(self, record: Any) -> object:
        """With `coalesce`, in the place of its `by`: records for which this returns the same belong together.

        Any value that can be a key of a dictionary; a record with None stands for itself.
        """

    @default_hook
    def task_destination(self, record: Any) -> object:
        """What a task needs, as a short text: while that is down its tasks wait, and the others go on. None: nothing.

        The key `destination` names a field of the record instead.
        """

    @default_hook
    def limit_key(self, name: str, record: Any) -> object:
        """By what the limit of this name counts a task: tasks for which this returns the same share the limit.

        Left out, or None: by the field that the limit names, or all tasks together.
        """

    @default_hook
    def on_parked(self, record: Any, outcome: object) -> None:
        """Called when a row of `get_next_batch` is parked: mark it, so that the query leaves it out.

        outcome: `Dead` or `Expired`; `Retry` for a row that waits to be tried again; `Skipped` for a dead row that the
        query still returns.
        """

    @default_hook
    def on_released(self, records: list[Any]) -> None:
        """Called at a stop with the rows that `get_next_batch` has claimed and nobody has begun: give them back."""

    # What a handler may ask

    @property
    def attempt(self) -> int:
        """The number of the running attempt at this task, from 1, over all retries."""
        return self._running.current_task().attempts + 1

    @property
    def first_seen(self) -> float | None:
        """When this task was first attempted, seconds since the epoch; None in its first attempt."""
        return self._running.current_task().first_at

    @property
    def key(self) -> bytes | None:
        """The message's key, where the source has keys."""
        return self._running.current_task().key

    @property
    def headers(self) -> tuple[tuple[str, bytes | None], ...]:
        """The message's headers, where the source has them."""
        return self._running.current_task().headers

    def progress(self) -> None:
        """Say that a long task goes on: its `task_timeout`, and the time after which it is flagged, begin anew."""
        if self._runtime is not None:
            self._runtime.progress()

    @property
    def shard(self) -> Shard:
        """The part of the keys that this worker takes. A `get_next_batch` that reads it divides the rows itself."""
        return self._running.shard_read_by_user()

    def parked_ids(self) -> list[str]:
        """The ids of this consumer's tasks that are parked, waiting or dead, as `task_id` gave them, as text."""
        return self._running.parked_ids()

    @cached_property
    def database(self) -> Any:  # SQLAlchemy's Engine; or whatever a class of the user's sets
        """SQLAlchemy's engine for the key `database` of `configs`: opened at first use, in the worker, and closed after
        `post_consume`. Each connection is tested before it is used. A class may set an attribute of this name instead.
        """
        return self._running.database.engine()

    def transaction(self) -> AbstractContextManager[Any]:  # of SQLAlchemy's Connection
        """In a handler of a table or a query: `with self.transaction() as connection:`, on the key `database`. With the
        end of the block both are committed, what it wrote and that the task is done; if it raises, neither is.
        """
        return self._running.database.transaction(self._running.current_task())

    @property
    def _running(self) -> Runtime:
        if self._runtime is None:
            raise RuntimeError(f"{type(self).__name__} is not consuming: ask while a task is handled")
        return self._runtime
