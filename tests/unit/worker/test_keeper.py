"""What a worker says of a running attempt, and what its keeper makes of it; time moves by hand."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, ClassVar, cast

import pytest

from consumerd import BaseConsumer
from consumerd.config.keys.worker_range import WorkerRange
from consumerd.errors import SourceAwayError
from consumerd.events.facts import Fact
from consumerd.sources.contract import ShardLag, Source
from consumerd.testing.clock import ManualClock
from consumerd.testing.running import Run, _RecordingLink, context_in_memory
from consumerd.wire.board import BUSY_SINCE_NS, LANES_AT, Lane
from consumerd.wire.messages import Lag
from consumerd.worker.keeper import Keeper, OwnWatch, lag_interval_s
from consumerd.worker.tasks.due import DueTasks


class Watched(BaseConsumer):
    """Each attempt takes three seconds, says once that it goes on, and looks at its own board."""

    SOURCE: ClassVar[str] = "memory"
    run: ClassVar[Run]

    def __init__(self, worker_id: int, **kwargs: Any) -> None:
        super().__init__(worker_id, **kwargs)
        self.lanes: list[Lane] = []

    def handle_task(self, offset: int, record: Any) -> None:
        self.run.clock.advance(2.0)
        if record == "tell":
            self.progress()
        self.run.clock.advance(1.0)
        self.lanes += self.run.board.read().lanes
        if record == "fail":
            raise ValueError("it failed")

    def attempts_s(self) -> list[float]:
        """When each attempt began, or last told, after the begin of its batch."""
        return [(lane.attempt_since_ns - lane.busy_since_ns) / 1e9 for lane in self.lanes]


def watched(*records: str, **configs: Any) -> Run:
    Watched.run = Run(Watched, records, configs=configs)
    Watched.run.until_idle()
    return Watched.run


def test_progress_is_written_to_the_board() -> None:
    assert watched("ok", "tell").consumer.lanes[0].attempt_since_ns == 0
    assert Watched.run.consumer.attempts_s()[1] == 5.0


def test_each_attempt_outside_the_fast_loop_begins_anew() -> None:
    run = watched("fail", task_retry_times=2)
    first, second, third = run.consumer.lanes
    assert first.attempt_since_ns == 0
    assert 3.0 <= (second.attempt_since_ns - second.busy_since_ns) / 1e9 < third.attempt_since_ns / 1e9


def test_progress_between_tasks_and_without_a_worker_changes_nothing() -> None:
    run = watched("ok")
    run.consumer.progress()
    assert run.board.read().lanes[0].attempt_since_ns == 0
    Watched(0).progress()


def test_each_turn_of_the_loop_is_written_to_the_board() -> None:
    run = watched("ok")
    before = run.board.read().turned_ns
    run.clock.advance(1.0)
    run.turn()
    assert run.board.read().turned_ns >= before + 1_000_000_000


class Held:
    """In the place of the source and the due tasks: counts how often they were kept."""

    def __init__(self) -> None:
        self.ticks = 0
        self.renewals = 0
        self.listens: list[bool] = []
        self.is_away = False
        self.lags: list[tuple[ShardLag, ...] | None] = []

    def tick(self) -> None:
        self.ticks += 1
        if self.is_away:
            raise SourceAwayError("no broker answers")

    def listen(self, *, is_wanted: bool) -> None:
        self.listens.append(is_wanted)

    def renew(self) -> None:
        self.renewals += 1

    def lag(self) -> tuple[ShardLag, ...] | None:
        return self.lags.pop(0)


class Keeping:
    """A keeper whose beats a test makes, of a worker with a master."""

    def __init__(self) -> None:
        self.held = Held()
        self.facts: list[Fact] = []
        self.clock = ManualClock()
        self.is_open = True
        self.link = _RecordingLink()
        context = context_in_memory(self.clock, self.facts, {"task_timeout": 10})
        self.words = context.words
        self.keeper = Keeper(
            replace(context, member="0.shop.Mail.0"),
            cast("Source", self.held),
            cast("DueTasks", self.held),
            self.link,
            is_open=lambda: self.is_open,
        )


def test_a_keeper_lets_go_while_an_attempt_is_overdue_and_says_so_once() -> None:
    keeping = Keeping()
    keeping.words[LANES_AT + BUSY_SINCE_NS] = 1
    renewals = []
    for _ in range(3):
        keeping.keeper.hold()
        renewals.append(keeping.held.renewals)
        keeping.clock.advance(10.0)
    keeping.words[LANES_AT + BUSY_SINCE_NS] = 0
    keeping.keeper.hold()
    assert renewals == [1, 1, 1]
    assert (keeping.held.ticks, keeping.held.renewals) == (2, 2)
    assert [fact.name for fact in keeping.facts] == ["keeper_let_go"]


def test_a_lag_that_is_on_its_way_is_asked_for_with_the_next_beat() -> None:
    keeping = Keeping()
    keeping.link.measures_lag = True
    keeping.held.lags = [None, (ShardLag(0, 7, None, 7),)]
    for _ in range(3):
        keeping.keeper.measure_lag()
    assert [message.shards for message in keeping.link.told if isinstance(message, Lag)] == [((0, 7, None, 7),)]


def test_a_keeper_keeps_nothing_of_a_source_that_is_not_open_yet() -> None:
    keeping = Keeping()
    keeping.is_open = False
    keeping.keeper.hold()
    assert (keeping.held.ticks, keeping.held.renewals) == (0, 0)


def test_who_measures_the_lag_listens_too() -> None:
    keeping = Keeping()
    keeping.is_open = False
    keeping.keeper.listen()
    keeping.is_open = True
    keeping.keeper.listen()
    keeping.link.measures_lag = True
    keeping.keeper.listen()
    assert keeping.held.listens == [False, True]


def test_a_keeper_renews_claims_though_the_source_is_away() -> None:
    keeping = Keeping()
    keeping.held.is_away = True
    with pytest.raises(SourceAwayError):
        keeping.keeper.hold()
    assert keeping.held.renewals == 1


def test_a_worker_dates_its_own_attempt_from_its_first_look_and_progress_begins_it_anew() -> None:
    class Slow(Watched):
        def handle_task(self, offset: int, record: Any) -> None:
            watch = OwnWatch(self.run.board.words, 10.0, self.run.clock)
            looks = []
            for second in range(25):
                if second == 5:
                    self.progress()
                looks.append(watch.is_overdue())
                self.run.clock.advance(1.0)
            seen.append(looks.index(True))

    seen: list[int] = []
    Slow.run = Run(Slow, ["ok"])
    Slow.run.until_idle()
    assert seen == [15]


@pytest.mark.parametrize(("target_s", "interval_s"), [(1.0, 1.0), (8.0, 2.0), (30.0, 7.5), (600.0, 10.0)])
def test_the_lag_is_measured_more_often_where_it_has_to_be_worked_off_soon(target_s: float, interval_s: float) -> None:
    assert lag_interval_s(WorkerRange(max=2, target_seconds=target_s)) == interval_s
    assert lag_interval_s(None) == 10.0
