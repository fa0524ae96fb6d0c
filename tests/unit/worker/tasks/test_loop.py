"""The loop, over a source in memory and a store that can be taken away; time moves by hand."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel, field_validator

from consumerd import BaseConsumer, Dead, Retry
from consumerd.errors import SourceAwayError, StoreAwayError, UnstorableError
from consumerd.model.exits import WorkerExit
from consumerd.model.parked import ParkedState, ParkedTask
from consumerd.model.task import TaskId
from consumerd.sources.contract import Batch, Settlement, SourceContext, Worker
from consumerd.sources.memory import MemorySource
from consumerd.testing.running import NAME, Run
from consumerd.wire.board import BoardFlag
from consumerd.worker.tasks.gate import Pace
from consumerd.worker.tasks.interrupts import Interrupt


class Recording(BaseConsumer):
    """Keeps what it handled; a record says how its handling ends."""

    SOURCE: ClassVar[str] = "memory"

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.handled: list[int] = []

    def handle_task(self, offset: int, record: Any) -> object:
        self.handled.append(offset)
        match record:
            case "fail":
                raise ValueError("it failed")
            case "exit":
                raise SystemExit(1)
            case "dead":
                return Dead("no such user")
            case "retry":
                return Retry(after=5)
            case "value":
                return {"rows": 1}
        return None


class General(Recording):
    """The same by the general loop."""

    def pre_handle_task(self) -> None:
        """One hook overridden is enough."""


BOTH_LOOPS = pytest.mark.parametrize("consumer_class", [Recording, General])


def task_id(number: int) -> str:
    return f"{NAME}:{number}"


@BOTH_LOOPS
def test_every_task_is_handled_once_in_order(consumer_class: type[Recording]) -> None:
    run = Run(consumer_class, ["ok"] * 1_234)
    run.until_idle()
    assert run.consumer.handled == list(range(1_234))
    assert run.consumer.number_of_consumed == 1_234
    assert run.board.read().handled == 1_234
    assert run.source.unsettled() == 0


@BOTH_LOOPS
@pytest.mark.parametrize("bad", ["fail", "exit", "dead"])
def test_a_failing_task_is_parked_and_those_behind_it_are_handled(consumer_class: type[Recording], bad: str) -> None:
    run = Run(consumer_class, ["ok", "ok", bad, "ok", bad])
    run.until_idle()
    assert run.consumer.handled == [0, 1, 2, 3, 4]
    assert set(run.dead()) == {task_id(2), task_id(4)}
    assert run.source.unsettled() == 0
    assert run.board.read().failed == run.board.read().parked == 2


@BOTH_LOOPS
def test_a_handler_that_exits_after_a_stop_was_asked_for_has_not_failed(consumer_class: type[Recording]) -> None:
    class Stopped(consumer_class):  # type: ignore[misc,valid-type]  # a class that is a parameter
        def handle_task(self, offset: int, record: Any) -> object:
            if record == "exit":
                run.interrupts.set(Interrupt.STOP)
            return super().handle_task(offset, record)

    run = Run(Stopped, ["ok", "exit", "ok"])
    assert run.loop.run() is WorkerExit.DRAINED
    assert run.consumer.handled == [0, 1]
    assert (run.store.rows, run.board.read().handled, run.board.read().failed) == ({}, 1, 0)


def test_an_exit_between_tasks_after_a_stop_was_asked_for_is_that_stop() -> None:
    class Interrupted(MemorySource):
        def fetch(self, limit: int, timeout_s: float) -> Batch | None:
            if has_stop:
                run.interrupts.set(Interrupt.STOP)
            raise SystemExit(0)

    run, has_stop = Run(Recording, source=Interrupted()), False
    with pytest.raises(SystemExit):
        run.loop.run()
    has_stop = True
    assert run.loop.run() is WorkerExit.DRAINED


@BOTH_LOOPS
def test_other_values_are_done_and_reported_once(consumer_class: type[Recording]) -> None:
    run = Run(consumer_class, ["value", "ok", "value", "value"])
    run.until_idle()
    assert run.consumer.handled == [0, 1, 2, 3]
    assert run.store.rows == {}
    if consumer_class is Recording:
        assert [fact.fields["type"] for fact in run.told("value_returned")] == ["dict"]


@BOTH_LOOPS
def test_immediate_retries_come_before_the_next_task(consumer_class: type[Recording]) -> None:
    run = Run(consumer_class, ["fail", "ok"], configs={"task_retry_times": 2})
    run.until_idle()
    assert run.consumer.handled == [0, 0, 0, 1]
    assert run.store.rows[task_id(0)].attempts == 3


@BOTH_LOOPS
def test_a_deferred_task_waits_in_the_store_and_comes_again_when_due(consumer_class: type[Recording]) -> None:
    run = Run(consumer_class, ["retry", "ok"])
    run.until_idle()
    assert set(run.waiting()) == {task_id(0)}
    assert run.consumer.handled == [0, 1]
    run.clock.advance(5)
    run.turn()
    assert run.consumer.handled == [0, 1, 0]
    assert run.store.rows[task_id(0)].attempts == 2


@BOTH_LOOPS
def test_a_handler_reads_when_its_task_was_attempted_first_from_the_second_attempt_on(
    consumer_class: type[Recording],
) -> None:
    seen: list[float | None] = []

    class Reading(consumer_class):  # type: ignore[misc,valid-type]  # a class that is a parameter
        def handle_task(self, offset: int, record: Any) -> object:
            seen.append(self.first_seen)
            return super().handle_task(offset, record)

    run = Run(Reading, ["fail"], configs={"task_retry_times": 1})
    began = run.clock.wall()
    run.until_idle()
    assert seen == [None, began]


def test_a_claimed_task_is_tried_though_the_store_goes_away_before_the_next_look_is_planned() -> None:
    run = Run(Recording, ["retry"], configs={"concurrency": 2})
    run.until_idle()

    def next_due(consumer: str) -> float | None:
        del run.store.next_due
        raise StoreAwayError("it is gone for a moment")

    run.store.next_due = next_due  # type: ignore[method-assign]
    run.clock.advance(5)
    run.turn(3)
    assert "next_due" not in vars(run.store)
    assert run.consumer.handled == [0, 0]
    assert not run.store.claimed
    run.loop.finish()


def test_a_deferred_task_that_succeeds_leaves_the_store() -> None:
    class Second(Recording):
        def handle_task(self, offset: int, record: Any) -> object:
            super().handle_task(offset, "ok")
            return Retry(after=3) if self.attempt == 1 else None

    run = Run(Second, ["x"])
    run.until_idle()
    assert len(run.store.rows) == 1
    run.clock.advance(3)
    run.turn()
    assert run.store.rows == {}
    assert run.consumer.handled == [0, 0]


@BOTH_LOOPS
def test_while_the_store_is_away_nothing_settles_past_a_failed_task_and_no_attempt_is_burnt(
    consumer_class: type[Recording],
) -> None:
    run = Run(consumer_class, ["ok", "fail", "ok"])
    run.store.is_away = True
    run.turn(200)
    assert run.consumer.handled == [0, 1, 2]
    assert run.source.unsettled() == 1
    assert run.board.read().flags == BoardFlag.STORE_AWAY
    assert len(run.told("store_away")) == 1
    run.store.is_away = False
    run.clock.advance(30)
    run.until_idle()
    assert set(run.dead()) == {task_id(1)}
    assert run.store.rows[task_id(1)].attempts == 1
    assert run.source.unsettled() == 0
    assert run.board.read().flags == BoardFlag(0)
    assert len(run.told("store_back")) == 1


def test_while_the_store_is_away_fetching_pauses_at_max_unsettled() -> None:
    run = Run(Recording, ["fail"] * 100, configs={"max_unsettled": 10})
    run.store.is_away = True
    run.turn(300)
    assert run.consumer.handled == list(range(10))


def test_a_task_that_the_store_refuses_is_told_once_and_holds_up_no_other() -> None:
    run = Run(Recording, ["fail", "fail", "ok", "fail"] * 10)
    run.store.refuses[task_id(5)] = UnstorableError("the parking store refuses its content: too odd")
    run.turn(200)
    assert run.consumer.handled == list(range(40))
    assert len(run.store.rows) == 29
    assert [fact.fields["task"] for fact in run.told("task_unstorable")] == [task_id(5)]
    assert not run.told("store_away")
    assert run.board.read().flags == BoardFlag.UNSTORABLE
    assert run.source.unsettled() == 1
    run.store.refuses.clear()
    run.advance(120)
    assert len(run.store.rows) == 30
    assert run.board.read().flags == BoardFlag(0)
    assert run.source.unsettled() == 0


def test_a_task_at_which_the_store_seems_away_does_not_keep_it_away_for_the_others() -> None:
    run = Run(Recording, ["fail"] * 30, configs={"task_retry_times": 0})
    run.store.refuses[task_id(5)] = StoreAwayError("server has gone away")
    for _ in range(50):
        run.clock.advance(20)
        run.turn()
    assert len(run.store.rows) == 29
    assert len(run.told("store_away")) == len(run.told("store_back"))
    assert [fact.fields["task"] for fact in run.told("task_unstorable")] == [task_id(5)]
    assert run.board.read().flags == BoardFlag.UNSTORABLE


def test_while_the_store_is_away_no_task_is_called_unstorable() -> None:
    run = Run(Recording, ["fail"] * 30)
    run.store.is_away = True
    for _ in range(50):
        run.clock.advance(20)
        run.turn()
    assert not run.told("task_unstorable")
    run.store.is_away = False
    run.advance(20)
    assert len(run.store.rows) == 30
    assert not run.told("task_unstorable")


@pytest.mark.parametrize("how", ["ok", "fail"])
def test_what_became_of_a_parked_task_while_the_store_was_away_is_told_when_it_is_back(how: str) -> None:
    class Again(Recording):
        def handle_task(self, offset: int, record: Any) -> object:
            run.store.is_away = len(attempts) == 1
            attempts.append(offset)
            if len(attempts) == 1 or how == "fail":
                raise ValueError("again")
            return None

    attempts: list[int] = []
    run = Run(Again, ["ok"], configs={"back_off_time": 5})
    run.turn()
    run.advance(6)
    assert len(attempts) == 2
    run.store.is_away = False
    run.advance(100)
    if how == "ok":
        assert run.store.rows == {}
        assert len(attempts) == 2, "it was done, and ran again"
    else:
        run.advance(100)
        assert run.store.rows[task_id(0)].attempts == len(attempts) > 2, "it was never tried again"


class Leaving(MemorySource):
    """Its shard is being taken away, and then it is gone; in what is left of a batch nobody is interested."""

    is_leaving = is_gone = False

    def keeps(self, batch: Batch) -> bool:
        return not self.is_leaving

    def settles(self, batch: Batch) -> bool:
        return not self.is_gone


def test_what_failed_of_a_shard_that_is_leaving_is_parked_while_it_still_settles() -> None:
    source = Leaving()

    class Revoked(Recording):
        def handle_task(self, offset: int, record: Any) -> object:
            if offset == 1:
                source.is_leaving = True
                run.interrupts.set(Interrupt.REVOKED)
            return super().handle_task(offset, record)

    run = Run(Revoked, ["fail", "ok", "ok"], source=source)
    run.turn()
    assert run.consumer.handled == [0, 1]
    assert set(run.dead()) == {task_id(0)}
    assert source.unsettled() == 0


def test_who_was_frozen_within_a_task_asks_whether_the_next_is_still_its_own() -> None:
    source = Leaving()

    class Frozen(Recording):
        def handle_task(self, offset: int, record: Any) -> object:
            if offset == 1:
                source.is_leaving = True  # and nothing breaks in: the keeper was frozen, too
                run.clock.advance(40)
            return super().handle_task(offset, record)

    run = Run(Frozen, ["ok"] * 4, source=source)
    run.turn()
    assert run.consumer.handled == [0, 1]


@pytest.mark.parametrize("concurrency", [1, 4])
def test_that_the_store_is_back_is_noticed_where_nothing_is_parked(concurrency: int) -> None:
    run = Run(Recording, configs={"concurrency": concurrency})
    run.store.is_away = True
    run.advance(20)
    assert (len(run.told("store_away")), len(run.told("store_back"))) == (1, 0)
    run.store.is_away = False
    run.advance(20)
    assert (len(run.told("store_away")), len(run.told("store_back"))) == (1, 1)
    assert BoardFlag.STORE_AWAY not in run.board.read().flags


def test_what_failed_of_a_shard_that_is_gone_is_not_parked_when_the_store_comes_back() -> None:
    source = Leaving()
    run = Run(Recording, ["fail"], source=source)
    run.store.is_away = True
    run.turn(3)
    source.is_gone = True  # while the loop fetched: nothing broke in
    run.store.is_away = False
    run.clock.advance(30)
    run.turn(3)
    assert run.store.rows == {}
    assert not run.told("task_parked")


@BOTH_LOOPS
def test_a_stop_leaves_the_batch_after_the_running_task_and_gives_back_the_rest(
    consumer_class: type[Recording],
) -> None:
    class Stopped(consumer_class):  # type: ignore[misc,valid-type]  # a class that the test was given
        def handle_task(self, offset: int, record: Any) -> object:
            if offset == 3:
                run.interrupts.set(Interrupt.STOP)
            return super().handle_task(offset, record)

    run = Run(Stopped, ["ok"] * 10)
    assert run.loop.run() is WorkerExit.DRAINED
    assert run.consumer.handled == [0, 1, 2, 3]
    assert run.source.unsettled() == 0
    assert isinstance(run.source, MemorySource)
    assert run.source.lag()[0].tasks == 6


@BOTH_LOOPS
def test_an_interrupt_that_is_no_stop_loses_and_repeats_nothing(consumer_class: type[Recording]) -> None:
    class Interrupted(consumer_class):  # type: ignore[misc,valid-type]  # a class that the test was given
        def handle_task(self, offset: int, record: Any) -> object:
            run.interrupts.set(Interrupt.SETTLE_DUE)
            return super().handle_task(offset, record)

    run = Run(Interrupted, ["ok", "fail", "ok", "retry", "ok"])
    run.until_idle()
    assert run.consumer.handled == [0, 1, 2, 3, 4]
    assert len(run.store.rows) == 2


def test_can_stop_consume_finishes_the_slot_before_the_next_task() -> None:
    class Three(Recording):
        def can_stop_consume(self) -> bool:
            return len(self.handled) == 3

    run = Run(Three, ["ok"] * 10)
    assert run.loop.run() is WorkerExit.FINISHED
    assert run.consumer.handled == [0, 1, 2]


class WaitingWithin(MemorySource):
    """Waits within the user's generator, and lets its worker attend to what is due meanwhile."""

    worker: Worker

    def open(self, context: SourceContext) -> None:
        super().open(context)
        self.worker = context.worker

    def fetch(self, limit: int, timeout_s: float) -> Batch | None:
        assert self.worker.attend(SourceAwayError("nobody answers"))
        assert self.worker.attend(None)
        return super().fetch(limit, timeout_s)


