"""Whether a pool is held back from outside: hours of the day, and a file."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from consumerd.config.keys.throttle import Throttle
from consumerd.master.rules.throttle import Held, why_held

NOON = datetime(2026, 3, 28, 12, 0, tzinfo=UTC)

minutes = st.integers(0, 24 * 60 - 1)


def text_of(minute: int) -> str:
    return f"{minute // 60:02}:{minute % 60:02}"


@given(minutes, minutes, minutes)
def test_hours_hold_from_their_start_until_before_their_end_over_midnight_too(start: int, end: int, at: int) -> None:
    if start == end:
        return
    moment = datetime(2026, 1, 1, tzinfo=UTC) + timedelta(minutes=at)
    within, minute = False, start
    while minute != end:  # minute by minute, as a clock goes
        within, minute = within or minute == at, (minute + 1) % (24 * 60)
    hours = [f"{text_of(start)}-{text_of(end)}"]
    assert bool(why_held(Throttle(during=hours), moment, None)) == within
    assert bool(why_held(Throttle(outside=hours), moment, None)) == (not within)


def test_hours_are_those_of_their_zone_in_summer_and_in_winter() -> None:
    throttle = Throttle(during=["13:00-14:00 Europe/Berlin"])
    assert why_held(throttle, NOON, None) == Held("its hours 13:00-14:00 Europe/Berlin (throttle.during)")
    assert why_held(throttle, NOON + timedelta(days=2), None) is None  # an hour earlier, since clocks have changed


def test_a_day_ends_at_24() -> None:
    assert why_held(Throttle(during=["12:00-24:00"]), NOON + timedelta(hours=11, minutes=59), None)
    assert not why_held(Throttle(during=["12:00-24:00"]), NOON + timedelta(hours=12), None)


@pytest.mark.parametrize(
    ("throttle", "content", "reason"),
    [
        ({"file": "hold"}, None, ""),
        ({"file": "hold"}, "", "the file hold is there"),
        (
            {"file": "hold"},
            PermissionError(13, "Permission denied"),
            "the file hold cannot be read (Permission denied)",
        ),
        ({"file": "load", "above": 8.0}, None, ""),
        ({"file": "load", "above": 8.0}, "8.00 3.1 2/345\n", ""),
        ({"file": "load", "above": 8.0}, "8.01 3.1", "the file load says 8.01, above 8"),
        ({"file": "load", "above": 8.0}, "nan", "the file load says nan, above 8"),
        ({"file": "load", "above": 8.0}, "none", "the file load begins with no number, but with 'none'"),
        ({"file": "load", "above": 8.0}, "", "the file load begins with no number, but with ''"),
        ({"file": "hold", "during": ["11:00-13:00"]}, "", "its hours 11:00-13:00 (throttle.during)"),
        ({"outside": ["01:00-02:00"]}, None, "it is none of its hours 01:00-02:00 (throttle.outside)"),
    ],
)
def test_the_first_reason_is_told(throttle: dict[str, object], content: str | OSError | None, reason: str) -> None:
    held = why_held(Throttle.model_validate(throttle), NOON, content)
    assert (held.reason if held else "") == reason
    assert (held is not None and held.is_fault) == ("cannot be read" in reason or "no number" in reason)


@pytest.mark.parametrize(
    ("throttle", "sentence"),
    [
        ({}, "it says nothing: give it during, outside or file"),
        ({"above": 3.0}, "above is for the number in a file"),
        ({"during": ["1:00-6:00"]}, "write hours as 01:00-06:00 Europe/Berlin"),
        ({"during": ["01:00-25:00"]}, "write hours as"),
        ({"during": ["01:00-01:00"]}, "these hours have no length"),
        ({"during": ["01:00-24:30"]}, "or end after 24:00"),
        ({"outside": ["01:00-06:00 Europe/Atlantis"]}, "the zone Europe/Atlantis is not known here"),
        ({"outside": ["01:00-06:00 ../../etc/passwd"]}, "is not known here"),
    ],
)
def test_what_cannot_be_meant_is_refused_in_a_sentence(throttle: dict[str, object], sentence: str) -> None:
    with pytest.raises(ValidationError, match=sentence.replace("(", r"\(")):
        Throttle.model_validate(throttle)
