"""What every way of running tasks keeps: subclass `RunnersContract`, give it a `way`.

A world has tasks in a source that outlives its workers, and a script: how each attempt at each task ends, and what
happens from outside when the nth attempt begins. Workers follow each other until nothing is left to do. Time moves by
hand, also where attempts are made in threads: those are waited for.
"""

from __future__ import annotations

import asyncio
import threading
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from typing import Any, ClassVar

from hypothesis import given
from hypothesis import strategies as st

from consumerd import BaseConsumer, BatchTask, Dead, Retry
from consumerd.errors import SourceAwayError
from consumerd.events.facts import Fact
from consumerd.model.outcome import Done
from consumerd.model.parked import ParkedState
from consumerd.model.task import TaskId
from consumerd.parking.memory import MemoryStore
from consumerd.sources.contract import Batch, Settlement, SourceContext, Traits
from consumerd.sources.decoding import decode_json
from consumerd.testing.clock import ManualClock
from consumerd.testing.messages import Message, MessageBatch
from consumerd.testing.running import NAME, context_in_memory
from consumerd.wire.board import Board
from consumerd.wire.messages import Cleared
from consumerd.worker.runtime import Runtime
from consumerd.worker.tasks.context import Link
from consumerd.worker.tasks.interrupts import Interrupt
from consumerd.worker.tasks.running import RUNNING
from consumerd.worker.window.in_hand import BatchInHand

LARGEST_BATCH = 7
TURNS_AT_MOST = 20_000
CRASH_LIMIT = 3
LAST_S = 40.0
"""So much time passes at the end: what waits has its turn, and what is refused is asked again."""

ENDS = ("ok", "value", "fail", "dead", "retry", "exit", "connection")
EVENTS = ("settle", "stop", "revoke", "lose", "store", "source", "pause", "amend", "finish")
DONE_BY = {"ok", "value"}


@dataclass(frozen=True)
class Way:
    """One way to run tasks.

    base: the consumer's class, whose handler calls `World.attempt`.
    configs: of its entry. width: how many tasks may run at once.
    """

    base: type
    configs: dict[str, Any] = field(default_factory=dict)  # keys have any type
    width: int = 1


@dataclass(frozen=True)
class Script:
    """keys: of the tasks, in order. ends: how the attempts at each of them end, the last one again and again.

    events: what happens from outside when the nth attempt begins. suspects: by task, how many workers it has killed.
    """

    keys: Sequence[int | None]
    ends: Sequence[Sequence[str]]
    events: dict[int, str] = field(default_factory=dict)
    suspects: dict[int, int] = field(default_factory=dict)