def test_a_source_that_waits_within_the_users_generator_lets_the_loop_do_what_is_due() -> None:
    source = WaitingWithin()

    class Asking(Recording):
        def handle_task(self, offset: int, record: Any) -> object:
            run.interrupts.set(Interrupt.STOP)
            assert source.worker.attend(None)  # in a handler it only answers, and the stop is not taken
            return super().handle_task(offset, record)

    run = Run(Asking, ["ok"], source=source)
    run.turn()
    assert run.consumer.handled == [0]
    assert [fact.name for fact in run.facts if fact.name.startswith("source_")] == ["source_away", "source_back"]


class AwayAtFirst(MemorySource):
    """Does not answer when it is opened, some times."""

    silences = 3

    def open(self, context: SourceContext) -> None:
        if self.silences > 0:
            self.silences -= 1
            raise SourceAwayError("the source is away: it is locked")
        super().open(context)


def test_a_source_that_is_away_at_the_start_is_asked_again_and_said_once() -> None:
    run = Run(Recording, ["ok", "fail"], source=AwayAtFirst())
    assert run.board.read().flags == BoardFlag.SOURCE_AWAY
    turned_ns = run.board.read().turned_ns
    run.turn(20)
    assert run.board.read().turned_ns > turned_ns
    assert run.consumer.handled == [0, 1]
    assert [fact.name for fact in run.facts if fact.name.startswith("source_")] == ["source_away", "source_back"]
    assert run.board.read().flags == 0


