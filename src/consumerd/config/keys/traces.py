"""The key `traces`: which tasks have a span of OpenTelemetry's."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict, Field


class Traces(BaseModel):
    """`traces` as a table: how many tasks are traced."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    sample: float = Field(
        default=0.01, gt=0, le=1, description="The share of the tasks that are traced, chosen by chance; up to 1."
    )
    most_per_second: float = Field(
        default=20.0,
        gt=0,
        le=100_000,
        description="A worker that handles many tasks traces a smaller share of them, so that it traces about so many "
        "a second and no more: a span costs as much as handling many small tasks.",
    )
    follow_parent: bool = Field(
        default=False,
        description="Whether, besides, tasks are traced whose producer was traced, as the header `traceparent` of "
        "their message says. The headers of every message are then looked at.",
    )
