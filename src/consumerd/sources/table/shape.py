"""What a claimed table is like, as it is found: its columns, its key, its index; and whether it can be claimed from.

Runs in workers and in probes.
"""

from __future__ import annotations

import itertools
import uuid
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import NoSuchTableError
from sqlalchemy.types import JSON, Double, Integer, Numeric, TypeEngine

from consumerd.database.sql import quoted
from consumerd.errors import SourceRefusedError
from consumerd.sources.identities import values_of
from consumerd.sources.table.options import TableOptions

_INEXACT = frozenset({"FLOAT", "REAL", "BIT"})
_HAS_NO_ROWID = "SELECT wr FROM pragma_table_list(?)"


@dataclass(frozen=True, slots=True)
class Shape:
    """A table as it was found.

    dialect: SQLAlchemy's name of its database.
    names: the columns of a record that is the row; empty where the record is the payload.
    content: what is read for the record, in SQL, for a statement with placeholders.
    index: the index that serves claims; empty where there is none.
    is_ordered: it orders rows of one time by their key, too.
    key_types: for each column of the key, how it is had from its text; None where the database tells no type.
    has_text_states: the states are text, which may have any value.
    moved: the columns with which a finished row is moved to another table.
    """

    dialect: str
    names: tuple[str, ...]
    content: tuple[str, ...]
    index: str
    is_ordered: bool
    key_types: tuple[Callable[[str], object], ...] | None
    has_text_states: bool = True
    moved: tuple[str, ...] = ()

    def keys_of(self, texts: Sequence[str]) -> list[object]:
        """The keys that a task's id may mean, of the text of each column."""
        if self.key_types is None:
            parts: Iterable[tuple[object, ...]] = itertools.product(*map(values_of, texts))
        else:
            parts = []
            with suppress(ValueError, ArithmeticError):
                parts = [tuple(restore(text) for restore, text in zip(self.key_types, texts, strict=True))]
        return [each if len(texts) > 1 else each[0] for each in parts]


UNKNOWN = Shape("", (), (), "", is_ordered=False, key_types=None)
"""Of a table that was not looked at yet."""


def find_shape(connection: Connection, options: TableOptions, place: str) -> Shape:
    """The shape of the table. place: where it is, in words.

    SourceRefusedError where it is no table that can be claimed from, with what is to do.
    """
    made_by = "make it with consumerd.sources.table.schema.create_table"
    table = _Found(connection, options, options.table, place, made_by)
    table.need(options.needed_columns, "add it, or name another (…_column)")
    _check_types(table, options)
    if not options.is_server:
        _check_rowid(connection, table)
    if not table.is_unique(options.id_column):
        raise SourceRefusedError(
            f"{table} has no unique index on {', '.join(options.id_column)}: make it the primary key"
        )
    return _shape(connection, options, table, place)


class _Found:
    """A table as its database describes it, its indexes among that. SourceRefusedError where there is none."""

    def __init__(self, connection: Connection, options: TableOptions, name: str, place: str, made_by: str) -> None:
        """name: as the options have it. made_by: how it is made."""
        self._told = f"the table {name} of the {place}"
        schema, _, self.name = name.rpartition(".") if options.is_server else ("", "", name)
        found = inspect(connection)
        try:
            self.columns = found.get_columns(self.name, schema=schema or None)
        except NoSuchTableError as error:
            raise SourceRefusedError(f"{self} does not exist: {made_by}") from error
        self.types = {each["name"].lower(): each["type"] for each in self.columns}
        self._primary: Sequence[str | None] = found.get_pk_constraint(self.name, schema=schema or None)[
            "constrained_columns"
        ]
        self._others = found.get_indexes(self.name, schema=schema or None)
        self._constraints = found.get_unique_constraints(self.name, schema=schema or None)

    def __str__(self) -> str:
        return self._told

    @property
    def names(self) -> tuple[str, ...]:
        """Of its columns."""
        return tuple(each["name"] for each in self.columns)

    def need(self, columns: Iterable[str], remedy: str) -> None:
        """SourceRefusedError where one of these columns is missing."""
        missing = [column for column in columns if column.lower() not in self.types]
        if missing:
            raise SourceRefusedError(f"{self} has no column {', '.join(missing)}: {remedy}")

    def is_unique(self, columns: Sequence[str]) -> bool:
        """Whether these columns together tell a row."""
        whole = (index for index in self._others if index["unique"] and not _is_partial(index))
        unique: list[Sequence[str | None]] = [index["column_names"] for index in whole]
        unique += [constraint["column_names"] for constraint in self._constraints]
        wanted = sorted(column.lower() for column in columns)
        return any(_lowered(each) == wanted for each in [self._primary, *unique])

    def index_beginning(self, *columns: str) -> str:
        """The name of an index whose first columns are these; empty where there is none."""
        wanted = [column.lower() for column in columns]
        for index in self._others:
            if [str(each).lower() for each in index["column_names"][: len(wanted)]] == wanted:
                return str(index["name"])
        return ""


