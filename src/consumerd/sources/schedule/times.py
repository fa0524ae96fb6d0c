"""When a schedule's runs are due, and what becomes of those that nobody made in time. Pure.

Times are seconds since the epoch. Nothing here knows how late it is but by what it is given.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, tzinfo
from typing import Literal
from zoneinfo import ZoneInfo

from consumerd.parking.ticks import Due

Missed = Literal["skip", "once", "all"]
After = Callable[[float], float]
"""The first time of a schedule after a time."""

ON_TIME_S = 60.0
"""A run that begins so late was not missed."""
SET_BACK_S = 3 * 3600.0
"""A clock that is set back by no more than this is waited for; by more, the schedule begins anew."""
MOST_MADE = 1_000
MOST_MISSED = 10_000
"""So many are judged in one transaction; the next one goes on from there."""


def every(seconds: float) -> After:
    """Each whole multiple of so many seconds since the epoch: the same times on every host, however late it began."""

    def after(time: float) -> float:
        number = math.floor(time / seconds) + 1
        while number * seconds <= time:
            number += 1
        return number * seconds

    return after


def cron(expression: str, zone: tzinfo) -> After:
    """The times of a cron expression on the clocks of a zone. ValueError where it is none, or no time ever comes.

    On the night when clocks are set forward, a time of day that does not exist comes when the missing hour is over; on
    the night when they are set back, a time of day that exists twice comes once, the first time. What comes every so
    many minutes, or every hour, goes on evenly through both.
    """
    from cronsim import CronSim, CronSimError

    def after(time: float) -> float:
        start = datetime.fromtimestamp(time, zone)
        times: Iterator[datetime] = CronSim(expression, start)
        for found in times:  # the first ones may be before it: of an hour that comes twice it takes the first
            if (seconds := found.timestamp()) > time:
                return seconds
        raise ValueError("no such time ever comes")

    if len(expression.split()) != 5:
        raise ValueError("it has five fields: minute, hour, day of the month, month and day of the week")
    try:
        after(datetime(2000, 1, 1, tzinfo=UTC).timestamp())
    except CronSimError as error:
        raise ValueError(str(error)) from error
    return after


def zone_named(name: str) -> ZoneInfo:
    """The time zone of this name; ValueError where this machine knows none."""
    try:
        return ZoneInfo(name)
    except (KeyError, ValueError, OSError) as error:
        raise ValueError(
            "is no time zone that this machine knows: write one such as Europe/Berlin, or install tzdata"
        ) from error


def judge(
    after: After, missed: Missed, next_at: float | None, now: float, *, judged_at: float = 0.0, is_same: bool = True
) -> Due:
    """Which runs are to be made now, which were missed, and when the next one comes.

    next_at: when the schedule was to come next, as was found at judged_at; None where it has never come.
    is_same: whether `next_at` is of these times; else what was due is judged, and the times begin anew.
    """
    if next_at is None:
        return Due((), (), after(now))
    if next_at > now:
        is_anew = not is_same or judged_at - now > SET_BACK_S
        return Due((), (), after(now) if is_anew else next_at, is_anew=is_anew)
    most = MOST_MADE if missed == "all" else MOST_MISSED
    times, following = [next_at], after(next_at if is_same else now)
    while following <= now and len(times) < most:
        times.append(following)
        following = after(following)
    if missed == "all":
        return Due(tuple(times), (), following)
    is_made = following > now and (missed == "once" or now - times[-1] <= ON_TIME_S)
    made = times[-1:] if is_made else []
    return Due(tuple(made), tuple(times[: len(times) - len(made)]), following, is_anew=not is_same)