class DurableSource:
    """One partition, settled by a position. When a worker opens it, or after it was taken away, all from there on comes
    again in order, but for what is parked: as a topic's."""

    traits = Traits(positional=True)
    has_answered = True

    def __init__(self, world: World) -> None:
        self._world = world
        self._messages = [
            Message({"number": number}, None if key is None else b"%d" % key)
            for number, key in enumerate(world.script.keys)
        ]
        self.unfinished = set(range(len(self._messages)))
        self.decode = decode_json
        self.is_away = self.is_leaving = False
        self.assignment = 0
        self._next = 0
        self._in_hand: dict[int, OwnBatch] = {}

    def open(self, context: SourceContext) -> None:
        self._context = context
        self._assign()

    def _assign(self) -> None:
        self.is_leaving, self._in_hand, self._next = False, {}, 0
        self.assignment += 1
        self.unfinished = set(range(min(self.unfinished, default=len(self._messages)), len(self._messages)))
        for number in tuple(self.unfinished):
            if self._world.is_parked(number):
                self.unfinished.discard(number)

    def lose(self) -> None:
        """Taken away at once, and given back: whatever is in hand is others' from now on."""
        self._assign()
        self._context.worker.interrupt()

    def revoke(self) -> None:
        """Taken away, once the worker has left what it has in hand."""
        self.is_leaving = True
        self._context.worker.interrupt()

    def fetch(self, limit: int, timeout_s: float) -> Batch | None:
        if self.is_away:
            raise SourceAwayError("the source is away: the script says so")
        if self.is_leaving and not self._in_hand:
            self._assign()
        wanted = 0 if self.is_leaving else min(limit, LARGEST_BATCH)
        numbers = [number for number in sorted(self.unfinished) if number >= self._next][:wanted]
        if not numbers:
            self._context.worker.wait(timeout_s)
            return None
        self._next = numbers[-1] + 1
        batch = OwnBatch([(number, self._messages[number], task_id(number)) for number in numbers], self.assignment)
        self._in_hand[id(batch)] = batch
        return batch

    def settle(self, settlements: Sequence[Settlement], *, is_due: bool) -> None:
        del is_due
        for settlement in settlements:
            assert isinstance(settlement.batch, OwnBatch)
            if not self.settles(settlement.batch):
                continue
            for index in range(settlement.start, settlement.stop):
                number = settlement.batch.raws[index][0]
                assert number in self.unfinished, f"task {number} is settled twice"
                self._world.check_settled(number, is_done=isinstance(settlement.outcome, Done))
                self.unfinished.discard(number)
                settlement.batch.settled.add(index)

    def unsettled(self) -> int:
        return len([number for number in self.unfinished if number < self._next])

    def keeps(self, batch: Batch) -> bool:
        return self.settles(batch) and not self.is_leaving

    def settles(self, batch: Batch) -> bool:
        assert isinstance(batch, OwnBatch)
        return batch.assignment == self.assignment

    def drop(self, batch: Batch, start: int, stop: int) -> None:
        assert start < stop
        assert not self.settles(batch)

    def release(self, batch: Batch, not_begun: Sequence[int]) -> None:
        assert isinstance(batch, OwnBatch)
        assert not batch.is_released, "a batch is released twice"
        batch.is_released = True
        if not self.settles(batch):
            return
        del self._in_hand[id(batch)]
        left = set(range(len(batch.raws))) - batch.settled - set(not_begun)
        assert left <= self._world.held(batch), "neither settled, nor held for the store, nor given back"
        assert not batch.settled & set(not_begun)
        if not_begun and not self.is_leaving:
            self._next = min(self._next, batch.raws[min(not_begun)][0])  # only at an end: it comes with the next open

    def close(self, deadline: float) -> None:
        del deadline


class OwnBatch(MessageBatch):
    """A batch that knows of which assignment it is, and what of it is settled."""

    def __init__(self, raws: Sequence[Any], assignment: int) -> None:
        super().__init__(NAME, raws)
        self.assignment = assignment
        self.settled: set[int] = set()
        self.is_released = False


def task_id(number: int) -> TaskId:
    return TaskId(f"{NAME}:{number}")


class TellingLink(Link):
    """To a master that keeps the suspects."""

    def __init__(self, suspects: dict[int, int]) -> None:
        super().__init__()
        self._known = suspects

    def tell(self, sent: object) -> None:
        if isinstance(sent, Cleared):
            self._known.pop(int(sent.task_id.rpartition(":")[2]), None)


