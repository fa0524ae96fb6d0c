"""What a claimed table is like for its claims: what is read of it, by which index; or why it cannot be claimed from.

Runs in workers and in probes.
"""

from __future__ import annotations

import itertools
import sqlite3
import uuid
from collections.abc import Callable, Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from decimal import Decimal
from typing import Any

from sqlalchemy import Connection
from sqlalchemy.exc import DBAPIError
from sqlalchemy.types import JSON, TypeEngine

from consumerd.database.causes import is_locked, may_pass, words_of
from consumerd.database.sql import opaque, quoted, quoted_table, run, written
from consumerd.errors import SourceRefusedError
from consumerd.sources.identities import values_of
from consumerd.sources.table.found import FoundTable, kind_of, misfits_of, misfits_of_key
from consumerd.sources.table.options import TableOptions

_COMMAND = "consumerd table CONFIG TARGET"
_HOLDS_OF_NONE = "SELECT 1 FROM {table} WHERE ({where}) LIMIT 0"


@dataclass(frozen=True, slots=True)
class Shape:
    """A table as it was found.

    dialect: SQLAlchemy's name of its database.
    names: the columns of a record that is the row; empty where the record is the payload.
    content: what is read for the record, in SQL, for a statement with placeholders.
    index: the index that serves claims; empty where there is none.
    is_ordered: it orders rows of one time by their key, too.
    turn_index: the index that serves claims of rows in turn; empty where rows take none.
    key_types: for each column of the key, how it is had from its text; None where the database tells no type.
    has_text_states: the states are text, which may have any value.
    moved: the columns with which a finished row is moved to another table.
    null_keys: those columns of the key, of a table that has its claims beside it, that may be NULL.
    """

    dialect: str
    names: tuple[str, ...]
    content: tuple[str, ...]
    index: str
    is_ordered: bool
    key_types: tuple[Callable[[str], object], ...] | None
    has_text_states: bool = True
    moved: tuple[str, ...] = ()
    turn_index: str = ""
    null_keys: tuple[str, ...] = ()

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
    table = claimed = find_content(connection, options, place)
    if options.is_beside:
        claimed = FoundTable(connection, options, options.claimed_table, place, f"make it with {_COMMAND} --create")
    claimed.need(options.needed_columns, f"add it ({_COMMAND} prints how), or name another (…_column)")
    if misfits := list(misfits_of(connection, claimed, options)):
        raise SourceRefusedError(f"{claimed} {'; it '.join(misfits)}")
    if not claimed.is_unique(options.id_column):
        key = ", ".join(options.id_column)
        raise SourceRefusedError(
            f"{claimed} has no unique index on {key}: make it the primary key ({_COMMAND} prints how)"
        )
    for columns in options.indexes[1:]:  # without it each claim would sort the whole table, and on MySQL lock it
        if not claimed.index_beginning(*columns):
            told = ", ".join(columns)
            raise SourceRefusedError(
                f"{claimed} has no index on ({told}), by which rows take turns: make it ({_COMMAND} prints how)"
            )
    if options.where:
        _check_where(connection, options, table)
    return replace(_shape(connection, options, table, claimed), moved=_moved(connection, options, table, place))


def find_content(connection: Connection, options: TableOptions, place: str) -> FoundTable:
    """The users' table. SourceRefusedError where it is not there, or its claims cannot even stand beside it."""
    if not options.is_beside:
        remedy = f"make it with {_COMMAND} --create" if options.columns is None else "create it, or correct `table`"
        return FoundTable(connection, options, options.table, place, remedy)
    table = FoundTable(connection, options, options.table, place, "create it, or correct `table`")
    table.need((*options.id_column, *options.content_columns), "name others (id_column, payload_column, columns)")
    if misfits := list(misfits_of_key(table.types, options)):
        raise SourceRefusedError(f"{table} {'; it '.join(misfits)}")
    if not table.is_unique(options.id_column):
        key = ", ".join(options.id_column)
        raise SourceRefusedError(f"{table} has no unique index on {key}: name the columns of one (id_column)")
    return table


def _check_where(connection: Connection, options: TableOptions, table: FoundTable) -> None:
    """SourceRefusedError where the database cannot make anything of the condition, which each statement has."""
    dialect = connection.dialect.name
    parts = {"table": quoted_table(dialect, options.table), "where": opaque(options.where)}
    try:
        run(connection, written(_HOLDS_OF_NONE, parts, dialect, is_clock_given=False))
    except (DBAPIError, sqlite3.Error) as error:
        if may_pass(error) or is_locked(error):
            raise
        raise SourceRefusedError(f"`where` is no condition on {table}: {words_of(error)}: correct it") from error


def _shape(connection: Connection, options: TableOptions, table: FoundTable, claimed: FoundTable) -> Shape:
    dialect = connection.dialect.name
    names: tuple[str, ...] = ()
    if options.columns is None:
        is_json = isinstance(table.types[options.payload_column.lower()], JSON) and dialect == "postgresql"
        form = "coalesce(CAST({} AS BLOB), x'')" if dialect == "sqlite" else "CAST({} AS TEXT)" if is_json else "{}"
        content: tuple[str, ...] = (form.format(quoted(dialect, options.payload_column)),)
    else:
        names = table.names if "*" in options.columns else options.columns
        content = tuple(quoted(dialect, column) for column in names)
    ordered = claimed.index_ordering(options.indexes[0], options.id_column)
    beside = options.id_column if options.is_beside else ()
    nullable = {each["name"].lower() for each in table.columns if each["nullable"]}
    restorers = tuple(_restorer(table.types[each.lower()]) for each in options.id_column)
    return Shape(
        dialect=dialect,
        names=names,
        content=content,
        index=ordered or claimed.index_beginning(*options.indexes[0]),
        is_ordered=bool(ordered),
        key_types=None if dialect == "sqlite" else restorers,
        has_text_states=kind_of(claimed.types[options.state_column.lower()]) not in ("ENUM", "TINYINT"),
        turn_index=next((claimed.index_beginning(*columns) for columns in options.indexes[1:]), ""),
        null_keys=tuple(column for column in beside if column.lower() in nullable),
    )


def _moved(connection: Connection, options: TableOptions, table: FoundTable, place: str) -> tuple[str, ...]:
    """The columns with which a finished row is moved; those of the other table that it computes are left out."""
    if options.done_table is None:
        return ()
    other = FoundTable(connection, options, options.done_table, place, f"make it with all columns of {options.table}")
    other.need(table.names, f"add it: finished rows of {options.table} go there with all of their columns")
    computed = {each["name"].lower() for each in other.columns if "computed" in each}
    return tuple(name for name in table.names if name.lower() not in computed)


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
