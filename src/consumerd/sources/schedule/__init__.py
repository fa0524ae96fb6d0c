"""A schedule as a source: at each of its times one run, on whichever worker of whichever host claims it."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from consumerd.clock import wall
from consumerd.sources.askable import Askable, AskContext
from consumerd.sources.contract import Source, SourceKind, Traits
from consumerd.sources.schedule.options import ScheduleOptions

TRAITS = Traits(durable_defer=True, gives_again=True, runs_by_hand=True, one_at_a_time=True)


def _make() -> Source:
    from consumerd.sources.schedule.source import ScheduleSource

    return ScheduleSource()


def _next_runs(options: Any) -> Iterator[str]:  # ScheduleOptions
    times = (datetime.fromtimestamp(time, options.zone) for time in options.times_after(wall(), 3))
    yield f"its next runs are {', '.join(time.strftime('%a %Y-%m-%d %H:%M:%S %Z') for time in times)}"


def _decode(options: Any, payload: bytes) -> object:  # ScheduleOptions
    from consumerd.sources.schedule.tick import tick_of

    return tick_of(payload, options.zone)


def _ask(context: AskContext) -> Askable:
    from consumerd.sources.schedule.asked import AskedSchedule

    return AskedSchedule(context)


KIND = SourceKind(
    name="schedule",
    options=ScheduleOptions,
    make=_make,
    traits=TRAITS,
    remarks=_next_runs,
    payload_now=b"{}",
    decode=_decode,
    ask=_ask,
)
