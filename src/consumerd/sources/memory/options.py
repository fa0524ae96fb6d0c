"""The keys of the in-memory source."""

from __future__ import annotations

from typing import Any

from pydantic import BaseModel, ConfigDict, Field


class MemoryOptions(BaseModel):
    """records: the tasks; or count: so many numbered tasks; or neither: numbered tasks without end.

    Numbered tasks are divided among the workers: worker i of n gets i, i + n, i + 2n …
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    records: list[Any] | None = None  # a record is any plain value
    count: int | None = Field(default=None, ge=0)
