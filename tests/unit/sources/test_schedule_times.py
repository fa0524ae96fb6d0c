"""When the runs of a schedule are due: on nights when clocks are changed, and where the database's clock steps."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from itertools import pairwise
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from consumerd.sources.schedule import KIND
from consumerd.sources.schedule.options import ScheduleOptions
from consumerd.sources.schedule.times import MOST_MISSED, SET_BACK_S, After, Missed, cron, every, judge

BERLIN = ZoneInfo("Europe/Berlin")
EXPRESSIONS = [
    "30 2 * * *",
    "*/10 * * * *",
    "0 * * * *",
    "15,45 1-3 * * *",
    "0 3 1 * *",
    "0 9 * * mon-fri",
    "0 0 L * *",
]
ZONES = ["UTC", "Europe/Berlin", "America/New_York", "Australia/Lord_Howe", "Asia/Kathmandu", "America/Sao_Paulo"]

seconds = st.integers(946_684_800, 2_051_222_400).map(float)  # from 2000 to 2035
afters = st.one_of(
    st.sampled_from([1.0, 1.5, 7.0, 60.0, 3600.0, 86_400.0]).map(every),
    st.tuples(st.sampled_from(EXPRESSIONS), st.sampled_from(ZONES)).map(lambda pair: cron(pair[0], ZoneInfo(pair[1]))),
)


def local_times(expression: str, zone: ZoneInfo, day: datetime, days: int = 1) -> list[str]:
    """What comes within so many days, as the clocks of the zone show it."""
    after, end = cron(expression, zone), (day + timedelta(days=days)).timestamp()
    found, time = list[str](), day.timestamp() - 1
    while (time := after(time)) < end:
        found.append(datetime.fromtimestamp(time, zone).strftime("%H:%M %Z"))
    return found


@given(after=afters, time=seconds)
def test_a_time_that_follows_is_later_and_none_lies_between(after: After, time: float) -> None:
    following = after(time)
    assert following > time
    assert after(following - 0.5) == following
    assert after((time + following) / 2) == following


def test_a_time_that_does_not_exist_comes_when_the_missing_hour_is_over() -> None:
    spring = datetime(2026, 3, 29, tzinfo=BERLIN)
    assert local_times("30 2 * * *", BERLIN, spring) == ["03:00 CEST"]
    assert local_times("15,45 2 * * *", BERLIN, spring) == ["03:00 CEST"]
    assert local_times("0 1-4 * * *", BERLIN, spring) == ["01:00 CET", "03:00 CEST", "04:00 CEST"]


def test_a_time_that_exists_twice_comes_once_the_first_time() -> None:
    autumn = datetime(2026, 10, 25, tzinfo=BERLIN)
    assert local_times("30 2 * * *", BERLIN, autumn) == ["02:30 CEST"]
    twice = datetime(2026, 10, 25, 1, 0, tzinfo=UTC).timestamp()  # 02:00 for the second time
    assert cron("30 2 * * *", BERLIN)(twice) == datetime(2026, 10, 26, 2, 30, tzinfo=BERLIN).timestamp()


@pytest.mark.parametrize("day", [datetime(2026, 3, 29, tzinfo=BERLIN), datetime(2026, 10, 25, tzinfo=BERLIN)])
def test_what_comes_every_so_many_minutes_goes_on_evenly_through_such_a_night(day: datetime) -> None:
    after, time = cron("*/20 * * * *", BERLIN), day.timestamp()
    times = [time := after(time) for _ in range(72)]
    assert {later - earlier for earlier, later in pairwise(times)} == {1200.0}


@given(after=afters, start=seconds, steps=st.lists(st.floats(0, 900_000), max_size=12))
def test_each_time_is_made_once_or_is_told_as_missed(after: After, start: float, steps: list[float]) -> None:
    """However late somebody looks."""
    for missed in ("skip", "once", "all"):
        now, next_at, seen = start, after(start), list[float]()
        first = next_at
        for step in steps:
            now += step
            due = judge(after, missed, next_at, now)
            seen += sorted([*due.made, *due.missed])
            assert missed != "all" or not due.missed
            assert missed == "all" or len(due.made) <= 1
            assert not due.is_anew
            next_at = due.next_at
        time, every_one = first, list[float]()
        while time < next_at:
            every_one.append(time)
            time = after(time)
        assert seen == every_one


def test_of_many_that_were_missed_the_last_runs_once_for_all() -> None:
    minutes = every(60.0)
    assert judge(minutes, "once", 60.0, 600.5).made == (600.0,)
    assert judge(minutes, "once", 60.0, 600.5).missed == tuple(60.0 * number for number in range(1, 10))
    long_after = judge(every(1.0), "once", 1.0, 5.0 * MOST_MISSED)
    assert (long_after.made, len(long_after.missed)) == ((), MOST_MISSED)
    assert long_after.next_at == MOST_MISSED + 1


def test_what_is_a_minute_late_runs_and_what_is_later_is_skipped() -> None:
    hours = every(3600.0)
    assert judge(hours, "skip", 3600.0, 3659.0).made == (3600.0,)
    late = judge(hours, "skip", 3600.0, 3661.0)
    assert (late.made, late.missed, late.next_at) == ((), (3600.0,), 7200.0)


@pytest.mark.parametrize("missed", ["skip", "once", "all"])
@given(after=afters, back=st.floats(1.0, SET_BACK_S), start=seconds)
def test_a_clock_that_is_set_back_a_little_makes_no_time_twice(
    missed: Missed, after: After, back: float, start: float
) -> None:
    now = after(start)
    due = judge(after, missed, now, now)
    again = judge(after, missed, due.next_at, now - back, judged_at=now)
    assert (again.made, again.missed, again.next_at, again.is_anew) == ((), (), due.next_at, False)


def test_a_clock_that_was_a_year_ahead_does_not_silence_the_schedule_for_a_year() -> None:
    year = 365 * 86_400.0
    due = judge(every(60.0), "once", year + 60.0, 1000.0, judged_at=year)
    assert (due.made, due.next_at, due.is_anew) == ((), 1020.0, True)


def test_a_clock_that_is_set_forward_misses_what_lay_between() -> None:
    due = judge(every(60.0), "skip", 60.0, 3660.5)
    assert due.made == (3660.0,)
    assert len(due.missed) == 60


@given(was=afters, becomes=afters, start=seconds, late=st.floats(0, 100_000))
def test_other_times_begin_anew_and_what_was_due_is_not_forgotten(
    was: After, becomes: After, start: float, late: float
) -> None:
    next_at = was(start)
    now = next_at + late
    due = judge(becomes, "once", next_at, now, is_same=False)
    assert (list(due.made), due.next_at) == ([next_at], becomes(now))
    early = judge(becomes, "once", next_at, start, is_same=False)
    assert (early.made, early.next_at) == ((), becomes(start))


@pytest.mark.parametrize(
    ("keys", "sentence"),
    [
        ({}, "write either cron"),
        ({"cron": "* * * * *", "every": 5.0}, "write either cron"),
        ({"cron": "61 * * * *"}, "that is no cron expression: Bad minute"),
        ({"cron": "0 0 0 * * *"}, "it has five fields"),
        ({"cron": "@daily"}, "it has five fields"),
        ({"cron": "0 0 31 2,4 *"}, "that is no cron expression"),
        ({"cron": "0 0 30 2 *"}, "that is no cron expression"),
        ({"every": 0.5}, "greater than or equal to 1"),
        ({"every": 60.0, "timezone": "Europe/Bielefeld"}, "no time zone that this machine knows"),
        ({"every": 60.0, "timezone": "../../etc/passwd"}, "no time zone that this machine knows"),
        ({"every": 60.0, "missed": "all"}, 'write overlap = "queue"'),
    ],
)
def test_a_schedule_that_cannot_be_is_refused_with_a_sentence(keys: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence):
        ScheduleOptions.model_validate(keys)


def test_check_says_when_the_next_runs_are() -> None:
    options = ScheduleOptions.model_validate({"cron": "30 3 * * mon", "timezone": "Europe/Berlin"})
    [remark] = KIND.remarks(options)
    assert remark.startswith("its next runs are Mon ")
    assert remark.count("03:30:00 CE") == 3
