"""Tasks that name what they need: they wait while that is down, and those that need something else go on.

Several workers in a simulation, each with a line-up, its rules and some lanes, on one shared table.
"""

from __future__ import annotations

import heapq
import itertools
from collections import Counter
from dataclasses import dataclass, field
from typing import Any, ClassVar

import pytest

from consumerd import BaseConsumer, events
from consumerd.config.common_keys import CommonKeys
from consumerd.events.facts import Fact
from consumerd.model.by_error import ALL_RETRIED, ByError
from consumerd.model.failure import Failure
from consumerd.model.outcome import DONE, Dead, Retry, RetryPolicy
from consumerd.model.parked import ParkedState, ParkedTask
from consumerd.model.task import Task, TaskId
from consumerd.sources.memory import MemorySource
from consumerd.testing import ManualClock
from consumerd.testing.running import NAME, Run
from consumerd.wire.destinations import BreakerPolicy, State, looked_at
from consumerd.wire.shared_table import SharedTable
from consumerd.worker.attempts.attempt import Attempt, Ending, Raised
from consumerd.worker.tasks.context import WorkerContext
from consumerd.worker.tasks.interrupts import StopDeadline
from consumerd.worker.window.destinations import Destinations
from consumerd.worker.window.in_hand import InHand
from consumerd.worker.window.lineup import Lineup
from consumerd.worker.window.putting_off import PuttingOff
from consumerd.worker.window.rules import Rules

POLICY = BreakerPolicy(share=0.5, least=4, window_s=10.0)
TAKES_S = 0.01

PARKED = ParkedTask(
    consumer="g/n", task_id=TaskId("t:1"), source="t", shard=0, position=1, offset=1, state=ParkedState.WAITING,
    due_at=0.0, attempts=1, first_at=0.0, last_at=0.0, error="", traceback="", payload=b"",
)  # fmt: skip


def raised(kind: type[BaseException] = OSError, verdict: Retry | Dead | None = None) -> Raised:
    return Raised(kind, Failure("it does not answer"), verdict=verdict)


def task(name: str, attempts: int = 0) -> InHand:
    made = Task(
        id=TaskId("t:1"), offset=1, source="t", shard=0, position=1, payload=name.encode(), attempts=attempts
    )  # fmt: skip
    return InHand(Attempt(made, lambda is_again: None, first_at=1.0), PARKED)


def name_of(task: InHand) -> str:
    return task.task.payload.decode()