class Hampered(MemorySource):
    """Gives tasks though something is wrong."""

    reason = "a partition may not be read"

    def trouble(self) -> SourceAwayError | None:
        return SourceAwayError(self.reason) if self.reason else None


def test_a_source_that_gives_tasks_though_something_is_wrong_is_shown_and_goes_on_at_full_speed() -> None:
    source = Hampered()
    run = Run(Recording, ["ok"] * 40, source=source)
    run.turn(20)
    assert run.consumer.handled == list(range(40))
    assert run.board.read().flags == BoardFlag.SOURCE_AWAY
    assert [fact.fields["error"] for fact in run.told("source_away")] == ["a partition may not be read"]
    source.reason = ""
    run.turn(20)
    assert run.board.read().flags == 0
    assert len(run.told("source_back")) == 1


def test_a_worker_whose_source_was_never_there_leaves_when_it_is_asked_to() -> None:
    source = AwayAtFirst()
    source.silences = 10**9
    run = Run(Recording, ["ok"], source=source)
    run.turn(5)
    run.interrupts.set(Interrupt.STOP)
    assert run.loop.run() is WorkerExit.DRAINED


class Slow(Recording):
    """Fails at first; each attempt takes half a second."""

    def handle_task(self, offset: int, record: Any) -> object:
        super().handle_task(offset, "ok")
        run = self.config["run"][0]
        run.clock.advance(0.5)
        return Retry(after=1) if record == "slow" else None


