"""One worker's runtime: the user's instance, its source, its loop and threads, from opening to draining.

Runs in workers and the foreground. The order of a life: pre_consume → open → ready → loop → drain → post_consume.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from consumerd.clock import SYSTEM_CLOCK, Clock, monotonic
from consumerd.config.common_keys import CommonKeys
from consumerd.database.claims import Lease
from consumerd.errors import SourceAwayError, StoreAwayError
from consumerd.events.facts import Fact
from consumerd.model.exits import WorkerExit
from consumerd.model.interrupts import Interrupt
from consumerd.model.shards import Shard
from consumerd.model.task import Task, TaskId
from consumerd.parking.thread import StoreThread
from consumerd.sources.contract import ShardLag, Source, SourceContext
from consumerd.sources.decoding import limited
from consumerd.wire.board import WorkerState
from consumerd.wire.board_writer import BoardWriter
from consumerd.worker.keeper import Keeper, OwnWatch, lag_interval_s
from consumerd.worker.orders import Orders
from consumerd.worker.tasks.attempt import Attempts
from consumerd.worker.tasks.breaker import Breaker
from consumerd.worker.tasks.due import DueTasks
from consumerd.worker.tasks.handler import Handlers, for_any_record, needs_general_loop, record_validator, validating
from consumerd.worker.tasks.hooks import Hooks
from consumerd.worker.tasks.interrupts import Interrupts
from consumerd.worker.tasks.loop import Loop
from consumerd.worker.tasks.memory_limit import Fullness
from consumerd.worker.tasks.parked_index import StoreIndex
from consumerd.worker.tasks.parking import Parking
from consumerd.worker.tasks.parts import LoopSettings, Parts
from consumerd.worker.tasks.policy import retry_policy
from consumerd.worker.tasks.retry_thread import RetryThread, StandIn
from consumerd.worker.tasks.suspects import Suspects, SuspectSettings
from consumerd.worker.timer import StopDeadline

LEASE_S = 30.0
DRAIN_MARGIN_S = 1.0
"""What is left of the stop's time for closing the source."""


@dataclass(frozen=True)
class Surroundings:
    """What a runtime is put into: by a worker's process, or by the foreground.

    name: `group/name`; member: None for a guest without a slot of its own; lease_owner: who holds its claims.
    report_lag: is told the lag while that is this worker's duty; report_parked: how many tasks wait, and are dead.
    leave_when_full: called after a task for which the memory was not enough.
    renew: has another process take this one's place; is_wary: the one before it left because nothing answered.
    wait: how the loop idles; None: until an interrupt comes.
    orders: what the master says; tell_cleared: lets it know of a suspect that is none any more.
    """

    name: str
    common: CommonKeys
    shard: Shard
    member: str | None
    lease_owner: str
    options: Any  # the source's own model
    source: Source
    store: StoreThread
    interrupts: Interrupts
    words: memoryview
    deadline: StopDeadline
    emit: Callable[[Fact], None]
    redact: Callable[[str], str]
    on_ready: Callable[[], None]
    report_lag: Callable[[tuple[ShardLag, ...]], None] = lambda lag: None
    report_parked: Callable[[int, int], None] = lambda waiting, dead: None
    leave_when_full: Callable[[], None] = lambda: None
    renew: Callable[[], None] = lambda: None
    is_wary: bool = False
    clock: Clock = SYSTEM_CLOCK
    wait: Callable[[float], None] | None = None
    orders: Orders = field(default_factory=Orders.of_nobody)
    tell_cleared: Callable[[TaskId], None] = lambda task_id: None


