"""`concurrency` as a table: between how many tasks at once each worker finds the number."""

from __future__ import annotations

from typing import Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from consumerd.model.slots import MOST_LANES


class Concurrency(BaseModel):
    """`concurrency` as a table: each worker keeps the number within these bounds, as the time that tasks take says."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    min: int = Field(
        default=1,
        ge=1,
        le=MOST_LANES,
        description="The smallest number of tasks at once; where it is more than 4, also the number at first.",
    )
    max: int = Field(default=100, ge=1, le=MOST_LANES, description="The largest number of tasks at once, up to 1024.")

    @model_validator(mode="after")
    def _bounds_are_in_order(self) -> Self:
        if self.max < self.min:
            raise ValueError(f"max ({self.max}) must be at least min ({self.min})")
        return self