def _shape(connection: Connection, options: TableOptions, table: _Found, place: str) -> Shape:
    dialect = connection.dialect.name
    names: tuple[str, ...] = ()
    if options.columns is None:
        is_json = isinstance(table.types[options.payload_column.lower()], JSON) and dialect == "postgresql"
        form = "coalesce(CAST({} AS BLOB), x'')" if dialect == "sqlite" else "CAST({} AS TEXT)" if is_json else "{}"
        content: tuple[str, ...] = (form.format(quoted(dialect, options.payload_column)),)
    else:
        names = table.names if "*" in options.columns else options.columns
        content = tuple(quoted(dialect, column) for column in names)
    ordered = table.index_beginning(options.state_column, options.due_column, *options.id_column)
    restorers = tuple(_restorer(table.types[each.lower()]) for each in options.id_column)
    return Shape(
        dialect=dialect,
        names=names,
        content=content,
        index=ordered or table.index_beginning(options.state_column, options.due_column),
        is_ordered=bool(ordered),
        key_types=None if dialect == "sqlite" else restorers,
        has_text_states=_kind(table.types[options.state_column.lower()]) not in ("ENUM", "TINYINT"),
        moved=_moved(connection, options, table, place),
    )


def _moved(connection: Connection, options: TableOptions, table: _Found, place: str) -> tuple[str, ...]:
    """The columns with which a finished row is moved; those of the other table that it computes are left out."""
    if options.done_table is None:
        return ()
    other = _Found(connection, options, options.done_table, place, f"make it with all columns of {options.table}")
    other.need(table.names, f"add it: finished rows of {options.table} go there with all of their columns")
    computed = {each["name"].lower() for each in other.columns if "computed" in each}
    return tuple(name for name in table.names if name.lower() not in computed)


def _check_rowid(connection: Connection, table: _Found) -> None:
    """Rows of SQLite are claimed by their `_rowid_`, which a column of that name would hide."""
    if "_rowid_" in table.types:
        raise SourceRefusedError(f"{table} has a column named _rowid_, which hides SQLite's own: rename it")
    if connection.exec_driver_sql(_HAS_NO_ROWID, (table.name,)).scalar():
        raise SourceRefusedError(f"{table} is WITHOUT ROWID: make it anew without that")


def _check_types(table: _Found, options: TableOptions) -> None:
    """On a server, times are numbers: a column of dates would be compared with seconds, and never be due.

    And a key is of a type whose values equal what the driver makes of them.
    """
    if not options.is_server:
        return
    for column in (options.due_column, options.first_column, options.settled_column):
        kind = table.types[column.lower()]
        if not isinstance(kind, Double | Integer | Numeric):
            raise SourceRefusedError(
                f"{table} has {column} as {kind}: make it DOUBLE PRECISION, seconds since 1970, or name another column"
            )
    for column in options.id_column:
        kind = table.types[column.lower()]
        if _kind(kind) in _INEXACT:
            raise SourceRefusedError(
                f"{table} has {column}, of its key, as {kind}, by which a row is not found again: "
                "make it a whole number, DOUBLE PRECISION or text"
            )


def _kind(column_type: TypeEngine[Any]) -> str:  # of any value
    return str(type(column_type).__visit_name__).upper()


def _restorer(kind: TypeEngine[Any]) -> Callable[[str], object]:
    with suppress(NotImplementedError):
        python_type = kind.python_type
        if python_type in (int, float, Decimal, uuid.UUID):
            restore: Callable[[str], object] = python_type
            return restore
        if python_type is bytes:
            return _bytes_of
    return str


def _bytes_of(text: str) -> object:
    return values_of(text)[2]


def _is_partial(index: Mapping[str, Any]) -> bool:  # SQLAlchemy's description
    return any(option.endswith("_where") for option in index.get("dialect_options", {}))


def _lowered(names: Sequence[str | None]) -> list[str]:
    return sorted(str(name).lower() for name in names)
