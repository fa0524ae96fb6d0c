"""Why the next task does not start, as the board has it; by the loop, with time that moves by hand."""

from __future__ import annotations

from typing import Any, ClassVar

import pytest

from consumerd import BaseConsumer
from consumerd.errors import SourceAwayError
from consumerd.sources.contract import Batch
from consumerd.sources.memory import MemorySource
from consumerd.testing.running import Run
from consumerd.wire.board import Hold


class Failing(BaseConsumer):
    """Fails by its record: at a connection, or for another reason."""

    SOURCE: ClassVar[str] = "memory"

    def handle_task(self, offset: int, record: Any) -> None:
        if record == "refused":
            raise ConnectionRefusedError(111, "no database")
        if record == "bad":
            raise ValueError("it failed")


def hold(run: Run) -> Hold:
    return run.board.read().hold


def test_nothing_holds_a_task_where_all_is_well() -> None:
    run = Run(Failing, ["ok"] * 3)
    run.until_idle()
    assert hold(run) is Hold.NOTHING


def test_a_pause_holds_tasks_and_is_over_when_it_is_lifted() -> None:
    run = Run(Failing, ["ok"] * 3)
    run.interrupts.is_paused = True
    run.turn(3)
    assert (hold(run), run.done) == (Hold.PAUSED, 0)
    run.interrupts.is_paused = False
    run.until_idle()
    assert (hold(run), run.done) == (Hold.NOTHING, 3)


class Silent(MemorySource):
    """Does not answer, until it does."""

    is_away = True

    def fetch(self, limit: int, timeout_s: float) -> Batch | None:
        if self.is_away:
            raise SourceAwayError("no broker answers")
        return super().fetch(limit, timeout_s)


def test_a_source_that_is_away_holds_them() -> None:
    source = Silent()
    run = Run(Failing, ["ok"] * 3, source=source)
    while hold(run) is Hold.NOTHING:
        run.turn()
    assert hold(run) is Hold.SOURCE_AWAY
    source.is_away = False
    run.advance(10)
    assert (hold(run), run.done) == (Hold.NOTHING, 3)


def test_so_many_tasks_that_wait_for_the_store_hold_the_others() -> None:
    run = Run(Failing, ["bad"] * 10, configs={"max_unsettled": 3})
    run.store.is_away = True
    run.turn(20)
    assert (hold(run), run.board.read().failed) == (Hold.STORE_AWAY, 3)


class Unsettling(MemorySource):
    """Never says that what is finished is settled."""

    def settle(self, settlements: Any, *, is_due: bool) -> None:
        """Nothing."""


def test_as_many_as_may_be_unsettled_hold_the_others() -> None:
    run = Run(Failing, ["ok"] * 10, source=Unsettling(), configs={"max_unsettled": 3})
    run.turn(20)
    assert (hold(run), run.done) == (Hold.UNSETTLED_FULL, 3)


class Looking(BaseConsumer):
    """Keeps what the board says is unsettled while each task runs."""

    SOURCE: ClassVar[str] = "memory"
    run: Run

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.seen: list[int] = []

    def handle_task(self, offset: int, record: Any) -> None:
        self.seen.append(self.run.board.read().unsettled)


class LookingAtOnce(Looking):
    """The same, several at once."""

    async def handle_task(self, offset: int, record: Any) -> None:  # type: ignore[override]
        super().handle_task(offset, record)


@pytest.mark.parametrize(("consumer", "configs"), [(Looking, {}), (LookingAtOnce, {"concurrency": 5})])
def test_tasks_that_run_or_wait_in_hand_are_unsettled(consumer: type[Looking], configs: dict[str, Any]) -> None:
    run = Run(consumer, ["ok"] * 5, configs=configs)
    run.consumer.run = run
    run.until_idle()
    assert run.consumer.seen == [5] * 5
    assert run.board.read().unsettled == 0


def test_an_open_breaker_holds_the_next_task_though_it_is_fetched() -> None:
    run = Run(Failing, ["refused"] * 100)
    while not run.told("destination_away"):
        run.turn()
    failed = run.board.read().failed
    run.turn(3)
    assert hold(run) is Hold.DESTINATION_AWAY
    assert failed < run.board.read().failed < 100
