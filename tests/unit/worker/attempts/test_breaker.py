"""What becomes of tasks while what they need does not answer: by the loop, with time that moves by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar

import pytest

from consumerd import BaseConsumer
from consumerd.events.facts import Fact
from consumerd.testing.clock import ManualClock
from consumerd.testing.running import Run, context_in_memory
from consumerd.wire.board import BoardFlag
from consumerd.worker.attempts.breaker import (
    ATTEMPTS_THAT_OPEN,
    LONGEST_PAUSE_S,
    RENEW_AFTER_S,
    TASKS_THAT_OPEN,
    UNTRIED_S,
    Breaker,
)
from consumerd.worker.tasks.interrupts import Interrupt

OUTAGE_S = 300.0


class Needing(BaseConsumer):
    """Needs a database, which is away from `away_from` on, for a while; a record says what else is wrong."""

    SOURCE: ClassVar[str] = "memory"
    away_from = 0.0
    run: Run
    began: float

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.tried_at: list[float] = []
        self.done: set[int] = set()

    def handle_task(self, offset: int, record: Any) -> None:
        now = passed(self.run)
        self.tried_at.append(now)
        self.run.clock.advance(0.001)
        if record == "lost" or self.away_from <= now < self.away_from + OUTAGE_S:
            raise ConnectionRefusedError(111, f"refused at {now}")
        if record == "bad":
            raise ValueError("it failed")
        self.done.add(offset)


class General(Needing):
    """The same by the general loop."""

    def pre_handle_task(self) -> None:
        """One hook overridden is enough."""


def run_of(records: list[str], consumer_class: type[Needing] = Needing, **configs: Any) -> Run:
    run = Run(consumer_class, records, configs=configs)
    run.consumer.run, run.consumer.began = run, run.clock.monotonic()
    return run


def passed(run: Run) -> float:
    """Seconds since the run began."""
    return run.clock.monotonic() - run.consumer.began


def until(run: Run, at: float) -> None:
    while passed(run) < at:
        run.turn()


@pytest.mark.parametrize("consumer_class", [Needing, General])
@pytest.mark.parametrize("retry_times", [0, 2, 50])
def test_no_task_dies_of_an_outage_and_few_attempts_are_made_in_it(
    consumer_class: type[Needing], retry_times: int
) -> None:
    run = run_of(["ok"] * 100, consumer_class, task_retry_times=retry_times)
    until(run, OUTAGE_S)
    attempts = len([at for at in run.consumer.tried_at if at < OUTAGE_S])
    most_before = max(ATTEMPTS_THAT_OPEN, (TASKS_THAT_OPEN - 1) * (retry_times + 1)) + retry_times + 1
    assert attempts <= most_before + 2 * OUTAGE_S / LONGEST_PAUSE_S + 10
    until(run, OUTAGE_S + 90)
    assert run.consumer.done == set(range(100))
    assert run.store.rows == {}
    assert len(run.told("destination_away")) == len(run.told("destination_back")) == 1
    assert run.board.read().flags == BoardFlag(0)


def test_an_open_breaker_is_a_flag_on_the_board_and_says_why() -> None:
    run = run_of(["ok"] * 100)
    while not run.told("destination_away"):
        run.turn()
    assert run.board.read().flags == BoardFlag.DESTINATION_AWAY
    (fact,) = run.told("destination_away")
    assert str(fact.fields["error"]).startswith("ConnectionRefusedError: ")
    assert fact.fields["then"] == "another process takes this one's place"


def test_a_task_that_alone_is_refused_gets_one_more_round_and_is_dead_then() -> None:
    run = run_of(["ok", "lost", "ok", "ok"])
    run.consumer.away_from = -OUTAGE_S
    run.until_idle()
    assert len(run.waiting()) == 1
    until(run, 60)
    assert len(run.dead()) == 1
    assert run.consumer.done == {0, 2, 3}
    assert not run.told("destination_away")


@pytest.mark.parametrize("other", ["ok", "bad"])
def test_a_kind_of_tasks_that_is_refused_among_others_opens_nothing(other: str) -> None:
    run = run_of(["lost", other] * 50)
    run.consumer.away_from = -OUTAGE_S
    run.until_idle()
    assert not run.told("destination_away")


def test_one_task_with_many_retries_opens_nothing() -> None:
    run = run_of(["lost"], task_retry_times=3 * ATTEMPTS_THAT_OPEN)
    run.consumer.away_from = -OUTAGE_S
    run.turn()
    assert len(run.consumer.tried_at) > 3 * ATTEMPTS_THAT_OPEN
    assert not run.told("destination_away")


def test_a_task_past_its_expire_time_expires_as_ever() -> None:
    run = run_of(["lost"], expire_time=20)
    run.consumer.away_from = -OUTAGE_S
    until(run, 60)
    assert len(run.dead()) == 1


class Alone:
    """A breaker by itself."""

    def __init__(self, *, is_wary: bool = False) -> None:
        self.clock = ManualClock()
        self.facts: list[Fact] = []
        context = context_in_memory(self.clock, self.facts, {})
        self.context = replace(context, member="0.shop.Mail.0", is_wary=is_wary)
        self.breaker = Breaker(self.context, is_kept=False)

    @property
    def is_replaced(self) -> bool:
        """Whether it has asked for another process since this was last asked."""
        return Interrupt.STALE in self.context.interrupts.take()

    def fail(self, times: int, kind: str = "OperationalError") -> None:
        for _ in range(times):
            self.breaker.note_failed(kind, kind, is_first=True)


def test_other_errors_in_between_keep_it_closed() -> None:
    alone = Alone()
    alone.fail(ATTEMPTS_THAT_OPEN - 1)
    alone.fail(1, "redis.exceptions.ConnectionError")
    alone.fail(ATTEMPTS_THAT_OPEN - 1)
    assert not alone.breaker.is_open
    alone.fail(1)
    assert alone.breaker.is_open


def test_a_worker_is_replaced_once_and_its_successor_opens_with_the_first_error_unless_it_had_a_success() -> None:
    first, wary, reassured = Alone(), Alone(is_wary=True), Alone(is_wary=True)
    reassured.breaker.note_done()
    first.fail(ATTEMPTS_THAT_OPEN)
    wary.fail(1)
    reassured.fail(1)
    assert [alone.breaker.is_open for alone in (first, wary, reassured)] == [True, True, False]
    assert [alone.is_replaced for alone in (first, wary, reassured)] == [True, False, False]
    assert wary.facts[0].fields["then"] == "tasks are tried one at a time"
    reassured.fail(ATTEMPTS_THAT_OPEN)
    assert reassured.is_replaced


def test_a_successor_in_which_nothing_ever_answers_is_replaced_after_a_while() -> None:
    alone = Alone(is_wary=True)
    alone.fail(1)
    alone.clock.advance(RENEW_AFTER_S - 1)
    alone.fail(1)
    assert not alone.is_replaced
    alone.clock.advance(1)
    alone.fail(1)
    assert alone.is_replaced


def test_without_a_task_to_try_it_says_so_and_the_next_error_opens_it_again() -> None:
    alone = Alone()
    alone.fail(ATTEMPTS_THAT_OPEN)
    alone.clock.advance(UNTRIED_S)
    alone.breaker.rest()
    assert alone.breaker.is_open
    alone.clock.advance(1)
    alone.breaker.rest()
    assert not alone.breaker.is_open
    assert "then" in alone.facts[-1].fields
    alone.fail(1)
    assert alone.breaker.is_open
