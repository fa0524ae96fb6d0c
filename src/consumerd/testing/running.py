"""Runs a consumer in the caller's thread: no process, no server, and a clock that the test moves."""

from __future__ import annotations

import weakref
from collections.abc import Mapping, Sequence
from functools import partial
from typing import Any, Self

from consumerd import events
from consumerd.config.common_keys import CommonKeys
from consumerd.config.shape import LimitSettings
from consumerd.events.facts import Fact
from consumerd.model.contract import source_kind
from consumerd.model.parked import ParkedState
from consumerd.model.shards import Shard
from consumerd.parking.memory import MemoryStore
from consumerd.sources.contract import Source
from consumerd.sources.memory import MemoryOptions, MemorySource
from consumerd.testing.clock import ManualClock
from consumerd.testing.messages import messages_of
from consumerd.testing.sources import MessagesInMemory, RunsInMemory, source_of
from consumerd.wire.board import Board
from consumerd.wire.limits import define
from consumerd.wire.messages import Message
from consumerd.worker.code.keys import KeyOwners, config_model
from consumerd.worker.code.kinds import kind_named
from consumerd.worker.runtime import Runtime
from consumerd.worker.tasks.context import Link, WorkerContext
from consumerd.worker.tasks.interrupts import Interrupt, Interrupts, StopDeadline
from consumerd.worker.traces.beginning import begin_traces

NAME = "test/consumer"
TURNS_AT_MOST = 10_000

TURNS_OF_PROBES = 20
"""So many turns in a row end in nothing where tasks wait for a destination that is down: the test is to go on."""


def run_consumer(
    consumer_class: type,
    records: Sequence[object] | None = None,
    *,
    configs: dict[str, Any] | None = None,  # the user's own keys have any value
    limits: Mapping[str, Mapping[str, Any]] | None = None,  # as the configuration has them
    clock: ManualClock | None = None,
) -> Run:
    """Run a consumer until nothing is left to do, and return the run, to ask what became of its tasks.

    records: the tasks, for a consumer of any source. For Kafka and for a claimed table each one is a payload: a value
    that is written as JSON, bytes that come as they are, or a `Message` with a key and headers. For a query and for a
    generator each one is a row, and is handed over as it is.
    For a schedule each one is a run, such as `{"scheduled": "2026-03-29T01:00:00Z", "cursor": 7}`.
    None: the consumer brings its own tasks, by its `get_next_batch` or its `iterate_task`; a schedule runs once, now.
    configs: what its entry has under `configs`. Keys of the source (`brokers`, `topic_name`) may be left out.
    limits: those that hold, by name, each as the table `consumerd.limits` has it, without `numbers`.
    clock: to share with the test's own fakes, or to begin at a time of the test's. It is moved as the run goes.

    Raises TypeError where there are no records and the consumer has none of its own, and whatever `pre_consume` raises.

        run = run_consumer(LoginConsumer, [{"uid": 7}, b"no JSON"])
        assert (run.done, list(run.dead().values())) == (1, ["UndecodableError: the payload is not JSON: …"])
    """
    kind = source_kind(consumer_class)
    if records is None and kind == "schedule":
        records = [{}]
    if records is None and kind not in ("query", "generator"):
        raise TypeError(f"{consumer_class.__name__} has no tasks of its own: give run_consumer the records of some")
    source: Source | None = None
    if records is None:
        records, source = (), kind_named(kind).make()
    elif kind == "generator":
        source = MessagesInMemory()
    elif kind != "query":
        records, source = messages_of(records), source_of(kind)
    run = Run(consumer_class, records, configs=configs, source=source, limits=limits, clock=clock)
    run.until_idle()
    run.give_idle_time_back()
    return run


