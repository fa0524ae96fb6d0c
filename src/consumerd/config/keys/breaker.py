"""The key `breaker`: when a destination of tasks is taken for down."""

from __future__ import annotations

from typing import Annotated

from pydantic import BaseModel, ConfigDict, Field

from consumerd.config.sizes import Duration

ClassName = Annotated[str, Field(min_length=1, pattern=r"^[\w.:]+$")]


class BreakerKeys(BaseModel):
    """`breaker` as a table."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    share: float = Field(
        default=0.5, gt=0, le=1, description="The destination opens when this share of its attempts has failed."
    )
    least: int = Field(
        default=10,
        ge=2,
        le=10_000,
        description="So many attempts must have been made within `window`; also, when the last so many have all "
        "failed, it opens however long they took.",
    )
    window: Duration = Field(default=10.0, description="Attempts of the last so many seconds count.")
    max_quiet: Duration = Field(
        default=300.0,
        description="After one `Retry(after=…, destination=True)` the destination is left alone for so many seconds "
        "at most; the task itself waits as long as it says.",
    )
    failures: list[ClassName] = Field(
        default_factory=list,
        description="The classes of errors that show that it is down, with those derived from them: "
        '`["ConnectionError", "requests.exceptions.Timeout"]`. Left out: every error, and `Retry`.',
    )
