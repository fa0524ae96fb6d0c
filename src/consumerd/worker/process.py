"""A worker's process, from its fork to its exit code. Runs in workers.

The order matters: signal handlers first, for which a TERM has waited; then the slot's lock, so that no two
generations run; then the threads, the user's instance, its source.
"""

from __future__ import annotations

import fcntl
import signal
import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

import setproctitle

from consumerd import events
from consumerd.clock import SYSTEM_CLOCK, monotonic
from consumerd.errors import ConsumerdError
from consumerd.events.facts import Fact
from consumerd.events.folding import Folding
from consumerd.events.listeners import Listeners
from consumerd.model.connection_errors import connection_error
from consumerd.model.contract import is_overridden
from consumerd.model.exits import WorkerExit
from consumerd.model.failure import describe
from consumerd.model.interrupts import Interrupt
from consumerd.model.shards import Shard
from consumerd.sources.contract import ShardLag
from consumerd.wire.board import WorkerState
from consumerd.wire.board_writer import BoardWriter
from consumerd.wire.channel import Channel
from consumerd.wire.inherited import IGNORED_SIGNALS
from consumerd.wire.messages import Cleared, Lag, ParkedNow, Ready
from consumerd.worker.ending import TaskThreads, run_exit_handlers
from consumerd.worker.link import MasterLink
from consumerd.worker.orders import LagDuty, Orders
from consumerd.worker.runtime import Runtime, Surroundings
from consumerd.worker.seat import Prepared, Seat
from consumerd.worker.stacks import write_stacks_when_asked
from consumerd.worker.tasks.amendments import Amendments, Redaction
from consumerd.worker.tasks.forked_child import leave_if_child, watch_forks
from consumerd.worker.tasks.interrupts import Interrupts
from consumerd.worker.tasks.memory_limit import limit_memory
from consumerd.worker.tasks.suspects import Told
from consumerd.worker.timer import StopDeadline, Timer

LOCK_LOOK_S = 0.05
LAG_SLOT = 0
CRASHED = 1


def run_worker(seat: Seat, prepared: Prepared) -> int:
    """Be the worker of this seat until it ends; the exit code (`model.exits`)."""
    interrupts = Interrupts(is_paused=seat.is_paused)
    deadline = StopDeadline(seat.consumer.common.stop_timeout or seat.settings.stop_timeout)
    listen_to_signals(interrupts, deadline)
    signal.pthread_sigmask(signal.SIG_UNBLOCK, IGNORED_SIGNALS)
    write_stacks_when_asked(seat.board_fd)
    watch_forks(interrupts)
    BoardWriter(seat.board.words).starting(seat.generation)
    link = MasterLink(Channel(seat.channel))
    settle_interval_s = seat.consumer.common.settle_interval
    redaction = Redaction(prepared.redact)
    orders = Orders(Told(seat.suspects), Amendments(redaction), LagDuty(is_on=seat.slot == LAG_SLOT))
    Timer(
        interrupts,
        seat.board.words,
        deadline,
        link=link,
        settle_interval_s=settle_interval_s,
        orders=orders,
    ).start()
    if not _take_slot(seat, deadline):
        return deadline.drained
    log = Folding(prepared.log.bound_to({"worker_id": seat.slot}))
    emit = locked_emitter(Listeners([log, link.listen]), redaction)
    station = Station(seat, prepared, link, interrupts, deadline, emit, redaction, orders, TaskThreads())
    exit_code = station.consume()
    station.end()
    return exit_code


def listen_to_signals(interrupts: Interrupts, deadline: StopDeadline) -> None:
    """TERM and INT ask for a stop, by the stop timeout; a second one changes nothing. HUP is the master's."""

    def stop(number: int, frame: object) -> None:
        del number, frame
        interrupts.set(Interrupt.STOP)
        deadline.start()

    signal.signal(signal.SIGTERM, stop)
    signal.signal(signal.SIGINT, stop)
    signal.signal(signal.SIGHUP, signal.SIG_IGN)


def locked_emitter(listeners: Listeners, redact: Callable[[str], str]) -> Callable[[Fact], None]:
    """The listeners, told by one thread at a time, and of no secret: not the log, not the master."""
    lock = threading.Lock()

    def emit(fact: Fact) -> None:
        texts = {name: redact(value) for name, value in fact.fields.items() if isinstance(value, str)}
        with lock:
            listeners(replace(fact, fields=fact.fields | texts))

    return emit