class Runtime:
    """What a consumer's `consume()` runs, and what the consumer may ask of its worker."""

    def __init__(self, consumer: Any, surroundings: Surroundings) -> None:  # the user's class, known by its hooks
        consumer_class: type = type(consumer)
        self._consumer = consumer
        self._surroundings = surroundings
        self._board = BoardWriter(surroundings.words, surroundings.clock)
        self._suspects = _suspects(surroundings, self._board)
        self._breaker = Breaker(
            surroundings.emit,
            surroundings.clock,
            renew=surroundings.renew,
            is_wary=surroundings.is_wary,
            is_kept=surroundings.source.traits.gives_away,
        )
        self._index = StoreIndex(surroundings.name, surroundings.store, self._suspects)
        self._fullness = Fullness(surroundings.leave_when_full)
        self.hooks = self._hooks_of(consumer)
        self._validate = record_validator(consumer_class)
        self._user_reads_shard = False
        self._loop: Loop | None = None
        self._wait = surroundings.wait or surroundings.interrupts.wait
        self._close_handler: Callable[[], None] = lambda: None
        self.exit = WorkerExit.DRAINED

    # What a consumer may ask

    def may_stop(self) -> bool:
        """Whether the worker was asked to stop. Where its own generator asks, what is due is done meanwhile."""
        if self._loop is not None:
            self._loop.attend_meanwhile()
        return self._surroundings.deadline.at_s is not None or (self._loop is not None and self._loop.is_stopping)

    def current_task(self) -> Task:
        """The task that is being handled; RuntimeError between tasks."""
        if self._loop is None:
            raise RuntimeError("no task is being handled now: ask from within handle_task")
        return self._loop.current_task()

    def progress(self) -> None:
        """The running attempt makes progress: whoever watches it dates it from now. Nothing between tasks."""
        self._board.attempt_goes_on()

    def shard_read_by_user(self) -> Shard:
        """The worker's part of the keys; from now on the user's query divides the rows."""
        self._user_reads_shard = True
        return self._surroundings.shard

    def parked_ids(self) -> list[str]:
        """The ids of the consumer's parked tasks, as its `task_id` gave them."""
        prefix = f"{self._surroundings.name}:"
        return sorted(task_id.removeprefix(prefix) for task_id in self._index.all_parked())

    # What its source may ask, as `sources.contract.Worker`

    def interrupt(self) -> None:
        """Make the loop look up from its batch."""
        self._surroundings.interrupts.set(Interrupt.REVOKED)

    def wait(self, seconds: float) -> None:
        """Sleep, until an interrupt comes."""
        self._wait(seconds)

    def attend(self, away: SourceAwayError | StoreAwayError | None) -> bool:
        """Do what the loop does between two fetches; false when the worker is to stop."""
        assert self._loop is not None  # nothing is fetched before it is there
        self._loop.note_away(away)
        return self._loop.between_batches()

    def is_replaced(self) -> bool:
        """Whether another process takes this one's place."""
        return not (self._surroundings.deadline.is_last or self.exit is WorkerExit.FINISHED)

    def user_reads_shard(self) -> bool:
        """Whether the user's query divides the rows."""
        return self._user_reads_shard

    def call_hook(self, name: str, hook: Callable[[], Any], otherwise: Any) -> Any:  # hooks return anything
        """Call a hook of the user's; where it raises, that is reported."""
        return self.hooks.call(name, hook, otherwise)

    # Its life

    def run(self) -> None:
        """Consume until asked to stop. What `pre_consume`, the user's generator and the source raise passes through,
        after the drain."""
        try:
            loop = self.open()
            self._consume(loop)
        finally:
            self.shut()

    def shut(self) -> None:
        """What must come last, however it ended: the handler's event loop closed, `post_consume`."""
        self._close_handler()
        self.hooks.call("post_consume", self._consumer.post_consume, None)

    def open(self) -> Loop:
        """Everything up to the first turn: `pre_consume`, the loop made, the source opened unless it is away."""
        parts = self._surroundings
        if self._consumer.consume_client is None:
            self._consumer.consume_client = getattr(parts.source, "facade", None)
        self._consumer.pre_consume()
        handlers = Handlers(self._consumer)
        self._close_handler = handlers.close
        loop_parts = self._parts = self._loop_parts(handlers)
        self._load_suspects(loop_parts.parking)
        self._due = loop_parts.due
        if parts.member is not None:
            self._due.release_first(f"{parts.member}#")
        self._loop = Loop(loop_parts, self._loop_settings(), self._context())
        self._loop.open_source()
        return self._loop

    def _load_suspects(self, parking: Parking) -> None:
        """Those of an earlier master. While the store is away they are not known; the master counts all the same."""
        try:
            self._suspects.load()
        except StoreAwayError as error:
            parking.note_away(error)

    def _consume(self, loop: Loop) -> None:
        parts = self._surroundings
        keeper = Keeper(
            parts.source,
            self._due,
            duty=parts.orders.lag_duty,
            report_lag=parts.report_lag,
            report_parked=parts.report_parked,
            is_open=lambda: loop.is_open,
            is_overdue=self._is_overdue(),
            lag_interval_s=lag_interval_s(parts.common.scaling),
            emit=parts.emit,
            redact=parts.redact,
        )
        keeper.start()
        retries = self._retry_thread(loop)
        parts.on_ready()
        try:
            self.exit = loop.run()
        finally:
            self._drain(loop, keeper, retries)

    def _retry_thread(self, loop: Loop) -> RetryThread | None:
        """For a generator, which may wait for its next task for ever."""
        if not self._surroundings.source.traits.gives_away:
            return None
        thread = RetryThread(
            loop,
            self._parts,
            lambda: self.hooks.call("pre_consume", self._make_stand_in, None),
            is_stopping=lambda: self._surroundings.deadline.at_s is not None,
            redact=self._surroundings.redact,
        )
        thread.start()
        return thread

    def _make_stand_in(self) -> StandIn:
        consumer = type(self._consumer)(self._consumer.worker_id, **self._consumer.config)
        consumer._runtime = self  # noqa: SLF001 - as of the first
        consumer.pre_consume()
        consumer.config = self._consumer.config  # live keys change in it
        handlers, hooks = Handlers(consumer), self._hooks_of(consumer)
        hooks.reload_config()

        def close() -> None:
            handlers.close()
            hooks.call("post_consume", consumer.post_consume, None)

        return StandIn(for_any_record(consumer, handlers, self._surroundings.emit), hooks, close)

    def _hooks_of(self, consumer: Any) -> Hooks:  # the user's class
        parts = self._surroundings
        return Hooks(
            consumer,
            parts.orders.amendments,
            emit=parts.emit,
            redact=parts.redact,
            clock=parts.clock,
            fullness=self._fullness,
        )

    def _is_overdue(self) -> Callable[[], bool]:
        """Whether the running attempt is; in the foreground, where nobody replaces anybody, none ever is."""
        parts = self._surroundings
        if parts.member is None:
            return lambda: False
        return OwnWatch(parts.words, parts.common.task_timeout, parts.clock).is_overdue

    def _drain(self, loop: Loop, keeper: Keeper, retries: RetryThread | None) -> None:
        """Settle what is finished, park what can be parked, leave; all by the one deadline of the stop."""
        parts = self._surroundings
        self._board.is_in(WorkerState.DRAINING)
        parts.deadline.start()
        deadline = parts.deadline.at_s
        assert deadline is not None
        if retries is not None:
            retries.close(deadline - DRAIN_MARGIN_S - monotonic())
        if loop.is_open:
            loop.drain(deadline - DRAIN_MARGIN_S)
        keeper.close(min(1.0, deadline - monotonic()))
        if loop.is_open:
            parts.source.close(deadline)

    def _loop_parts(self, handlers: Handlers) -> Parts:
        parts = self._surroundings
        attempts = self._attempts(for_any_record(self._consumer, handlers, parts.emit))
        parking = Parking(parts.name, parts.store, emit=parts.emit, clock=parts.clock, on_parked=self._suspects.clear)
        lease = Lease(parts.lease_owner, LEASE_S)
        decode = validating(limited(parts.source.decode, parts.common.payload_limit), self._validate)
        due = DueTasks(
            parts.name,
            parts.store,
            parking,
            attempts,
            self._suspects,
            self._breaker,
            source=parts.source,
            lease=lease,
            decode=decode,
            board=self._board,
            emit=parts.emit,
            clock=parts.clock,
        )
        return Parts(
            source=parts.source,
            handle=handlers.task,
            hooks=self.hooks,
            attempts=attempts,
            parking=parking,
            due=due,
            suspects=self._suspects,
            breaker=self._breaker,
            renew=parts.renew,
            interrupts=parts.interrupts,
            wait=self._wait,
            board=self._board,
            emit=parts.emit,
            clock=parts.clock,
        )

    def _attempts(self, handle: Callable[..., object]) -> Attempts:
        parts = self._surroundings
        return Attempts(
            handle,
            retry_policy(self._consumer, parts.common),
            self.hooks,
            self._breaker,
            retries_elsewhere=parts.source.traits.gives_away,
            wait=self._wait,
            progress=self.progress,
            emit=parts.emit,
            redact=parts.redact,
            clock=parts.clock,
            fullness=self._fullness,
        )

    def _loop_settings(self) -> LoopSettings:
        common = self._surroundings.common
        return LoopSettings(
            settle_interval_s=common.settle_interval,
            max_unsettled=common.max_unsettled,
            is_general=needs_general_loop(type(self._consumer)),
            reload_interval_s=float(self._consumer.reload_interval),
            validate=self._validate,
            stays_for_retries=self._surroundings.source.traits.gives_away and common.restart != "always",
        )

    def _context(self) -> SourceContext:
        parts = self._surroundings
        return SourceContext(
            name=parts.name,
            consumer=self._consumer,
            options=parts.options,
            shard=parts.shard,
            member=parts.member,
            lease_owner=parts.lease_owner,
            max_unsettled=parts.common.max_unsettled,
            payload_limit_bytes=parts.common.payload_limit,
            parked=self._index,
            worker=self,
            emit=parts.emit,
            clock=parts.clock,
        )


def _suspects(parts: Surroundings, board: BoardWriter) -> Suspects:
    settings = SuspectSettings(parts.name, parts.common.crash_limit, parts.orders.told, parts.tell_cleared)
    return Suspects(settings, parts.store, board, emit=parts.emit, clock=parts.clock)
