"""The database of a consumer's own code: `self.database`, and the transactions that its tasks' settlements join.

Runs in workers and the foreground. The engine is made at first use: after the fork.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import TYPE_CHECKING, Any

from consumerd.events.forking import ForkableLock
from consumerd.model.bucket_sql import dialect_of
from consumerd.model.task import Task
from consumerd.sources.abilities import Transactional
from consumerd.sources.contract import Source
from consumerd.worker.code.keys import DATABASE_KEY
from consumerd.worker.tasks.running import RUNNING

if TYPE_CHECKING:
    from sqlalchemy import Engine


class OwnDatabase:
    """Of one worker. Made in the thread of its loop; its handlers may run in others."""

    def __init__(
        self,
        consumer: Any,  # the user's class, by its `config`
        source: Source,
        options: object,
        tasks_at_once: int = 1,
        note_committed: Callable[[], object] = lambda: None,
    ) -> None:
        """options: of the source, which has references resolved, where it has such a key.

        note_committed: told after each transaction that has settled its task.
        """
        self._consumer = consumer
        self._source = source
        self._options = options
        self._engine: Engine | None = None
        self._tasks_at_once = tasks_at_once
        self._note_committed = note_committed
        self._thread = threading.get_ident()
        self._turn = ForkableLock()

    @property
    def dialect(self) -> str:
        """Of what the key `database` holds; empty where that is not known."""
        return dialect_of(self._key())

    def engine(self) -> Engine:
        """The engine of the key `database`; raises UsageError or MissingExtraError."""
        with self._turn:
            if self._engine is None:
                from consumerd.database.engine import open_engine

                self._engine = open_engine(self._key(), kept=self._tasks_at_once)
            return self._engine

    def transaction(self, task: Task) -> AbstractContextManager[Any]:  # of SQLAlchemy's Connection
        """A transaction for the handler of this task, with whose end it is done."""
        if not isinstance(self._source, Transactional):
            kind = type(self._consumer).SOURCE
            raise RuntimeError(
                f"self.transaction() settles rows of a table or a query, and the tasks of {kind} stand in no database: "
                "use self.database.begin()"
            )
        running = RUNNING.get()
        thread = self._thread if running is None else running.thread
        if thread is None:
            raise RuntimeError(
                "self.transaction() waits for its database, and all tasks of this worker would wait with it on their "
                "one event loop: make handle_task a plain `def`, which `concurrency` runs in threads"
            )
        if thread != threading.get_ident():
            raise RuntimeError("self.transaction() belongs to the handler's own thread: begin it there")
        with self._turn:
            return self._noted(self._source.transaction(task))

    def is_settled(self, task: Task) -> bool:
        """Whether such a transaction has been committed for the task in hand."""
        return isinstance(self._source, Transactional) and self._source.is_settled(task)

    @contextmanager
    def _noted(self, transaction: AbstractContextManager[Any]) -> Iterator[Any]:
        with transaction as connection:
            yield connection
        self._note_committed()

    def close(self) -> None:
        """Close its connections."""
        if self._engine is not None:
            self._engine.dispose()
            self._engine = None

    def _key(self) -> object:
        return getattr(self._options, DATABASE_KEY, None) or self._consumer.config.get(DATABASE_KEY)