def test_fresh_tasks_and_due_retries_take_turns() -> None:
    holder: list[Run] = []
    run = Run(Slow, ["slow"] * 30 + ["ok"] * 30, configs={"run": holder, "max_unsettled": 30})
    holder.append(run)
    run.turn(200)  # the thirty come back again and again, each second, and take fifteen
    handled = run.consumer.handled
    order = ["due" if offset in handled[:place] else "fresh" for place, offset in enumerate(handled)]
    assert order.count("fresh") == 60
    until_last = order[: len(order) - order[::-1].index("fresh")]
    assert max(len(list(group)) for kind, group in itertools.groupby(until_last) if kind == "due") == 1
    assert max(len(list(group)) for kind, group in itertools.groupby(until_last) if kind == "fresh") <= 10


def test_slow_due_tasks_are_claimed_one_at_a_time_so_that_other_workers_find_theirs() -> None:
    holder: list[Run] = []
    run = Run(Slow, ["slow"] * 10, configs={"run": holder})
    holder.append(run)
    run.turn(12)
    most: list[int] = []
    claim_due = run.store.claim_due

    def counted(consumer: str, limit: int, lease: object) -> tuple[ParkedTask, ...]:
        claimed = claim_due(consumer, limit, lease)
        most.append(len(claimed))
        return claimed

    run.store.claim_due = counted  # type: ignore[method-assign]  # looked at, not changed
    run.turn(10)
    assert max(most) == 1
    assert len(run.store.claimed) == 0


