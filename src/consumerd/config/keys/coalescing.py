"""The key `coalesce`: which tasks of a batch stand for others."""

from __future__ import annotations

from typing import Annotated, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator

from consumerd.config.sizes import Duration

FieldName = Annotated[str, Field(min_length=1)]


class Coalesce(BaseModel):
    """Tasks of one key are handled together: all of them, or one that stands for the others."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    by: FieldName | Annotated[list[FieldName], Field(min_length=1)] | None = Field(
        default=None,
        description='The field of the record by which tasks belong together, or several: `"uid"`, '
        '`["platform", "uid"]`. A record without it stands for itself. Left out: what the consumer\'s '
        "`coalesce_key(record)` returns.",
    )
    keep: Literal["newest", "oldest", "all"] = Field(
        default="newest",
        description="Which task of a key `handle_batch` is given; the others are done when that one is. `all`: all of "
        "them, side by side in one batch.",
    )
    order_by: FieldName | None = Field(
        default=None,
        description='The field of the record by which the newest and the oldest are known: `"now"`. A record without '
        "it is the oldest. Left out: by when they came.",
    )
    quiet: Duration | None = Field(
        default=None,
        description="A key is handled when nothing has come for it for so many seconds; with `max_wait`.",
    )
    max_wait: Duration | None = Field(
        default=None,
        description="A key is handled at the latest so many seconds after the first of its tasks has come. Left out: "
        "with the next batch.",
    )

    @model_validator(mode="after")
    def _has_an_end(self) -> Self:
        if self.quiet is not None and (self.max_wait is None or self.max_wait < self.quiet):
            raise ValueError(
                f"quiet ({self.quiet:g}) needs a max_wait that is not shorter: a key that never rests would never be "
                "handled"
            )
        return self