def _take_slot(seat: Seat, deadline: StopDeadline) -> bool:
    """Lock the slot, waiting for an earlier generation to leave it; false when a stop was asked for meanwhile."""
    while deadline.at_s is None:
        try:
            fcntl.lockf(seat.lock_fd, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except (BlockingIOError, PermissionError):
            SYSTEM_CLOCK.sleep(LOCK_LOOK_S)
        else:
            return True
    return False


@dataclass(frozen=True)
class Station:
    """A worker whose handlers, lock and threads stand: where the user's instance consumes."""

    seat: Seat
    prepared: Prepared
    link: MasterLink
    interrupts: Interrupts
    deadline: StopDeadline
    emit: Callable[[Fact], None]
    redaction: Redaction
    orders: Orders
    task_threads: TaskThreads

    def consume(self) -> int:
        """Make the user's instance and let it consume; how that ended, as an exit code."""
        loaded, store = self.prepared.loaded, self.prepared.store
        try:
            limit_memory(self.seat.consumer.common.memory_limit)
            configs = loaded.configs | {"workers": self.seat.workers}
            consumer = loaded.consumer_class(self.seat.slot, **configs)
            runtime = Runtime(consumer, self._surroundings())
            if is_overridden(type(consumer), "get_process_name"):
                name = "get_process_name"
                runtime.hooks.call(name, lambda: setproctitle.setproctitle(consumer.get_process_name()), None)
            consumer._runtime = runtime  # noqa: SLF001 - the base class keeps it there for this module
            consumer.consume()
            store.close(self.deadline.at_s or monotonic())
        except ConsumerdError as error:
            self.emit(events.consume_failed(error=str(error)))
            return error.exit_code
        except BaseException as error:  # noqa: BLE001 - the top of a process: hooks and sources are the user's
            leave_if_child(error)
            failure = describe(error, self.redaction)
            self.emit(events.consume_failed(error=failure.error, traceback=failure.traceback))
            return WorkerExit.SOURCE_REFUSED if connection_error(error) else CRASHED
        end = runtime.exit
        self.emit(events.worker_drained(end=end.name.lower(), handled=self.seat.board.read().handled))
        return end

    def end(self) -> None:
        """Give what tasks have begun the rest of the stop's time; the timer ends the process behind it."""
        self.deadline.start()
        assert self.deadline.at_s is not None
        left = self.task_threads.join(self.deadline.at_s)
        if left:
            self.emit(events.threads_cut(threads=", ".join(left)))
        run_exit_handlers()

    def _surroundings(self) -> Surroundings:
        seat = self.seat
        return Surroundings(
            name=str(seat.consumer.full_name),
            common=seat.consumer.common,
            shard=Shard(seat.slot, seat.workers),
            member=seat.member,
            lease_owner=f"{seat.member}#{seat.generation}",
            options=self.prepared.loaded.options,
            source=self.prepared.loaded.kind.make(),
            store=self.prepared.store,
            interrupts=self.interrupts,
            words=seat.board.words,
            deadline=self.deadline,
            emit=self.emit,
            redact=self.redaction,
            on_ready=self._tell_ready,
            orders=self.orders,
            tell_cleared=lambda task_id: self.link.post(Cleared(task_id)),
            leave_when_full=self._leave_full,
            renew=lambda: self.interrupts.set(Interrupt.STALE),
            is_wary=seat.is_wary,
            report_lag=self._report_lag,
            report_parked=lambda waiting, dead: self.link.post(ParkedNow(waiting, dead)),
        )

    def _tell_ready(self) -> None:
        self.task_threads.begin()
        BoardWriter(self.seat.board.words).is_in(WorkerState.RUNNING)
        self.link.post(Ready())  # the master logs it

    def _leave_full(self) -> None:
        """A worker that has reached its limit leaves, and another takes its slot: what filled it is in its memory."""
        limit = self.seat.consumer.common.memory_limit
        if limit is not None:
            self.emit(events.worker_full(memory_limit_bytes=limit))
            self.interrupts.set(Interrupt.OUT_OF_MEMORY)

    def _report_lag(self, lag: tuple[ShardLag, ...]) -> None:
        shards = tuple((shard.shard, shard.tasks, shard.oldest_s, shard.position) for shard in lag)
        complaints = tuple(dict.fromkeys(shard.complaint for shard in lag if shard.complaint))
        blocked = frozenset(shard.shard for shard in lag if shard.is_blocked)
        self.link.post(Lag(shards, sum(shard.later for shard in lag), complaints, blocked))