class World:
    """Tasks, a store, a clock, and one worker after the other."""

    def __init__(self, way: Way, script: Script, *, is_ordered: bool = False) -> None:
        self.way = way
        self.script = script
        self.clock = ManualClock()
        self.store = MemoryStore(self.clock)
        self.source = DurableSource(self)
        self.facts: list[Fact] = []
        self.configs = {**way.configs, "task_retry_times": 2, "crash_limit": CRASH_LIMIT, "max_unsettled": 50}
        if is_ordered:
            self.configs["ordered"] = "key"
        self._is_ordered = is_ordered
        self._lock = threading.Lock()  # of what attempts in several threads write
        self.attempts: Counter[int] = Counter()
        self.begun = 0
        self.done: Counter[int] = Counter()
        self._last: dict[int, str] = {}
        self._running: dict[int, int] = {}
        self._order: dict[int, list[int]] = defaultdict(list)
        self.most_at_once = 0
        self.begun_late = 0
        self.complaints: list[str] = []
        self.suspects = dict(script.suspects)
        self._away_until = 0.0
        self._paused_until = 0.0
        self.finishes = False

    # What the source asks

    def is_parked(self, number: int) -> bool:
        row = self.store.rows.get(task_id(number))
        return row is not None and row.state is not ParkedState.SUSPECT

    def held(self, batch: OwnBatch) -> set[int]:
        """What waits for the store."""
        held = self.runtime._parts.settling._held
        return {index for each in held if each.settlement.batch is batch for index in (each.settlement.start,)}

    def check_settled(self, number: int, *, is_done: bool) -> None:
        """A task is settled as it has ended, and not before it is parked where it must be."""
        last = self._last.get(number)
        if is_done:
            assert last in DONE_BY, f"task {number} is settled as done, and its last attempt was {last}"
        else:
            assert self.is_parked(number), f"task {number} is settled before it is parked"
        assert number not in self._running, f"task {number} is settled while it runs"

    # What handlers do

    @contextmanager
    def attempt(self, number: int) -> Iterator[str]:
        """One attempt, from its begin to its end; gives how it is to end."""
        with self._lock:
            assignment = self._begin(number)
            ends = self.script.ends[number]
            end = ends[min(self.attempts[number], len(ends)) - 1]
        try:
            yield end
        finally:
            with self._lock:
                self._running.pop(number, None)
                if assignment == self.source.assignment:
                    self._last[number] = end  # what was lost settles nothing
                self.done[number] += end in DONE_BY

    def _begin(self, number: int) -> int:
        """Of which assignment the attempt is."""
        self.begun += 1
        self.attempts[number] += 1
        assignment = self._assignment()
        if assignment == self.source.assignment:
            self._complain_of(number)
        self.begun_late += assignment != self.source.assignment
        self._running[number] = assignment
        self.most_at_once = max(self.most_at_once, len(self._running))
        if self.attempts[number] == 1:
            self._order[self._key(number)].append(number)
        event = self.script.events.get(self.begun)
        if event is not None:
            getattr(self, f"_do_{event}")()
        return assignment

    def _key(self, number: int) -> int:
        key = self.script.keys[number]
        return -1 - number if key is None else key

    def _assignment(self) -> int:
        """Of the batch that the attempt belongs to; a parked task's is whichever there is."""
        running: Any = RUNNING.get()
        came_in = getattr(running, "came_in", None)
        return came_in.batch.assignment if isinstance(came_in, BatchInHand) else self.source.assignment

    def _complain_of(self, number: int) -> None:
        """Of an attempt that may not begin now. What was lost runs on beside what came again."""
        ours = [other for other, assignment in self._running.items() if assignment == self.source.assignment]
        if number in ours:
            self.complaints.append(f"task {number} runs twice at once")
        if number not in self.source.unfinished and not self.is_parked(number):
            self.complaints.append(f"task {number} runs, and it is finished")
        if self._is_ordered and any(self._key(other) == self._key(number) for other in ours):
            self.complaints.append(f"task {number} runs beside another one of its key")
        if ours and {number, *ours} & self.suspects.keys():
            self.complaints.append(f"task {number} runs beside {ours}, and one of them is a suspect")
        if self.suspects.get(number, 0) >= CRASH_LIMIT:
            self.complaints.append(f"task {number} has killed too many workers, and runs")

    # What happens from outside

    def _do_settle(self) -> None:
        self.interrupts.set(Interrupt.SETTLE_DUE)

    def _do_stop(self) -> None:
        self.interrupts.set(Interrupt.STOP)

    def _do_revoke(self) -> None:
        self.source.revoke()

    def _do_lose(self) -> None:
        self.source.lose()

    def _do_store(self) -> None:
        self.store.is_away, self._away_until = True, self.clock.monotonic() + 3

    def _do_source(self) -> None:
        self.source.is_away, self._away_until = True, self.clock.monotonic() + 3

    def _do_pause(self) -> None:
        self.interrupts.is_paused, self._paused_until = True, self.clock.monotonic() + 3
        self.interrupts.set(Interrupt.PAUSE)

    def _do_amend(self) -> None:
        self.interrupts.set(Interrupt.AMENDED)

    def _do_finish(self) -> None:
        self.finishes = True

    def _undo(self) -> None:
        if self.clock.monotonic() >= self._away_until:
            self.store.is_away = self.source.is_away = False
            if not self.runtime._parts.due._claims:
                self.store.claimed.clear()  # as leases end
        if self.interrupts.is_paused and self.clock.monotonic() >= self._paused_until:
            self.interrupts.is_paused = False
            self.interrupts.set(Interrupt.PAUSE)

    # Workers

    def run(self) -> None:
        """One worker after the other, until nothing is left to do; then whatever may still wait has its time."""
        turns = 0
        self._hire()
        quiet_since = self.clock.monotonic()
        while self.clock.monotonic() - quiet_since < LAST_S:
            turns += 1
            assert turns < TURNS_AT_MOST, f"left: {self.source.unfinished}, running {self._running}"
            self._undo()
            begun = self.begun
            if self.loop.is_stopping or self.is_over:
                self._fire()
                self._hire()
            else:
                self.loop.turn()
            if self.source.unfinished or self._has_waiting() or self.begun != begun or self.interrupts.is_paused:
                quiet_since = self.clock.monotonic()
        self._do_stop()
        self._fire()

    @property
    def is_over(self) -> bool:
        """Whether the loop has ended by itself."""
        return bool(self.loop._exit)

    def _has_waiting(self) -> bool:
        return any(row.state is not ParkedState.DEAD for row in self.store.rows.values())

    def _hire(self) -> None:
        base = self.way.base
        if "finish" in self.script.events.values():
            base = type(base.__name__, (base,), {"can_stop_consume": _can_stop_consume})
        board = Board.private()
        self.context = context_in_memory(self.clock, self.facts, self.configs, words=board.words)
        self.board = board
        self.interrupts = self.context.interrupts
        link = TellingLink(self.suspects)
        link.suspects.put(tuple((task_id(number), crashes, "SIGSEGV") for number, crashes in self.suspects.items()))
        consumer = base(0, **self.configs)
        consumer.world = self
        self.runtime = Runtime(self.context, consumer, self.source, self.store.as_thread(), link)
        self.loop = self.runtime.open()

    def _fire(self) -> None:
        """As a worker's process ends."""
        self.loop.run()
        assert not self._running, f"{self._running} run on after the end"
        self.store.is_away = False
        self.store.claimed.clear()
        self.runtime._parts.settling.drain(self.clock.monotonic() + 5)
        self.runtime.shut()
        self.interrupts.close()

    # The end

    def judge(self) -> None:
        assert not self.complaints, self.complaints
        assert self.source.unfinished == set()
        assert self.most_at_once <= self.way.width
        losses = list(self.script.events.values()).count("lose")
        assert self.begun_late <= losses * 2 * self.way.width, "begun though it was lost: more than the lanes had"
        if not self._may_repeat():
            assert max(self.done.values(), default=0) <= 1, f"done more than once: {self.done}"
        self._judge_ends()

    def _may_repeat(self) -> bool:
        """Whether something is a reason to do again what was done: a shard that was lost; or a task for which the store
        does not answer, or what it needs, while those behind it are done.
        """
        ends = {end for ends in self.script.ends for end in ends}
        return bool({"lose", "store"} & {*self.script.events.values()}) or "connection" in ends

    def _judge_ends(self) -> None:
        for number in range(len(self.script.keys)):
            row = self.store.rows.get(task_id(number))
            if self.script.suspects.get(number, 0) >= CRASH_LIMIT or (row is not None and not self.done[number]):
                assert row is not None, f"task {number} is nowhere"
                assert row.state is ParkedState.DEAD
            else:
                assert self.done[number], f"task {number} came to no end"
        if self._is_ordered:
            for numbers in self._order.values():
                assert numbers == sorted(numbers), "out of order"