class Run:
    """One run of a consumer, on records in memory or on a source of the caller's. Most tests want `run_consumer`.

    consumer: the instance, as the worker made it.
    clock: the run's only time. `advance` moves it, and so do the pauses between attempts.
    store: the parking store, in memory; `store.is_away = True` takes it away.
    facts: what was reported, in order.
    link: the line to a master; `link.told` has what a master would be told, in order.
    """

    def __init__(
        self,
        consumer_class: type,
        records: Sequence[object] = (),
        *,
        configs: dict[str, Any] | None = None,  # the user's own keys have any value
        source: Source | None = None,
        shard: Shard | None = None,
        limits: Mapping[str, Mapping[str, Any]] | None = None,  # as the configuration has them
        clock: ManualClock | None = None,
    ) -> None:
        configs = _with_own_config(consumer_class, configs or {})
        self.clock = clock or ManualClock()
        self.store = MemoryStore(self.clock)
        self.facts: list[Fact] = []
        self.link = _RecordingLink()
        self.source = source or MemorySource()
        self.board = Board.private()
        self.consumer = consumer_class(0, **configs)
        read = {name: _limit(name, keys) for name, keys in (limits or {}).items()}
        given = {"words": self.board.words, "shard": shard or Shard(), "limits": read}
        self.context = context_in_memory(self.clock, self.facts, configs, records, **given)
        for name, limit in read.items():
            define(self.context.table, name, limit.fixed)
        self.interrupts = self.context.interrupts
        traces = partial(begin_traces, self.context, source_kind(consumer_class), may_export=False)
        self.runtime = _Runtime(self.context, self.consumer, self.source, self.store.as_thread(), self.link, traces)
        self.loop = self.runtime.open()
        weakref.finalize(self, self.runtime.close_handler)  # of a run that nobody stops

    def __repr__(self) -> str:
        return f"<Run of {type(self.consumer).__name__}: {self.done} done, {self.waiting()} wait, {self.dead()} dead>"

    @property
    def done(self) -> int:
        """How many tasks were done, retries included."""
        return self.board.read().handled

    def advance(self, seconds: float) -> None:
        """Let time pass, and run what is due then: retries that wait, the next query."""
        self.clock.advance(seconds)
        self.interrupts.set(Interrupt.PARKED_DUE)
        self.until_idle()
        self.give_idle_time_back()

    @property
    def checkpoints(self) -> list[Any]:  # what JSON has
        """The cursors that the runs of a schedule have kept, in order."""
        assert isinstance(self.source, RunsInMemory), "only the runs of a schedule have checkpoints"
        return self.source.checkpoints

    def stop(self) -> None:
        """Stop the consumer: `post_consume` is called."""
        self.runtime.shut()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        """Stop the consumer, and the threads of its tasks: what is still in hand is left."""
        self.loop.finish()
        self.stop()
        self.interrupts.close()

    def until_idle(self) -> None:
        """Turn the loop until a turn finds nothing to do, or what is left waits for a destination that is down. Time
        passes only by pauses and idle waits.

        Raises AssertionError where there is no end of tasks.
        """
        in_vain = 0
        for _ in range(TURNS_AT_MOST):
            before, ended = self._counted(), self._ended()
            self.loop.turn()
            is_idle = self._counted() == before and self.source.unsettled() == 0 and not self.loop.is_busy
            in_vain = in_vain + 1 if self._ended() == ended and self._is_anything_down() else 0
            if self.loop.is_stopping or is_idle or in_vain == TURNS_OF_PROBES:
                return
        raise AssertionError(f"the consumer was not idle after {TURNS_AT_MOST} turns")

    def give_idle_time_back(self) -> None:
        """Set the clock back by as long as the source has waited for tasks: it shows what the test has made of it."""
        self.clock.advance(-self.runtime.take_idle_s())

    def _counted(self) -> tuple[int, ...]:
        """What is counted of tasks that were attempted."""
        reading = self.board.read()
        return reading.handled, reading.failed + reading.asked, reading.parked

    def _ended(self) -> tuple[int, ...]:
        reading = self.board.read()
        return reading.handled, reading.parked

    def _is_anything_down(self) -> bool:
        opened, closed = (self.told(event.name) for event in (events.destination_opened, events.destination_closed))
        return len(opened) > len(closed)

    def turn(self, times: int = 1) -> None:
        """So many turns of the loop."""
        for _ in range(times):
            self.loop.turn()

    def dead(self) -> dict[str, str]:
        """The errors of the dead tasks, by task id: `test/consumer:` and the task's number or own id."""
        return self._errors(ParkedState.DEAD)

    def waiting(self) -> dict[str, str]:
        """The errors of the tasks that wait to be tried again, by task id as in `dead`."""
        return self._errors(ParkedState.WAITING)

    def told(self, name: str) -> list[Fact]:
        """The events of this name (`docs/events.md`), in order."""
        return [fact for fact in self.facts if fact.name == name]

    def _errors(self, state: ParkedState) -> dict[str, str]:
        return {task_id: row.error for task_id, row in self.store.rows.items() if row.state is state}


def context_in_memory(
    clock: ManualClock,
    facts: list[Fact],
    configs: dict[str, Any],
    records: Sequence[object] = (),
    **given: Any,  # fields have any type
) -> WorkerContext:
    """What the parts of a worker share, where its time is moved by hand and what it reports goes into `facts`.

    given: other fields of it.
    """
    return WorkerContext(
        name=NAME,
        lease_owner="test#0",
        common=CommonKeys.model_validate({"same_error_limit": 0, **configs}),  # a test may have any number that fail
        options=MemoryOptions(records=list(records)),
        emit=facts.append,
        deadline=StopDeadline(25.0),
        interrupts=Interrupts(sleep=clock.sleep),
        clock=clock,
        **given,
    )


class _Runtime(Runtime):
    """One that knows how long its source has waited for tasks that a test has not: that time is given back."""

    _idle_s = 0.0

    def wait(self, seconds: float, descriptor: int | None = None) -> None:
        since_s = self._context.clock.monotonic()
        super().wait(seconds, descriptor)
        if self._loop is None or not self._loop.is_busy:  # else tasks in hand have waited, such as for their batch
            self._idle_s += self._context.clock.monotonic() - since_s

    def take_idle_s(self) -> float:
        idle_s, self._idle_s = self._idle_s, 0.0
        return idle_s


class _RecordingLink(Link):
    """Where there is no master: keeps what one would be told."""

    def __init__(self) -> None:
        super().__init__()
        self.told: list[Message] = []

    def tell(self, message: Message) -> None:
        self.told.append(message)


def _limit(name: str, keys: Mapping[str, Any]) -> LimitSettings:
    """As it is written. Raises ValueError where it cannot be in a test, or pydantic's where it cannot be anywhere."""
    if "numbers" in keys:
        raise ValueError(f"no database is asked for the numbers of the limit {name}: give at_once or per_second")
    return LimitSettings.model_validate(keys)


def _with_own_config(consumer_class: type, configs: dict[str, Any]) -> dict[str, Any]:
    """`configs` with the defaults of the consumer's `Config`, as a worker gives them to the class."""
    own = config_model(consumer_class)
    if own is None:
        return configs
    return {**configs, **dict(own.model_validate(KeyOwners(MemoryOptions, own).of_config(configs)))}
