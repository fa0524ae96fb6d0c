"""One worker that runs: the user's instance, its source, its loop and threads, from opening to draining.

Runs in workers and the foreground. The order of a life: pre_consume → open → ready → loop → drain → post_consume.
A worker's process, the foreground, `consumerd task` and the tests each make a context, a source, a store and a link to
a master, and leave the rest to `Runtime`.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from functools import partial
from threading import get_ident
from typing import Any

from consumerd.clock import monotonic
from consumerd.errors import SourceAwayError, StoreAwayError
from consumerd.model.exits import WorkerExit
from consumerd.model.shards import Shard
from consumerd.model.task import Task
from consumerd.parking.thread import StoreThread
from consumerd.sources.contract import Source, SourceContext
from consumerd.wire.board import WorkerState
from consumerd.wire.messages import Ready
from consumerd.worker.assembly import Assembly
from consumerd.worker.attempts.handler import Handlers
from consumerd.worker.attempts.hooks import Fullness, Hooks
from consumerd.worker.attempts.tracer import Tracer
from consumerd.worker.keeper import Keeper
from consumerd.worker.own_database import OwnDatabase
from consumerd.worker.tasks.context import Link, WorkerContext
from consumerd.worker.tasks.handling import BatchHandling
from consumerd.worker.tasks.interrupts import Interrupt
from consumerd.worker.tasks.loop import Loop
from consumerd.worker.tasks.parked_rows import StoreIndex
from consumerd.worker.tasks.retry_thread import RetryThread, StandIn
from consumerd.worker.tasks.running import RUNNING
from consumerd.worker.tasks.suspects import Suspects

DRAIN_MARGIN_S = 1.0
"""What is left of the stop's time for closing the source."""