@dataclass
class Pool:
    """down: what ends the attempts at tasks of a destination, while that is down."""

    workers: int = 1
    lanes: int = 2
    failures: tuple[type[BaseException], ...] = ()
    by_error: ByError = ALL_RETRIED
    down: dict[str, Ending] = field(default_factory=dict)
    clock: ManualClock = field(default_factory=ManualClock)
    told: list[Fact] = field(default_factory=list)
    tried: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)
    revived: list[TaskId] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.table = SharedTable.create(self.clock)
        for holder in range(self.workers):
            self.table.admit(holder)
        self.ends: list[tuple[float, int, int, InHand]] = []
        self.numbers = itertools.count()
        self.free = [self.lanes] * self.workers
        self.lineups: list[Lineup[InHand]] = [Lineup() for _ in range(self.workers)]
        self.rules = [self._destinations(holder) for holder in range(self.workers)]
        self.all_rules = [Rules(lineup, rule) for rule, lineup in zip(self.rules, self.lineups, strict=True)]

    def _destinations(self, holder: int) -> Destinations:
        context = WorkerContext(
            name="g/n", lease_owner="", common=CommonKeys(), options=None, emit=self.told.append,
            deadline=StopDeadline(25.0), clock=self.clock, table_place=(self.table.fileno(), holder),
        )  # fmt: skip
        lineup = self.lineups[holder]
        putting_off = PuttingOff(context, MemorySource(), lineup, RetryPolicy(), self.lanes)
        return Destinations(
            context,
            POLICY,
            lambda attempt: attempt.task.payload.decode(),
            lineup,
            putting_off,
            self.revived.extend,
            by_error=self.by_error,
            failures=self.failures,
        )

    def give(self, *names: str, count: int = 1) -> None:
        for number, name in enumerate(names * count):
            self.lineups[number % self.workers].add(task(name))

    def run(self, seconds: float) -> None:
        until = self.clock.monotonic() + seconds
        while (now := self.clock.monotonic()) < until:
            for worker in range(self.workers):
                self.start(worker)
            while self.ends and self.ends[0][0] <= now:
                _, _, worker, ended = heapq.heappop(self.ends)
                self.end(worker, ended)
            self.clock.advance(TAKES_S / 2)

    def start(self, worker: int) -> None:
        now = self.clock.monotonic()
        while self.free[worker] and (found := self.lineups[worker].next(now)) is not None:
            if self.all_rules[worker].admit(found, now):
                self.free[worker] -= 1
                self.tried[name_of(found)] += 1
                heapq.heappush(self.ends, (now + TAKES_S, next(self.numbers), worker, found))

    def end(self, worker: int, ended: InHand) -> None:
        self.free[worker] += 1
        name = name_of(ended)
        ended.ended = self.down.get(name, DONE)
        does_count = not self.all_rules[worker].end(ended)
        self.done[name] += ended.ended is DONE
        self.counted[name] += does_count and ended.ended is not DONE
        if not does_count:
            self.lineups[worker].again(ended, 0.0)

    def kill(self, worker: int) -> None:
        self.table.forget(worker)
        self.free[worker] = 0
        self.ends = [entry for entry in self.ends if entry[2] != worker]
        heapq.heapify(self.ends)

    def state(self, name: str) -> State:
        with self.table.changing(f"destination g/n {name}") as row:
            assert row is not None
            return looked_at(row.words[0])[0]

    def facts(self, event: Any) -> list[Fact]:
        return [fact for fact in self.told if event.made(fact)]


def test_its_tasks_wait_without_an_attempt_and_the_others_go_on() -> None:
    pool = Pool(workers=3, down={"a": raised()})
    pool.give("a", "b", count=30)
    pool.run(10.0)
    (fact,) = pool.facts(events.destination_opened)
    assert fact.fields == {"destination": "a", "failures": 4, "attempts": 4, "error": "it does not answer"}
    assert pool.done == {"a": 0, "b": 30}
    assert pool.counted["a"] == 3  # the fourth has opened it
    assert 4 + 4 <= pool.tried["a"] <= 6 + 4 + 9  # those that were under way, and the probes of ten seconds
    pool.down.clear()
    pool.run(4.5)
    (fact,) = pool.facts(events.destination_closed)
    assert 9.9 <= float(str(fact.fields["away_s"])) <= 12.5
    pool.run(20.0)
    assert pool.done["a"] == 27
    assert pool.counted["a"] == 3


def test_what_one_worker_has_found_out_all_know() -> None:
    pool = Pool(workers=4, lanes=1, down={"a": raised()})
    pool.give("a", count=4)
    pool.run(1.0)
    before = pool.tried["a"]
    pool.give("a", count=40)
    pool.run(1.0)
    assert pool.tried["a"] - before <= 2
    assert len(pool.facts(events.destination_opened)) == 1


def test_another_worker_probes_when_the_prober_is_killed() -> None:
    pool = Pool(workers=2, lanes=1, down={"a": raised()})
    pool.give("a", count=20)
    while not (probing := [worker for _, _, worker, _ in pool.ends if pool.state("a") is State.OPEN]):
        pool.run(TAKES_S / 2)
    pool.kill(probing[0])
    pool.down.clear()
    pool.run(3.0)
    assert pool.state("a") is State.RETURNING
    pool.run(30.0)
    assert pool.state("a") is State.CLOSED or pool.done["a"]