@given(st.lists(st.floats(0.0001, 100), min_size=1), st.floats(0.01, 10))
def test_what_fits_into_a_turn_is_one_task_or_no_longer_than_the_slowest_would_take(
    times: list[float], turn_s: float
) -> None:
    pace = Pace(1.0)
    for seconds in times:
        pace.learn(1, seconds)
    fitting = pace.fitting(turn_s)
    assert fitting == 1 or fitting * min(*times, 1.0) <= turn_s * 1.001


def test_hooks_surround_each_task_and_around_task_each_attempt() -> None:
    class Hooked(Recording):
        def pre_handle_task(self) -> None:
            self.handled.append(-1)

        def post_handle_task(self) -> None:
            self.handled.append(-2)

        @contextmanager
        def around_task(self, offset: int, record: Any) -> Iterator[None]:
            self.handled.append(100 + offset)
            yield

    run = Run(Hooked, ["ok", "fail"], configs={"task_retry_times": 1})
    run.until_idle()
    assert run.consumer.handled == [-1, 100, 0, -2, -1, 101, 1, 101, 1, -2]


def test_reload_config_runs_before_the_first_task_and_then_every_interval() -> None:
    class Reloading(Recording):
        def reload_config(self) -> None:
            self.handled.append(-1)

    run = Run(Reloading, ["ok", "ok"], configs={"reload_interval": 60})
    run.until_idle()
    assert run.consumer.handled == [-1, 0, 1]
    run.clock.advance(61)
    run.turn()
    assert run.consumer.handled == [-1, 0, 1, -1]


