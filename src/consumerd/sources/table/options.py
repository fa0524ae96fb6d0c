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

    database: a path, or `sqlite:///PATH`; relative to the directory that the consumer runs in.
    lease: seconds after which a row whose worker fell silent is claimed by another; it is renewed while work goes on.
    done: what becomes of a finished row. `sources.table.schema` makes such a table.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    database: Annotated[str, AfterValidator(_check_database)]
    table: Identifier = "tasks"
    id_column: Identifier = "id"
    payload_column: Identifier = "payload"
    state_column: Identifier = "state"
    due_column: Identifier = "due_at"
    attempts_column: Identifier = "attempts"
    first_column: Identifier = "first_at"
    lease_column: Identifier = "lease"
    settled_column: Identifier = "settled_at"
    lease: float = Field(default=30.0, ge=5.0)
    batch_size: int = Field(default=100, ge=1, le=10_000)
    done: Literal["keep", "delete"] = "keep"

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