def scripts(ends: Sequence[str] = ENDS, events: Sequence[str] = EVENTS) -> st.SearchStrategy[Script]:
    """Scripts in which every task comes to an end."""

    def build(
        tasks: list[tuple[int | None, list[str], str]], events: dict[int, str], suspects: dict[int, int]
    ) -> Script:
        return Script(
            [key for key, _, _ in tasks],
            [[*ends, last] for _, ends, last in tasks],
            events,
            {number: crashes for number, crashes in suspects.items() if number < len(tasks)},
        )

    task = st.tuples(
        st.one_of(st.none(), st.integers(0, 3)),
        st.lists(st.sampled_from(ends), max_size=3),
        st.sampled_from([end for end in ends if end in ("ok", "dead", "fail")]),
    )
    return st.builds(
        build,
        st.lists(task, min_size=1, max_size=25),
        st.dictionaries(st.integers(1, 40), st.sampled_from(events), max_size=4),
        st.one_of(st.just({}), st.dictionaries(st.integers(0, 24), st.integers(0, 3), max_size=2)),
    )


def _can_stop_consume(consumer: Any) -> bool:
    """As the script says, once."""
    finishes, consumer.world.finishes = consumer.world.finishes, False
    return bool(finishes)


class Synchronous(BaseConsumer):
    """A handler that is a function."""

    SOURCE: ClassVar[str] = "memory"
    world: World

    def handle_task(self, offset: int, record: Any) -> object:
        with self.world.attempt(offset) as end:
            return ended(end)