def test_a_handler_knows_its_attempt_and_when_it_was_first_made() -> None:
    class Asking(Recording):
        def handle_task(self, offset: int, record: Any) -> object:
            self.handled.append(self.attempt)
            first_seen.append(self.first_seen)
            return Retry(after=1) if self.attempt < 3 else None

    first_seen: list[float | None] = []
    run = Run(Asking, ["x"])
    started = run.clock.wall()
    for _ in range(3):
        run.turn(2)
        run.clock.advance(2)
    assert run.consumer.handled == [1, 2, 3]
    assert first_seen == [None, started, started]


def test_asking_between_tasks_is_an_error_of_the_callers() -> None:
    run = Run(Recording)
    with pytest.raises(RuntimeError, match="no task is being handled"):
        _ = run.consumer.attempt


@BOTH_LOOPS
def test_a_task_that_is_done_is_not_handled_any_more_while_the_loop_attends(consumer_class: type[Recording]) -> None:
    class Interrupting(consumer_class):  # type: ignore[misc,valid-type]  # a class that is a parameter
        def handle_task(self, offset: int, record: Any) -> object:
            run.interrupts.set(Interrupt.SETTLE_DUE)
            return super().handle_task(offset, record)

    class Asking(MemorySource):
        def settle(self, settlements: Sequence[Settlement], *, is_due: bool) -> None:
            super().settle(settlements, is_due=is_due)
            if is_due:
                with pytest.raises(RuntimeError):
                    run.runtime.current_task()
                asked.append(len(run.consumer.handled))

    asked: list[int] = []
    run = Run(Interrupting, ["ok", "ok", "ok"], source=Asking())
    run.turn()
    assert asked == [1, 2, 3]


def test_a_coroutine_handler_runs_to_its_end() -> None:
    class Async(Recording):
        async def handle_task(self, offset: int, record: Any) -> object:  # type: ignore[override]  # both are allowed
            return super().handle_task(offset, record)

    run = Run(Async, ["ok", "fail", "ok"])
    run.until_idle()
    run.runtime.shut()
    assert run.consumer.handled == [0, 1, 2]
    assert set(run.dead()) == {task_id(1)}


class Login(BaseModel):
    uid: int


@pytest.mark.parametrize("is_general", [False, True])
def test_a_pydantic_record_is_validated_and_an_invalid_one_parked_unhandled(is_general: bool) -> None:
    class Typed(General if is_general else Recording):  # type: ignore[misc]  # one of two bases
        def handle_task(self, offset: int, record: Login) -> object:
            assert isinstance(record, Login)
            return super().handle_task(offset, "ok")

    run = Run(Typed, [{"uid": 7}, {"uid": "seven"}, {}], configs={"task_retry_times": 3})
    run.until_idle()
    assert run.consumer.handled == [0]
    assert set(run.dead()) == {task_id(1), task_id(2)}
    assert "the record is no Login: uid:" in run.dead()[task_id(2)]


def test_a_deferred_record_is_a_model_again_when_it_comes_from_the_store() -> None:
    class Later(Recording):
        def handle_task(self, offset: int, record: Login) -> object:
            seen.append(record)
            return Retry(after=1) if self.attempt == 1 else None

    seen: list[object] = []
    run = Run(Later, [{"uid": 7}])
    run.until_idle()
    run.clock.advance(5)
    run.turn(2)
    assert seen == [Login(uid=7), Login(uid=7)]


@given(
    st.lists(st.sampled_from(["ok", "fail", "dead", "retry", "value"]), max_size=60),
    st.sets(st.integers(0, 59)),
    st.booleans(),
)
def test_every_task_is_done_or_parked_whatever_fails_and_whenever_interrupts_come(
    records: list[str], interrupted_at: set[int], is_general: bool
) -> None:
    class Interrupted(General if is_general else Recording):  # type: ignore[misc]  # one of two bases
        def handle_task(self, offset: int, record: Any) -> object:
            if offset in interrupted_at:
                run.interrupts.set(Interrupt.SETTLE_DUE)
            return super().handle_task(offset, record)

    run = Run(Interrupted, records)
    run.until_idle()
    assert run.consumer.handled == list(range(len(records)))
    assert set(run.store.rows) == {
        task_id(n) for n, record in enumerate(records) if record in ("fail", "dead", "retry")
    }
    assert run.source.unsettled() == 0


