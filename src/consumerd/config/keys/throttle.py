"""The key `throttle`: when the tasks of a consumer are held back, whatever waits."""

from __future__ import annotations

import re
from datetime import datetime
from typing import Annotated, NamedTuple, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

_HOURS = re.compile(r"([01]\d|2[0-3]):([0-5]\d)-([01]\d|2[0-3]|24):([0-5]\d)(?: (\S+))?")
MIDNIGHT = 24 * 60


class Hours(NamedTuple):
    """A part of each day, by the clocks of a zone. start, end: minutes; an end that is not later is after midnight."""

    start: int
    end: int
    zone: str

    def have(self, moment: datetime) -> bool:
        """Whether a moment, which knows its zone, is in them."""
        local = moment.astimezone(ZoneInfo(self.zone))
        minute = local.hour * 60 + local.minute
        if self.start < self.end:
            return self.start <= minute < self.end
        return minute >= self.start or minute < self.end


def hours_of(text: str) -> Hours:
    """Read `01:00-06:00 Europe/Berlin`; without a zone, UTC. ValueError, with a sentence."""
    found = _HOURS.fullmatch(text)
    if found is None:
        raise ValueError("write hours as 01:00-06:00 Europe/Berlin, or without a zone for UTC")
    numbers = [int(found[part]) for part in (1, 2, 3, 4)]
    hours = Hours(numbers[0] * 60 + numbers[1], numbers[2] * 60 + numbers[3], found[5] or "UTC")
    if hours.end > MIDNIGHT or hours.start == hours.end:
        raise ValueError("these hours have no length, or end after 24:00: write those of one day, as 22:00-06:00")
    try:
        ZoneInfo(hours.zone)
    except (LookupError, OSError, ValueError) as error:
        raise ValueError(f"the zone {hours.zone} is not known here: write one as Europe/Berlin") from error
    return hours


def _are_hours(text: str) -> str:
    hours_of(text)
    return text


DayHours = Annotated[str, AfterValidator(_are_hours)]


class Throttle(BaseModel):
    """What holds tasks back: hours of the day, or a file. One reason is enough."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    during: list[DayHours] = Field(
        default_factory=list,
        description='No task is begun in these hours of the day: `["08:00-20:00 Europe/Berlin"]`. Without a zone, '
        "UTC. `22:00-06:00` is over midnight.",
    )
    outside: list[DayHours] = Field(
        default_factory=list, description="No task is begun outside of these hours of the day. Left out: in any."
    )
    file: Annotated[str, Field(min_length=1, pattern=r"^[^\x00]+$")] | None = Field(
        default=None,
        description="No task is begun while this file is there; relative to the configuration's directory, and on a "
        "disk of this machine.",
    )
    above: float | None = Field(
        default=None,
        description="With `file`: not its presence holds tasks back, but the number with which it begins, while that "
        'is larger than this: `file = "/proc/loadavg"`, `above = 8.0`.',
    )

    @model_validator(mode="after")
    def _says_something(self) -> Self:
        if self.above is not None and self.file is None:
            raise ValueError("above is for the number in a file: name that as file")
        if not (self.during or self.outside or self.file):
            raise ValueError("it says nothing: give it during, outside or file")
        return self
