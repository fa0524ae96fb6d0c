"""`workers` as a table: between how many the master keeps their number."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from consumerd.config.sizes import Duration
from consumerd.model.slots import MOST_WORKERS


class WorkerRange(BaseModel):
    """`workers` as a table: the master keeps the number of workers within these bounds, as the backlog asks for."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    min: int = Field(
        default=1, ge=1, le=MOST_WORKERS, description="The number of workers at first, and the smallest later."
    )
    max: int = Field(ge=1, le=MOST_WORKERS, description="The largest number of workers.")
    target_seconds: Duration = Field(
        default=30.0,
        description="Within so many seconds a backlog is to be worked off; at least ten times `settle_interval`.",
    )

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> Self:
        if self.max < self.min:
            raise ValueError(f"max ({self.max}) must be at least min ({self.min})")
        return self

    def __str__(self) -> str:
        return f"{self.min} to {self.max}"
