"""The keys of a generator: none; all keys are the user's."""

from __future__ import annotations

from pydantic import BaseModel, ConfigDict


class GeneratorOptions(BaseModel):
    """No options."""

    model_config = ConfigDict(frozen=True, extra="forbid")