class Runtime:
    """What a consumer's `consume()` runs, and what the consumer may ask of its worker."""

    def __init__(
        self,
        context: WorkerContext,
        consumer: Any,  # the user's class, known by its hooks
        source: Source,
        store: StoreThread,
        link: Link,
        begin_traces: Callable[[], Tracer | None] = lambda: None,
    ) -> None:
        """begin_traces: gives what traces its tasks, once `pre_consume` has returned; None: nothing does."""
        self._context = context
        self._consumer = consumer
        self.source = source
        self._store = store
        self._link = link
        self._begin_traces = begin_traces
        self._tracer: Tracer | None = None
        self._fullness = Fullness(context)
        self._suspects = Suspects(context, store, link)
        self._parked = StoreIndex(context.name, store, self._suspects.load)
        self.hooks = Hooks(context, consumer, link, self._fullness)
        self.database = OwnDatabase(
            consumer, source, context.options, context.common.at_once.max, context.board.committed
        )
        self._close_handler: Callable[[], None] = lambda: None
        self._user_reads_shard = self._is_querying = False
        self.shard = context.shard
        self._loop: Loop | None = None
        self._thread = get_ident()
        self.exit = WorkerExit.DRAINED
        consumer._runtime = self  # noqa: SLF001 - the base class keeps it there for us

    # What a consumer may ask

    def may_stop(self) -> bool:
        """Whether the worker was asked to stop. Where its own generator asks, what is due is done meanwhile."""
        if self._loop is not None and self.source.traits.gives_away:
            self._loop.attend_in_source()
        return self._context.deadline.has_begun() or (self._loop is not None and self._loop.is_stopping)

    def current_task(self) -> Task:
        """The task that is being handled; RuntimeError between tasks."""
        if self._loop is None:
            raise RuntimeError("no task is being handled now: ask from within handle_task")
        return self._loop.current_task()

    def task_of_line(self) -> str | None:
        """The id of the task that this thread or coroutine handles, for a line that it logs; None where there is none.

        What another thread logs belongs to no task.
        """
        if self._loop is not None and (RUNNING.get() is not None or get_ident() == self._thread):
            with suppress(RuntimeError):  # between tasks, or several at once
                return self._loop.current_task().id
        return None

    def progress(self) -> None:
        """The running attempt makes progress: whoever watches it dates it from now. Nothing between tasks."""
        running = RUNNING.get()
        lane = self._context.board.lane if running is None else running.lane
        lane.attempt_goes_on()

    def shard_read_by_user(self) -> Shard:
        """The worker's part of the keys; a query that reads it divides the rows from then on."""
        self._user_reads_shard = self._user_reads_shard or self._is_querying
        return replace(self.shard, dialect=self.database.dialect)

    def parked_ids(self) -> list[str]:
        """The ids of the consumer's parked tasks, as its `task_id` gave them."""
        prefix = f"{self._context.name}:"
        return sorted(task_id.removeprefix(prefix) for task_id in self._parked.left_out())

    # What its source may ask, as `sources.contract.Worker`

    def interrupt(self) -> None:
        """Make the loop look up from its batch."""
        self._context.interrupts.set(Interrupt.REVOKED)

    def wait(self, seconds: float, descriptor: int | None = None) -> None:
        """Sleep, until an interrupt comes, or something to read."""
        self._context.interrupts.wait(seconds, descriptor)

    def attend(self, away: SourceAwayError | StoreAwayError | None) -> bool:
        """Do what the loop does between two fetches; false when the worker is to stop."""
        assert self._loop is not None  # nothing is fetched before it is there
        self._parts.gate.note_source(away)
        return self._loop.attend_in_source()

    def go_on(self) -> bool:
        """Go on for a moment with what is in hand; false where nothing is."""
        assert self._loop is not None  # as above
        return self._loop.go_on_in_source()

    def note_store(self, away: StoreAwayError | None) -> None:
        """The parking store did not answer its source, or has."""
        self._parts.gate.note_store(away)

    def is_replaced(self) -> bool:
        """Whether another process takes this one's place."""
        return not (self._context.deadline.is_last or self.exit is WorkerExit.FINISHED)

    def query(self, read: Callable[[], list[object]]) -> list[object]:
        """Call what runs the user's query."""
        self._is_querying = True
        try:
            return read()
        finally:
            self._is_querying = False

    def user_reads_shard(self) -> bool:
        return self._user_reads_shard

    def call_hook(self, name: str, hook: Callable[[], Any], otherwise: Any) -> Any:  # hooks return anything
        """Call a hook of the user's; where it raises, that is reported."""
        return self.hooks.call(name, hook, otherwise)

    # Its life

    def run(self) -> None:
        """Consume until asked to stop. What hooks and the source raise passes through after the drain."""
        try:
            self._consume(self.open())
        finally:
            self.shut()

    def shut(self) -> None:
        """What must come last, however it ended: the handler's event loop closed, `post_consume`, its database."""
        self.close_handler()
        self.hooks.call("post_consume", self._consumer.post_consume, None)
        self.database.close()

    def close_handler(self) -> None:
        """The event loop on which the handler's coroutines run, where there is one, is closed."""
        self._close_handler()

    def open(self) -> Loop:
        """Everything up to the first turn: `pre_consume`, the loop made, the source opened unless it is away."""
        if self._consumer.consume_client is None:
            self._consumer.consume_client = getattr(self.source, "facade", None)
        self._consumer.pre_consume()
        self._tracer = self._begin_traces()
        self._assembled = self._assembly()
        self._parts = self._assembled.parts()
        self._handling = self._assembled.handling(self._parts)
        self._loop = Loop(self._context, self._parts, self._handling, self._source_context())
        try:
            self._suspects.load()
        except StoreAwayError as error:  # they are not known meanwhile; the master counts all the same
            self._parts.settling.outage.note(error)
        self._loop.open_source()
        return self._loop

    def _consume(self, loop: Loop) -> None:
        keeper = Keeper(self._context, self.source, self._parts.due, self._link, is_open=lambda: loop.is_open)
        keeper.start()
        retries = self._retry_thread(loop)
        self._context.task_threads.begin()
        self._context.board.is_in(WorkerState.RUNNING)
        self._link.tell(Ready())
        try:
            with self._context.attempt_log.kept(self._context.board.lane):
                self.exit = loop.run()
        finally:
            self._drain(loop, keeper, retries)

    def _drain(self, loop: Loop, keeper: Keeper, retries: RetryThread | None) -> None:
        """Settle what is finished, park what can be parked, leave; all by the one deadline of the stop."""
        self._context.board.is_in(WorkerState.DRAINING)
        deadline = self._context.deadline.start()
        if retries is not None:
            retries.close(deadline - DRAIN_MARGIN_S - monotonic())
        if loop.is_open:
            self._parts.settling.drain(deadline - DRAIN_MARGIN_S)
            with suppress(StoreAwayError):  # its claims end with their lease
                self._parts.due.say_unheard()
        keeper.close(min(1.0, deadline - monotonic()))
        if loop.is_open:
            self.source.close(deadline)
        if self._tracer is not None:
            self._tracer.close(deadline)

    # What it is made of

    def _assembly(self) -> Assembly:
        handlers = Handlers(self._consumer, self._context.emit)
        self._close_handler = handlers.close
        return Assembly(
            context=self._context,
            consumer=self._consumer,
            source=self.source,
            store=self._store,
            hooks=self.hooks,
            handlers=handlers,
            suspects=self._suspects,
            fullness=self._fullness,
            is_settled=self.database.is_settled,
            tracer=self._tracer,
        )

    def _source_context(self) -> SourceContext:
        context = self._context
        return SourceContext(
            name=context.name,
            consumer=self._consumer,
            options=context.options,
            shard=context.shard,
            member=context.member,
            lease_owner=context.lease_owner,
            max_unsettled=context.common.max_unsettled,
            payload_limit_bytes=context.common.payload_limit,
            parked=self._parked,
            worker=self,
            emit=context.emit,
            clock=context.clock,
            engine=self.database.engine,
        )

    # The thread that tries what is due while a generator, perhaps for ever, waits for its next task

    def _retry_thread(self, loop: Loop) -> RetryThread | None:
        handling, is_stopping = self._handling, self._context.deadline.has_begun
        if not (self.source.traits.gives_away and isinstance(handling, BatchHandling)):
            return None

        def make(wait: Callable[[float], object]) -> StandIn | None:
            return self.hooks.call("pre_consume", partial(self._make_stand_in, wait), None)

        thread = RetryThread(self._context, loop, self._parts, handling, make, is_stopping=is_stopping)
        thread.start()
        return thread

    def _make_stand_in(self, wait: Callable[[float], object]) -> StandIn:
        consumer = type(self._consumer)(self._consumer.worker_id, **self._consumer.config)
        consumer._runtime = self  # noqa: SLF001 - as of the first
        consumer.pre_consume()
        consumer.config = self._consumer.config  # live keys change in it
        handlers = Handlers(consumer, self._context.emit)
        hooks = Hooks(self._context, consumer, self._link, self._fullness)

        def close() -> None:
            handlers.close()
            hooks.call("post_consume", consumer.post_consume, None)

        attempts = self._assembled.stand_in_attempts(consumer, handlers, hooks, self._parts.breaker, wait)
        return StandIn(attempts, hooks, close)