def test_an_oversized_payload_is_parked_again_however_often_it_is_retried() -> None:
    run = Run(Recording, configs={"payload_limit": 100})
    big = parked_task_of(b'"' + b"x" * 200 + b'"')
    run.store.park([big])
    run.clock.advance(1)
    run.turn()
    assert run.consumer.handled == []
    assert "payload_limit" in run.dead()[big.task_id]


def parked_task_of(payload: bytes) -> ParkedTask:
    """A waiting task that is due."""
    return ParkedTask(
        consumer=NAME,
        task_id=TaskId(task_id(0)),
        source=NAME,
        shard=0,
        position=0,
        offset=0,
        state=ParkedState.WAITING,
        due_at=0.0,
        attempts=1,
        first_at=0.0,
        last_at=0.0,
        error="",
        traceback="",
        payload=payload,
    )


@BOTH_LOOPS
def test_a_pause_between_attempts_attends_and_does_not_spin(consumer_class: type[Recording]) -> None:
    class Pausing(consumer_class):  # type: ignore[misc,valid-type]  # a class that the test was given
        RETRY_BASIC_INTERVAL = 10

        def handle_task(self, offset: int, record: Any) -> object:
            run.interrupts.set(Interrupt.SETTLE_DUE)
            return super().handle_task(offset, record)

    run = Run(Pausing, ["fail"], configs={"task_retry_times": 2})
    started = run.clock.monotonic()
    run.turn()
    assert run.consumer.handled == [0, 0, 0]
    assert run.clock.monotonic() - started == pytest.approx(10)
    assert run.interrupts.cell == [False]


@BOTH_LOOPS
def test_a_stop_between_two_attempts_gives_the_task_back(consumer_class: type[Recording]) -> None:
    class Stopped(consumer_class):  # type: ignore[misc,valid-type]  # a class that the test was given
        def handle_task(self, offset: int, record: Any) -> object:
            run.interrupts.set(Interrupt.STOP)
            return super().handle_task(offset, record)

    run = Run(Stopped, ["fail", "ok"], configs={"task_retry_times": 5})
    assert run.loop.run() is WorkerExit.DRAINED
    assert run.consumer.handled == [0]
    assert run.store.rows == {}
    assert isinstance(run.source, MemorySource)
    assert run.source.lag()[0].tasks == 2


def test_a_task_that_comes_back_has_its_hooks_its_facts_and_its_counts() -> None:
    class Hooked(Recording):
        def pre_handle_task(self) -> None:
            self.handled.append(-1)

        def post_handle_task(self) -> None:
            self.handled.append(-2)

    run = Run(Hooked, ["fail"], configs={"back_off_time": 1, "expire_time": 2})
    run.until_idle()
    run.clock.advance(1.5)
    run.turn()
    assert run.consumer.handled == [-1, 0, -2, -1, 0, -2]
    assert [fact.fields["state"] for fact in run.told("task_parked")] == ["waiting", "dead"]
    reading = run.board.read()
    assert (reading.handled, reading.failed, reading.parked) == (0, 2, 2)
    assert reading.busy == ()


class Changing(Recording):
    """Takes its record apart, fails at first, and keeps what it was given."""

    def handle_task(self, offset: int, record: Any) -> object:
        self.handled.append(record.pop("n"))
        raise OSError("away for a moment")


class ChangingGeneral(Changing):
    def pre_handle_task(self) -> None:
        """By the general loop."""


@pytest.mark.parametrize("consumer_class", [Changing, ChangingGeneral])
def test_a_record_that_the_handler_changed_is_whole_in_each_attempt_and_in_the_store(
    consumer_class: type[Recording],
) -> None:
    run = Run(consumer_class, [{"n": 1}, {"n": 2}], configs={"task_retry_times": 2})
    run.until_idle()
    assert run.consumer.handled == [1, 1, 1, 2, 2, 2]
    assert run.store.rows[task_id(0)].payload == b'{"n":1}'


