"""The keys of a claimed table."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Literal
from urllib.parse import unquote

from pydantic import AfterValidator, BaseModel, ConfigDict, Field

Identifier = Annotated[str, Field(pattern=r"\A[A-Za-z_][A-Za-z0-9_]*\z", max_length=128)]
"""A table's or column's name; nothing that SQL could take for anything else."""

_SCHEME = "sqlite:///"


def _check_database(database: str) -> str:
    path = _path_in(database)
    if not path or "://" in path or path.startswith((":memory:", "file:")):
        raise ValueError(
            "must be the path of a SQLite file, or sqlite:///PATH: a database in memory has no other readers"
        )
    return database


def _path_in(database: str) -> str:
    return unquote(database.removeprefix(_SCHEME)) if database.startswith(_SCHEME) else database


class TableOptions(BaseModel):
    """A claimed SQLite table, and the columns that consumerd reads and writes in it.

    `sources.table.schema` makes such a table.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    database: Annotated[str, AfterValidator(_check_database)] = Field(
        description="The SQLite file: its path, or `sqlite:///PATH`; relative to the directory that the consumer runs "
        "in."
    )
    table: Identifier = Field(default="tasks", description="The table whose rows are the tasks.")
    id_column: Identifier = Field(default="id", description="Column: the primary key.")
    payload_column: Identifier = Field(default="payload", description="Column: the record, as JSON.")
    state_column: Identifier = Field(default="state", description="Column: how far the row has come.")
    due_column: Identifier = Field(default="due_at", description="Column: when the row is due.")
    attempts_column: Identifier = Field(default="attempts", description="Column: how often the task was attempted.")
    first_column: Identifier = Field(default="first_at", description="Column: when it was attempted first.")
    lease_column: Identifier = Field(default="lease", description="Column: which worker has claimed the row.")
    settled_column: Identifier = Field(default="settled_at", description="Column: when the row was settled.")
    lease: float = Field(
        default=30.0,
        ge=5.0,
        description="A row whose worker has been silent for so many seconds is claimed by another; a worker renews its "
        "claims while it works. At least 5.",
    )
    batch_size: int = Field(
        default=100, ge=1, le=10_000, description="How many rows one claim takes at most; 1 to 10000."
    )
    done: Literal["keep", "delete"] = Field(
        default="keep", description="What becomes of a finished row: `keep` leaves it, `delete` removes it."
    )

    @property
    def path(self) -> Path:
        """The file, absolute."""
        return Path(_path_in(self.database)).absolute()

    @property
    def lock_path(self) -> Path:
        """The lock file beside it, by which its writers stand in a line."""
        return self.path.with_name(f"{self.path.name}.lock")

    @property
    def columns(self) -> tuple[str, ...]:
        """All columns that the table must have."""
        own = (self.id_column, self.payload_column, self.state_column, self.due_column, self.attempts_column)
        return (*own, self.first_column, self.lease_column, self.settled_column)