def test_how_many_wait_is_known_of_each_worker() -> None:
    pool = Pool(workers=2, lanes=1, down={"a": raised()})
    pool.give("a", count=24)
    pool.run(5.0)
    with pool.table.changing("destination g/n a") as row:
        assert row is not None
        assert sum(row.of_all(2)) in (24 - 3, 24 - 4)
        assert sum(row.of_all(1)) <= 1


@pytest.mark.parametrize("ending", [Dead("no such player"), raised(Dead, Dead("no")), raised(KeyError)])
def test_a_destination_that_says_that_a_record_is_wrong_is_not_down(ending: Ending) -> None:
    pool = Pool(down={"a": ending}, by_error=ByError(dead_on=(KeyError,)))
    pool.give("a", count=20)
    pool.run(2.0)
    assert (pool.state("a"), pool.tried["a"], pool.counted["a"]) == (State.CLOSED, 20, 20)


@pytest.mark.parametrize("ending", [Retry(after=60), raised(Retry, Retry(after=60))])
def test_a_handler_that_asks_for_retries_opens_it_and_each_is_judged(ending: Ending) -> None:
    pool = Pool(down={"a": ending})
    pool.give("a", count=20)
    pool.run(2.0)
    assert pool.state("a") is State.OPEN
    assert pool.counted["a"] == pool.tried["a"] <= 9


@pytest.mark.parametrize("failures", [(), (OSError,)])
@pytest.mark.parametrize("ending", [Retry(5.0, destination=True), raised(Retry, Retry(5.0, destination=True))])
def test_who_asks_to_be_left_alone_is(ending: Ending, failures: tuple[type[BaseException], ...]) -> None:
    pool = Pool(workers=2, lanes=2, down={"a": ending}, failures=failures)
    pool.give("a", "b", count=20)
    pool.run(4.9)
    (fact,) = pool.facts(events.destination_opened)
    assert fact.fields["error"] == "it asked to be left alone for 5 s"
    assert (fact.fields["attempts"], pool.state("a"), pool.done["b"]) == (0, State.OPEN, 20)
    assert pool.tried["a"] == pool.counted["a"] <= 4, "those that were under way when it asked; each is obeyed"
    pool.run(5.0)
    assert pool.tried["a"] <= 4 + 1
    pool.down.clear()
    pool.run(30.0)
    assert pool.tried["a"] == 20


def ask(pool: Pool, after_s: float, *, attempts: int) -> None:
    """A task that has been attempted so often asks for quiet."""
    asking = task("a", attempts)
    assert pool.rules[0].enter(asking, pool.clock.monotonic()) is None
    asking.ended = Retry(after_s, destination=True)
    assert not pool.rules[0].leave(asking, was_begun=True)


def test_when_the_quiet_is_over_all_begin_again_at_once() -> None:
    pool = Pool()
    ask(pool, 5.0, attempts=0)
    pool.give("a", count=100)
    pool.run(7.0)
    assert (pool.state("a"), pool.done["a"]) == (State.CLOSED, 100)
    (fact,) = pool.facts(events.destination_closed)
    assert float(str(fact.fields["away_s"])) >= 5.0


def test_who_asks_again_puts_off_itself_alone() -> None:
    pool = Pool()
    for _ in range(20):
        ask(pool, 5.0, attempts=1)
        assert pool.state("a") is State.CLOSED
        pool.give("a", count=10)
        pool.run(1.0)
    assert pool.done["a"] == 200
    ask(pool, 5.0, attempts=0)
    assert pool.state("a") is State.OPEN


def test_where_all_ask_again_it_is_left_alone() -> None:
    pool = Pool()
    for _ in range(POLICY.least):
        ask(pool, 5.0, attempts=1)
    pool.give("a")
    pool.run(4.9)
    assert (pool.state("a"), pool.tried["a"]) == (State.OPEN, 0)
    pool.run(1.0)
    assert pool.done["a"] == 1


def test_a_probe_that_asks_again_does_not_lengthen_the_quiet() -> None:
    pool = Pool()
    ask(pool, 5.0, attempts=0)
    pool.clock.advance(5.0)
    ask(pool, 1000.0, attempts=1)
    pool.give("a")
    pool.run(3.0)
    assert pool.done["a"] == 1