@BOTH_LOOPS
def test_a_handler_whose_body_never_runs_has_failed(consumer_class: type[Recording]) -> None:
    class Yielding(consumer_class):  # type: ignore[misc,valid-type]  # a class that the test was given
        def handle_task(self, offset: int, record: Any) -> object:
            yield offset

    run = Run(Yielding, ["ok", "ok"])
    run.until_idle()
    assert set(run.dead()) == {task_id(0), task_id(1)}
    assert "its body never ran" in run.dead()[task_id(0)]


@BOTH_LOOPS
@pytest.mark.parametrize("after", ["5", None, -1, float("inf"), float("nan"), 10**400, True])
def test_a_retry_that_makes_no_sense_is_a_failed_attempt(consumer_class: type[Recording], after: Any) -> None:
    class Asking(consumer_class):  # type: ignore[misc,valid-type]  # a class that the test was given
        def handle_task(self, offset: int, record: Any) -> object:
            return Retry(after=after)

    run = Run(Asking, ["ok"])
    run.until_idle()
    assert "wants seconds" in run.dead()[task_id(0)]


@BOTH_LOOPS
def test_an_error_that_exits_when_it_is_read_is_parked_as_any_other(consumer_class: type[Recording]) -> None:
    class HostileError(Exception):
        def __str__(self) -> str:
            raise SystemExit(1)

    class Hostile(consumer_class):  # type: ignore[misc,valid-type]  # a class that the test was given
        def handle_task(self, offset: int, record: Any) -> object:
            raise HostileError

    run = Run(Hostile, ["ok"])
    run.until_idle()
    assert set(run.dead()) == {task_id(0)}


class Fickle(BaseModel):
    """Refuses a record when it is asked for the second time."""

    uid: int
    asked: ClassVar[int] = 0

    @field_validator("uid")
    @classmethod
    def once(cls, uid: int) -> int:
        cls.asked += 1
        if cls.asked > 1:
            raise ValueError("it has changed its mind")
        return uid


@pytest.mark.parametrize("is_general", [False, True])
def test_a_handlers_own_error_is_kept_whatever_becomes_of_its_record(is_general: bool) -> None:
    class Typed(General if is_general else Recording):  # type: ignore[misc]  # one of two bases
        def handle_task(self, offset: int, record: Fickle) -> object:
            return super().handle_task(offset, "fail")

    Fickle.asked = 0
    run = Run(Typed, [{"uid": 7}])
    run.until_idle()
    assert run.dead() == {task_id(0): "ValueError: it failed"}
    assert run.consumer.handled == [0]


def test_a_settlement_that_is_due_in_a_pause_between_two_attempts_is_made_in_it() -> None:
    class Settling(MemorySource):
        def settle(self, settlements: Any, *, is_due: bool) -> None:
            super().settle(settlements, is_due=is_due)
            if is_due and settled_at[-1:] != [self._settled]:
                settled_at.append(self._settled)

    class Pausing(Recording):
        RETRY_BASIC_INTERVAL = 3600

        def handle_task(self, offset: int, record: Any) -> object:
            if record == "fail":
                run.interrupts.set(Interrupt.SETTLE_DUE)
            return super().handle_task(offset, record)

    settled_at: list[int] = []
    run = Run(Pausing, ["ok", "ok", "fail", "ok"], source=Settling(), configs={"task_retry_times": 2})
    run.turn()
    assert run.consumer.handled == [0, 1, 2, 2, 2, 3]
    assert settled_at[0] == 2


def test_what_failed_is_parked_when_its_shard_is_revoked_in_a_pause_between_two_attempts() -> None:
    source = Leaving()

    class Pausing(Recording):
        RETRY_BASIC_INTERVAL = 3600

        def handle_task(self, offset: int, record: Any) -> object:
            if self.handled.count(1) == 1:
                source.is_leaving = True
                run.interrupts.set(Interrupt.REVOKED)
            return super().handle_task(offset, record)

    run = Run(Pausing, ["dead", "fail", "ok"], source=source, configs={"task_retry_times": 5})
    run.turn()
    assert run.consumer.handled == [0, 1, 1]
    assert set(run.dead()) == {task_id(0)}
    assert source.lag()[0].tasks == 2
    assert source.unsettled() == 0
