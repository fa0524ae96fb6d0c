"""What the loop parks and takes up again, with a store that can be taken away; time moves by hand."""

from __future__ import annotations

import itertools
from typing import Any

import pytest

from consumerd import Retry
from consumerd.errors import StoreAwayError, UnstorableError
from consumerd.model.parked import ParkedState, ParkedTask
from consumerd.model.task import TaskId
from consumerd.testing.running import NAME, Run
from consumerd.wire.board import BoardFlag
from consumerd.worker.tasks.interrupts import Interrupt
from unit.worker.tasks.loops import BOTH_LOOPS, Leaving, Recording, task_id


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
def test_a_deferred_task_waits_in_the_store_and_comes_again_when_due(consumer_class: type[Recording]) -> None:
    run = Run(consumer_class, ["retry", "ok"])
    run.until_idle()
    assert set(run.waiting()) == {task_id(0)}
    assert run.consumer.handled == [0, 1]
    run.clock.advance(5)
    run.turn()
    assert run.consumer.handled == [0, 1, 0]
    assert run.store.rows[task_id(0)].attempts == 2


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
    run = Run(Recording, ["ok", "fail"], source=source)
    run.store.is_away = True
    run.turn(3)
    source.is_gone = True  # while the loop fetched: nothing broke in
    run.store.is_away = False
    run.clock.advance(30)
    run.turn(3)
    assert source.dropped == range(1, 2)
    assert run.store.rows == {}
    assert not run.told("task_parked")


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