class Hooked(Synchronous):
    """With hooks about each task."""

    def pre_handle_task(self) -> None: ...


class Asynchronous(BaseConsumer):
    """A handler that is a coroutine function: others go on while it waits."""

    SOURCE: ClassVar[str] = "memory"
    world: World

    async def handle_task(self, offset: int, record: Any) -> object:
        with self.world.attempt(offset) as end:
            for _ in range(offset * 7 % 5):  # so that they end in another order
                await asyncio.sleep(0)
            return ended(end)


class Batched(BaseConsumer):
    """Many tasks at once, each with its own end."""

    SOURCE: ClassVar[str] = "memory"
    world: World

    def handle_batch(self, tasks: list[BatchTask[Any]]) -> object:
        with ExitStack() as attempts:
            ends = [attempts.enter_context(self.world.attempt(task.offset)) for task in tasks]
            return [_told(end) for end in ends]


class Folded(Batched):
    """The same, where tasks of every third number wait for each other."""

    def coalesce_key(self, record: Any) -> int:
        return int(record["number"]) % 3


def _told(end: str) -> object:
    try:
        return ended(end)
    except BaseException as error:  # noqa: BLE001 - SystemExit, too
        return error


def ended(end: str) -> object:
    """What a handler does at the end of an attempt."""
    match end:
        case "fail":
            raise ValueError("it failed")
        case "exit":
            raise SystemExit(1)
        case "connection":
            raise ConnectionRefusedError("nobody there")
        case "dead":
            return Dead("the script says so")
        case "retry":
            return Retry(after=2)
        case "value":
            return {"rows": 1}
    return None


class RunnersContract:
    """The suite."""

    @given(script=scripts())
    def test_every_task_comes_to_one_end_whatever_happens_meanwhile(self, way: Way, script: Script) -> None:
        world = World(way, script)
        world.run()
        world.judge()

    @given(script=scripts(ends=("ok", "fail", "dead")))
    def test_tasks_of_a_key_run_in_order_and_one_at_a_time(self, way: Way, script: Script) -> None:
        world = World(way, script, is_ordered=way.width > 1 and "coalesce" not in way.configs)
        world.run()
        world.judge()
