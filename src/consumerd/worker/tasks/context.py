"""What everything in a worker shares: who the worker is, how it is set, what it reports by. Runs in workers and the
foreground.
"""

from __future__ import annotations

import os
import weakref
from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, Generic, TypeVar

from consumerd.clock import SYSTEM_CLOCK, Clock
from consumerd.config.common_keys import CommonKeys
from consumerd.config.shape import LimitBy
from consumerd.errors import SystemRefusedError
from consumerd.events.facts import Event, Fact, Listener
from consumerd.events.forking import ForkableLock
from consumerd.events.listeners import Listeners
from consumerd.model.failure import describe
from consumerd.model.shards import Shard
from consumerd.model.suspects import Suspect
from consumerd.wire.board import Board
from consumerd.wire.board_writer import BoardWriter
from consumerd.wire.messages import Message
from consumerd.wire.shared_table import HOLDERS, SharedTable
from consumerd.worker.attempts.attempt_log import AttemptLog
from consumerd.worker.attempts.interruption import Interruptions
from consumerd.worker.tasks.interrupts import Interrupt, Interrupts, StopDeadline
from consumerd.worker.tasks.threads import TaskThreads


class Redaction:
    """Takes secrets out of texts. Secrets that become known later are added. Callable from any thread."""

    def __init__(self, redact: Callable[[str], str] = str) -> None:
        self._all = [redact]

    def __call__(self, text: str) -> str:
        for redact in self._all:
            text = redact(text)
        return text

    def add(self, redact: Callable[[str], str]) -> None:
        """Take out what this function takes out as well: what the worker knew before, it may still write."""
        self._all.append(redact)


@dataclass(frozen=True)
class WorkerContext:
    """What one worker's parts share.

    name: the consumer, as `group/name`.
    shard: the worker's part of the keys; its index is the number of the slot.
    member: identifies the slot among all hosts, `<id>.<group>.<name>.<slot>`; None where no master has started this
    process, and none starts another one in its place.
    lease_owner: who holds the claims of this process.
    common: the common keys, as they are read in the consumer's own environment.
    options: the source's own model of its keys.
    limits: the limits that hold for its tasks, by name, in the order in which they are listed.
    words: the worker's board.
    deadline: by when the worker has to be gone, once it was asked to stop.
    emit: reports a fact, without secrets; any thread.
    redact: takes secrets out of a text.
    is_wary: the process that had this slot before left because nothing answered its tasks.
    task_threads: those that begin once the worker is ready.
    interruptions: by which a running attempt is ended from without.
    attempt_log: what handlers log during their attempts.
    table_place: the descriptor of the shared table and the worker's number in it, which is None where all are taken.
    """

    name: str
    lease_owner: str
    common: CommonKeys
    options: Any  # each source casts it to its own model
    emit: Callable[[Fact], None]
    deadline: StopDeadline
    shard: Shard = field(default_factory=Shard)
    member: str | None = None
    words: memoryview = field(default_factory=lambda: Board.private().words)
    interrupts: Interrupts = field(default_factory=Interrupts)
    redact: Redaction = field(default_factory=Redaction)
    clock: Clock = SYSTEM_CLOCK
    is_wary: bool = False
    limits: Mapping[str, LimitBy] = field(default_factory=dict)
    task_threads: TaskThreads = field(default_factory=TaskThreads)
    interruptions: Interruptions = field(default_factory=Interruptions)
    table_place: tuple[int, int | None] | None = None
    attempt_log: AttemptLog = field(default_factory=AttemptLog)

    def ask_for_replacement(self, why: Interrupt) -> None:
        """Have the worker end and another process take its slot. Without a master nothing happens."""
        if self.member is not None:
            self.interrupts.set(why)

    def report(self, event: Event[...], error: BaseException) -> None:
        """Report by this event what was raised."""
        failure = describe(error, self.redact)
        self.emit(event(error=failure.error, traceback=failure.traceback))

    @cached_property
    def board(self) -> BoardWriter:
        """The worker's own hand on its board."""
        return BoardWriter(self.words, self.clock)

    @cached_property
    def table(self) -> SharedTable:
        """What the workers of the master know together; without a master, a table that nobody shares."""
        if self.table_place is None:
            made = SharedTable.create(self.clock)
            weakref.finalize(made, os.close, made.fileno())
            return made
        fd, holder = self.table_place
        if holder is None:
            raise SystemRefusedError(f"{HOLDERS} workers of this master run, and no more can share limits: run fewer")
        return SharedTable(fd, holder, self.clock)


def emitter(redact: Callable[[str], str], *listeners: Listener) -> Callable[[Fact], None]:
    """A function that tells the listeners of a fact, one thread at a time, and of no secret: not the log, not the
    master.
    """
    lock, tell = ForkableLock(), Listeners(listeners)

    def emit(fact: Fact) -> None:
        texts = {name: redact(value) for name, value in fact.fields.items() if isinstance(value, str)}
        with lock:
            tell(replace(fact, fields=fact.fields | texts))

    return emit


ItemT = TypeVar("ItemT")


class Newest(Generic[ItemT]):
    """Hands the newest item from one thread to another; what is older and was not taken is dropped."""

    def __init__(self) -> None:
        self._items: deque[ItemT] = deque(maxlen=1)

    def put(self, item: ItemT) -> None:
        """In place of the item before."""
        self._items.append(item)

    def take(self) -> ItemT | None:
        """The newest item; None where none was put since the last call."""
        return self._items.pop() if self._items else None


class Link:
    """Where there is no master: what is told goes nowhere, and nothing comes.

    suspects: all tasks of the pool that were running when a worker died, as the message `Suspects` has them.
    entries: the consumer's entry with other values of live keys, as the message `Amend` has it.
    measures_lag: whether this worker measures the lag, and counts what is parked, for the whole pool.
    """

    def __init__(self) -> None:
        self.suspects: Newest[tuple[Suspect, ...]] = Newest()
        self.entries: Newest[str] = Newest()
        self.measures_lag = False

    def tell(self, message: Message) -> None:
        """Send the master a message, as soon as it reads; callable from any thread."""
