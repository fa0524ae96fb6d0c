"""The keys of a claimed table."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Annotated, Literal, Self
from urllib.parse import unquote

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, model_validator

Name = Annotated[str, Field(min_length=1, max_length=128, pattern=r"\A[^\x00-\x1f]*\z")]
"""A table's or column's name. Statements quote it, so that it may have any characters."""

_SCHEME = "sqlite:///"
LOOK_AT_FILE_S = 0.025
SERVERS = ("mysql", "mariadb", "postgres", "postgresql")
_ALMOST_A_URL = re.compile(rf"\s*([a-z][a-z0-9+.-]+:/|({'|'.join(SERVERS)})(\+\w+)?(:|//|@))", re.IGNORECASE)
"""It may hold a password, which messages would show if it counted as a path."""


def _check_database(database: str) -> str:
    if is_server(database):
        return database
    if _ALMOST_A_URL.match(database) and not database.startswith(_SCHEME):
        raise ValueError(
            "begins like the URL of a server, and is none: write mysql://user:password@host/database, "
            "postgresql://…, or the path of a SQLite file"
        )
    path = _path_in(database)
    if not path or "://" in path or path.startswith((":memory:", "file:")):
        raise ValueError(
            "must be the path of a SQLite file, sqlite:///PATH, or the URL of a server, mysql:// or postgresql://; "
            "a database in memory has no other readers"
        )
    return database


def is_server(database: str) -> bool:
    """Whether `database` is the URL of a server, not a file."""
    scheme, found, _ = database.partition("://")
    return bool(found) and scheme.partition("+")[0] in SERVERS


def _path_in(database: str) -> str:
    return unquote(database.removeprefix(_SCHEME)) if database.startswith(_SCHEME) else database


def _several(value: object) -> object:
    return (value,) if isinstance(value, str) else tuple(value) if isinstance(value, list) else value


class States(BaseModel):
    """What the table writes into `state_column`, where it has words of its own."""

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True)

    pending: str = Field(default="pending", min_length=1, description="A row that waits.")
    claimed: str = Field(default="claimed", min_length=1, description="A row that a worker has.")
    done: str = Field(default="done", min_length=1, description="A row whose task is done.")
    dead: str = Field(default="dead", min_length=1, description="A row whose task is parked as dead.")


class TableOptions(BaseModel):
    """A claimed table, and the columns that consumerd reads and writes in it.

    `sources.table.schema` makes such a table.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True)

    database: Annotated[str, AfterValidator(_check_database)] = Field(
        description="The URL of a server, `mysql://user:password@host/database` or `postgresql://…`; or a SQLite file: "
        "its path, or `sqlite:///PATH`, relative to the directory that the consumer runs in."
    )
    table: Name = Field(
        default="tasks", description="The table whose rows are the tasks; on a server also `schema.table`."
    )
    claims_table: Name | None = Field(
        default=None,
        description="A table beside it that has the claims, where `table` may not be altered: `state_column` and the "
        "others are columns of this one, and `table` needs no more than its key and the record.",
    )
    id_column: Annotated[tuple[Name, ...], BeforeValidator(_several), Field(min_length=1)] = Field(
        default=("id",), description="Column: the primary key. A list, where it has several columns."
    )
    payload_column: Name = Field(default="payload", description="Column: the record, as JSON.")
    columns: Annotated[tuple[Name, ...] | None, BeforeValidator(_several)] = Field(
        default=None,
        description='The record is the row: a dict of these columns, or of all with `"*"`. Left out: the record is '
        "what the payload column holds.",
    )
    where: str = Field(
        default="",
        description="A condition in SQL: only rows for which it holds are tasks, such as `kind = 'mail'`. It should "
        "not change while a row is claimed.",
    )
    state_column: Name = Field(default="state", description="Column: how far the row has come.")
    states: States = Field(
        default=States(), description='The words of the state column, such as `{pending = "new", done = "sent"}`.'
    )
    due_column: Name = Field(default="due_at", description="Column: when the row is due.")
    attempts_column: Name = Field(default="attempts", description="Column: the attempts when it was last put off.")
    first_column: Name = Field(default="first_at", description="Column: when it was attempted first.")
    lease_column: Name = Field(default="lease", description="Column: which worker has claimed the row.")
    settled_column: Name = Field(default="settled_at", description="Column: when the row was settled.")
    priority: Name | None = Field(
        default=None,
        description="Column: a number. Rows with the largest one are claimed first, as in Procrastinate, pg-boss and "
        "Celery on RabbitMQ, and others only when none of these is due; NULL comes last.",
    )
    priority_first: Literal["largest", "smallest"] = Field(
        default="largest",
        description="Which number of `priority` comes first: `smallest` as in Oban, Solid Queue and GoodJob.",
    )
    fair_by: Name | None = Field(
        default=None,
        description="Column: whose the row is, such as a tenant. Claims take from all values in turn, so that the many "
        "rows of one do not hold up the few of another. NULL is a value like others.",
    )
    fair_weight: dict[str, Annotated[float, Field(ge=0.01, le=100.0)]] = Field(
        default={},
        description="Values of `fair_by` that are to have more rows handled than others, or fewer: "
        "`{acme = 3}` has three where another has one. 0.01 to 100; 1 where a value is not named.",
    )
    lease: float = Field(
        default=30.0,
        ge=5.0,
        description="A row whose worker has been silent for so many seconds is claimed by another; a worker renews its "
        "claims while it works. At least 5.",
    )
    batch_size: int = Field(
        default=100, ge=1, le=10_000, description="How many rows one claim takes at most; 1 to 10000."
    )
    done: Literal["keep", "delete", "move"] = Field(
        default="keep",
        description="What becomes of a finished row: `keep` leaves it, `delete` removes it, `move` puts it into "
        "`done_table`.",
    )
    done_table: Name | None = Field(
        default=None,
        description='With `done = "move"`: the table that finished rows go to. It has all columns of `table`.',
    )
    retention: float | None = Field(
        default=None,
        gt=0.0,
        description="Rows that have been done for so many seconds are deleted, a few at a time. Left out: they stay.",
    )
    poll_interval: float = Field(
        default=1.5,
        gt=0.0,
        le=3600.0,
        description="An idle pool asks a server every so many seconds for new rows: one of its workers for all of "
        "them. What it is told of is begun sooner.",
    )

    @model_validator(mode="after")
    def _check_done(self) -> Self:
        if (self.done == "move") != (self.done_table is not None):
            raise ValueError('`done = "move"` and `done_table`, where finished rows go, belong together: set both')
        if self.done_table is not None and self.done_table == self.table:
            raise ValueError("`done_table` is the table itself: name another")
        if self.done == "move" and self.retention is not None:
            raise ValueError('with `done = "move"` no finished row stays for `retention`: leave that out')
        return self

    @model_validator(mode="after")
    def _check_claims(self) -> Self:
        if self.claims_table is not None and self.claims_table in (self.table, self.done_table):
            raise ValueError("`claims_table` is a table of its own, beside the others: give it another name")
        both = {column.lower() for column in self.claim_columns} & {column.lower() for column in self.id_column}
        if both:
            raise ValueError(f"{', '.join(sorted(both))} is of the key, and cannot say more: name another (…_column)")
        return self

    @model_validator(mode="after")
    def _check_turns(self) -> Self:
        if self.fair_weight and self.fair_by is None:
            raise ValueError("fair_weight: says nothing without `fair_by`, the column whose values have these weights")
        if self.turn_columns and self.is_beside:
            raise ValueError("`priority` and `fair_by` need an index with the claims in it: leave `claims_table` out")
        return self

    @property
    def turn_columns(self) -> tuple[str, ...]:
        """The columns by whose values rows take turns."""
        return tuple(column for column in (self.priority, self.fair_by) if column is not None)

    @property
    def is_server(self) -> bool:
        """Whether the database is a server, not a file."""
        return is_server(self.database)

    @property
    def look_interval_s(self) -> float:
        """How often one looks for all of an idle pool."""
        return self.poll_interval if self.is_server else LOOK_AT_FILE_S

    @property
    def path(self) -> Path:
        """The file, absolute."""
        return Path(_path_in(self.database)).absolute()

    @property
    def lock_path(self) -> Path:
        """The lock file beside it, by which its writers stand in a line."""
        return self.path.with_name(f"{self.path.name}.lock")

    @property
    def needed_columns(self) -> tuple[str, ...]:
        """All columns that the table must have that has the claims."""
        content = () if self.is_beside else self.content_columns
        return tuple(dict.fromkeys((*self.id_column, *content, *self.claim_columns, *self.turn_columns)))

    @property
    def is_beside(self) -> bool:
        """Whether the claims stand in a table of their own, beside the users'."""
        return self.claims_table is not None

    @property
    def claimed_table(self) -> str:
        """The table that has the claims: `table` itself, or the one beside it."""
        return self.claims_table or self.table

    @property
    def content_columns(self) -> tuple[str, ...]:
        """The columns that the record is read from, as far as they are named."""
        if self.columns is None:
            return (self.payload_column,)
        return tuple(name for name in self.columns if name != "*")

    @property
    def claim_columns(self) -> tuple[str, ...]:
        """The columns that say how far a row has come, and who has claimed it."""
        own = (self.state_column, self.due_column, self.attempts_column, self.first_column, self.lease_column)
        return (*own, self.settled_column)

    @property
    def indexes(self) -> tuple[tuple[str, ...], ...]:
        """The indexes that claims need, by their columns: the first for all rows, the second for rows in turn."""
        turns = self.turn_columns
        columns = (self.state_column, self.due_column)
        return (columns, (self.state_column, *turns, self.due_column)) if turns else (columns,)
