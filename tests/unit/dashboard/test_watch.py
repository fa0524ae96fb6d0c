"""The master is asked for all browsers together, and no more than it can bear."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any

import pytest

from consumerd.dashboard.watch import APART_S, LOOKED_AT_EVERY_S, SILENT_S, Watch
from consumerd.errors import NotRunningError
from consumerd.testing.clock import ManualClock
from consumerd.wire.metrics import Metrics
from consumerd.wire.status import Status

STATUS = Status(
    version="1",
    pid=1,
    config="c",
    started_at=0.0,
    state="running",
    is_healthy=True,
    problems=[],
    pools=[],
    disabled=[],
    limits=[],
)
DEADLINE_S = 10.0
BUG = "an error of consumerd's, which its log has (ValueError('broken'))"


class Asked:
    """A master that answers after so long by the test's clock, or not."""

    def __init__(self, clock: ManualClock, takes_s: float = 0.0) -> None:
        self.clock = clock
        self.takes_s = takes_s
        self.times = 0
        self.is_away = False

    def __call__(self) -> Metrics:
        self.times += 1
        self.clock.advance(self.takes_s)
        if self.is_away:
            raise NotRunningError("no master answers")
        return Metrics(STATUS, [], {})


def run(coroutine: Coroutine[Any, Any, None]) -> None:
    async def limited() -> None:
        async with asyncio.timeout(DEADLINE_S):
            await coroutine

    asyncio.run(limited())


def test_many_who_look_are_one_question() -> None:
    async def look() -> None:
        asked = Asked(ManualClock())
        watch = Watch(asked, clock=asked.clock)
        seen = await asyncio.gather(*(watch.fresh() for _ in range(20)))
        assert asked.times == 1
        assert {each.number for each in seen} == {1}
        asked.clock.advance(1.0)
        assert (await watch.fresh()).number == 2

    run(look())


def test_what_was_answered_last_is_kept_with_the_reason_why_nothing_comes() -> None:
    async def look() -> None:
        asked = Asked(ManualClock())
        watch = Watch(asked, clock=asked.clock)
        before = await watch.fresh()
        asked.is_away = True
        asked.clock.advance(1.0)
        away = await watch.fresh()
        assert (away.metrics, away.at, away.error) == (before.metrics, before.at, "no master answers")
        asked.is_away = False
        asked.clock.advance(1.0)
        assert (await watch.fresh()).error == ""

    run(look())


def test_who_waits_is_told_when_something_is_new() -> None:
    async def look() -> None:
        asked = Asked(ManualClock())
        watch = Watch(asked, clock=asked.clock)
        waiting = asyncio.create_task(watch.after(0, DEADLINE_S))
        await asyncio.sleep(0)
        await watch.fresh()
        assert (await waiting).number == 1
        assert (await watch.after(1, 0.0)).number == 1

    run(look())


def test_what_rates_compare_with_is_old_enough_to_tell_something() -> None:
    async def look() -> None:
        asked = Asked(ManualClock())
        watch = Watch(asked, clock=asked.clock)
        ages = []
        for _ in range(20):
            seen = await watch.fresh()
            ages.append(seen.apart_s if seen.before is not None else None)
            asked.clock.advance(1.0)
        known = [age for age in ages if age is not None]
        assert len(known) == 19
        assert all(APART_S <= age <= 2 * APART_S for age in known[1:])

    run(look())


def test_a_master_that_is_silent_is_told_of_before_its_answer_fails() -> None:
    async def look() -> None:
        asked = Asked(ManualClock())
        watch = Watch(asked, clock=asked.clock)
        await watch.fresh()
        assert watch.why_old() == ""
        asked.clock.advance(LOOKED_AT_EVERY_S + SILENT_S + 1.0)
        assert watch.why_old() == "the master has not answered for 4 s"
        await watch.fresh()
        assert watch.why_old() == ""

    run(look())


def test_after_an_act_the_master_is_asked_at_once() -> None:
    async def look() -> None:
        asked = Asked(ManualClock())
        watch = Watch(asked, clock=asked.clock)
        await watch.fresh()
        watch.ask_again()
        await watch.fresh()
        assert asked.times == 2

    run(look())


def test_an_error_of_our_own_ends_no_watch_and_is_told(capsys: pytest.CaptureFixture[str]) -> None:
    async def look() -> None:
        asked, is_broken = Asked(ManualClock()), True

        def ask() -> Metrics:
            metrics = asked()
            if is_broken:
                raise ValueError("broken")
            return metrics

        watch = Watch(ask, clock=asked.clock)
        running = asyncio.create_task(watch.run())
        assert (await watch.after(0, DEADLINE_S)).error == BUG
        asked.clock.advance(1.0)
        assert (await watch.fresh()).error == BUG
        is_broken = False
        asked.clock.advance(1.0)
        with watch.looking():
            seen = await watch.after(2, DEADLINE_S)
        assert (seen.error, seen.metrics is not None, running.done()) == ("", True, False)
        running.cancel()

    run(look())
    assert capsys.readouterr().err.count("Traceback") == 1


def test_where_an_answer_cannot_be_kept_it_is_shown_and_that_is_told() -> None:
    async def look() -> None:
        def keep(metrics: Metrics, at: float) -> None:
            raise ValueError("broken")

        asked = Asked(ManualClock())
        seen = await Watch(asked, keep, asked.clock).fresh()
        assert (seen.error, seen.trouble, seen.metrics is not None) == ("", BUG, True)

    run(look())