def test_one_request_closes_a_destination_for_no_longer_than_max_quiet() -> None:
    pool = Pool()
    ask(pool, 86_400.0, attempts=0)
    pool.give("a")
    pool.run(1.0)
    assert (pool.state("a"), pool.done["a"]) == (State.OPEN, 0)
    pool.clock.advance(POLICY.max_quiet_s)
    pool.run(1.0)
    assert pool.done["a"] == 1


def test_a_retry_that_is_of_its_task_alone_leaves_a_destination_as_it_is() -> None:
    pool = Pool(down={"a": Retry(5.0)}, failures=(OSError,))
    pool.give("a", count=20)
    pool.run(2.0)
    assert (pool.state("a"), pool.tried["a"]) == (State.CLOSED, 20)


@pytest.mark.parametrize(("kind", "state"), [(OSError, State.OPEN), (KeyError, State.CLOSED)])
def test_the_errors_that_show_that_it_is_down_may_be_named(kind: type[BaseException], state: State) -> None:
    pool = Pool(down={"a": raised(kind)}, failures=(OSError,))
    pool.give("a", count=20)
    pool.run(2.0)
    assert pool.state("a") is state


def test_of_each_worker_those_are_tried_again_that_have_died_just_before_it_opened() -> None:
    pool = Pool(workers=2, lanes=1, down={"a": raised()})
    for worker in (0, 0, 1, 1, 1):
        pool.lineups[worker].add(task("a"))
    pool.run(TAKES_S * 1.5)
    for rule in pool.rules:
        list(rule.put_off(None))
    assert (pool.state("a"), pool.revived) == (State.CLOSED, [])
    pool.run(1.0)
    assert (pool.state("a"), pool.counted["a"]) == (State.OPEN, 3)
    for rule in pool.rules * 2:
        list(rule.put_off(None))
    assert len(pool.revived) == 3


class Calling(BaseConsumer):
    """Its records name what they need; `a` is down."""

    SOURCE: ClassVar[str] = "memory"

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.tried: list[str] = []
        self.is_down = True

    def task_destination(self, record: Any) -> object:
        return record["server"]

    async def handle_task(self, offset: int, record: Any) -> object:
        self.tried.append(record["server"])
        if record["server"] == "a" and (self.is_down or record.get("is_bad")):
            raise OSError("it does not answer")


class ByField(Calling):
    """Without the hook."""

    task_destination = None  # type: ignore[assignment]  # as if it were not there


@pytest.mark.parametrize("consumer_class", [Calling, ByField])
@pytest.mark.parametrize("concurrency", [1, 4])
def test_a_worker_whose_consumer_names_destinations(consumer_class: type[Calling], concurrency: int) -> None:
    configs: dict[str, Any] = {"concurrency": concurrency, "breaker": {"least": 4}}
    if consumer_class is ByField:
        configs["destination"] = "server"
    run = Run(consumer_class, [{"server": name} for name in "ab" * 12], configs=configs)
    while run.done < 12:
        run.turn()
    run.clock.advance(2.0)
    run.turn(2)
    assert len(run.told("destination_opened")) == 1
    assert run.consumer.tried.count("a") <= 4 + concurrency + 2
    run.stop()


@pytest.mark.parametrize("concurrency", [1, 4])
def test_nobody_dies_of_the_attempts_that_show_that_it_is_down(concurrency: int) -> None:
    records = [{"server": "a", "is_bad": number == 1} for number in range(12)]
    run = Run(Calling, records, configs={"concurrency": concurrency, "breaker": {"least": 4}})
    while not run.told("destination_opened"):
        run.turn()
    run.clock.advance(2.0)
    run.turn(20)
    assert (run.done, run.dead()) == (0, {})
    run.consumer.is_down = False
    for _ in range(400):
        run.turn()
        run.clock.advance(0.1)
    assert (run.done, list(run.dead())) == (11, [f"{NAME}:1"])
    run.stop()
