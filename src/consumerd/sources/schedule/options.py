"""The keys of a schedule."""

from __future__ import annotations

from typing import Annotated, Literal, Self
from zoneinfo import ZoneInfo

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, PrivateAttr, model_validator

from consumerd.config.sizes import LONGEST_S
from consumerd.errors import MissingExtraError
from consumerd.parking.ticks import Due
from consumerd.sources.schedule import times


def _checked_zone(name: str) -> str:
    times.zone_named(name)
    return name


class ScheduleOptions(BaseModel):
    """When the runs are due, and what becomes of those that are missed, or come too early."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    cron: str | None = Field(
        default=None,
        min_length=1,
        max_length=200,
        description="When it runs, as cron has it: `30 3 * * mon-fri`. Names, ranges, lists and steps; `L` is the last "
        "day of a month, `FRI#2` its second Friday. Needs the extra `schedule`.",
    )
    every: float | None = Field(
        default=None,
        ge=1,
        le=LONGEST_S,
        description="In the place of `cron`: it runs each so many seconds, counted "
        "from midnight UTC of 1 January 1970, so that all hosts agree.",
    )
    timezone: Annotated[str, AfterValidator(_checked_zone)] = Field(
        default="UTC", description="The time zone of `cron`, and of the times that the handler gets: `Europe/Berlin`."
    )
    missed: Literal["skip", "once", "all"] = Field(
        default="once",
        description="Of the times that passed while no worker ran: `skip` runs none of them, `once` the last for all, "
        "`all` each of them. Those that do not run are told as `ticks_missed`.",
    )
    overlap: Literal["skip", "queue", "allow"] = Field(
        default="skip",
        description="A time that comes while the last run goes on: `skip` leaves it out, and tells so as "
        "`ticks_skipped`; with `queue` it runs afterwards; with `allow` beside it, on another worker.",
    )
    lease: float = Field(
        default=30.0,
        ge=3,
        le=86_400,
        description="Seconds after which another host takes over a run whose host has disappeared.",
    )

    _after: times.After = PrivateAttr()

    @model_validator(mode="after")
    def _can_be_read(self) -> Self:
        if (self.cron is None) == (self.every is None):
            raise ValueError('write either cron = "30 3 * * *", or every = 60 for each minute')
        if self.missed == "all" and self.overlap == "skip":
            raise ValueError(
                'missed = "all" makes several runs at once, of which overlap = "skip" would skip all but one: '
                'write overlap = "queue"'
            )
        try:
            self._after = times.every(self.every or 0) if self.cron is None else times.cron(self.cron, self.zone)
        except ValueError as error:
            raise ValueError(f"cron is {self.cron!r}, and that is no cron expression: {error}") from error
        except ModuleNotFoundError as error:
            raise ValueError(str(MissingExtraError("cron", "schedule"))) from error
        return self

    @property
    def zone(self) -> ZoneInfo:
        return times.zone_named(self.timezone)

    @property
    def edition(self) -> str:
        """What the times are of: with another text they begin anew."""
        return f"every {self.every}" if self.every is not None else f"{self.cron} {self.timezone}"

    def judge(self, next_at: float | None, now: float, *, judged_at: float, is_same: bool) -> Due:
        """Which runs are due: see `times.judge`."""
        return times.judge(self._after, self.missed, next_at, now, judged_at=judged_at, is_same=is_same)

    def times_after(self, time: float, count: int) -> tuple[float, ...]:
        """The next times after this one."""
        found = [self._after(time)]
        while len(found) < count:
            found.append(self._after(found[-1]))
        return tuple(found)
