"""A table as its database describes it: its columns, its key, its indexes; and what of it does not fit a claimed table.

Runs in workers and in probes.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

from sqlalchemy import Connection, inspect
from sqlalchemy.exc import NoSuchTableError, SAWarning
from sqlalchemy.types import (
    ARRAY,
    JSON,
    Double,
    Enum,
    Integer,
    LargeBinary,
    NullType,
    Numeric,
    String,
    Text,
    TypeEngine,
)

from consumerd.database.sql import quoted_table
from consumerd.errors import SourceRefusedError
from consumerd.sources.table.options import TableOptions

_INEXACT = frozenset({"FLOAT", "REAL", "BIT"})
_UNORDERED = frozenset({"ENUM", "SET"})
"""MySQL sorts such columns in another order than it compares them with a text."""
_NUMBERS = (Integer, Numeric, Double, NullType)
"""Or what SQLAlchemy does not know."""
_HAS_NO_ROWID = "SELECT wr FROM pragma_table_list(?)"


class FoundTable:
    """A table as its database describes it, its indexes among that. SourceRefusedError where there is none.

    columns: as SQLAlchemy describes them.
    types: of the columns, by their names in lower case.
    """

    def __init__(self, connection: Connection, options: TableOptions, name: str, place: str, made_by: str) -> None:
        """name: as the options have it. made_by: how it is made."""
        self._told = f"the table {name} of the {place}"
        schema, _, self.name = name.rpartition(".") if options.is_server else ("", "", name)
        found, of = inspect(connection), (self.name, schema or None)
        restored = _restored if connection.dialect.name == "mysql" else _as_it_is
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", SAWarning)  # of what SQLAlchemy does not know of a table
                self.columns = restored(found.get_columns(*of))
        except NoSuchTableError as error:
            raise SourceRefusedError(f"{self} does not exist: {made_by}") from error
        self.types = {each["name"].lower(): _known(each["type"]) for each in self.columns}
        self._primary: Sequence[str | None] = restored(found.get_pk_constraint(*of)["constrained_columns"])
        options_of = found.get_table_options(*of) if connection.dialect.name == "mysql" else {}
        self._is_clustered = str(options_of.get("mysql_engine", "")).lower() == "innodb"
        self._others = restored(found.get_indexes(*of))
        hidden = _hidden_indexes(connection, name)
        self._usable = [index for index in self._others if index["name"] not in hidden]
        self._constraints = restored(found.get_unique_constraints(*of))

    def __str__(self) -> str:
        return self._told

    @property
    def names(self) -> tuple[str, ...]:
        """Of its columns."""
        return tuple(each["name"] for each in self.columns)

    def lacks(self, columns: Iterable[str]) -> list[str]:
        """Those of these columns that it has not."""
        return [column for column in columns if column.lower() not in self.types]

    def need(self, columns: Iterable[str], remedy: str) -> None:
        """SourceRefusedError where one of these columns is missing."""
        if missing := self.lacks(columns):
            raise SourceRefusedError(f"{self} has no column {', '.join(missing)}: {remedy}")

    def is_unique(self, columns: Sequence[str]) -> bool:
        """Whether these columns together tell a row."""
        whole = (index for index in self._others if index["unique"] and not _is_partial(index))
        unique: list[Sequence[str | None]] = [index["column_names"] for index in whole]
        unique += [constraint["column_names"] for constraint in self._constraints]
        wanted = sorted(_lower(columns))
        return any(sorted(_lower(each)) == wanted for each in [self._primary, *unique])

    def index_beginning(self, *columns: str) -> str:
        """The name of an index whose first columns are these; empty where there is none."""
        wanted = _lower(columns)
        return self._index_where(lambda found: found[: len(wanted)] == wanted)

    def index_ordering(self, columns: Sequence[str], key: Sequence[str]) -> str:
        """The name of an index on these columns that orders by the key what is alike in them; empty: there is none.

        Behind the columns of each index InnoDB puts those of the primary key.
        """
        found = self.index_beginning(*columns, *key)
        if found or not self._is_clustered or _lower(self._primary) != _lower(key):
            return found
        return self._index_where(lambda found: found == _lower(columns))

    def _index_where(self, fits: Callable[[list[str]], bool]) -> str:
        names = (str(index["name"]) for index in self._usable if fits(_lower(index["column_names"])))
        return next(names, "")

    def has_in_index(self, name: str, *columns: str) -> bool:
        """Whether the index of this name has these columns, or is one of a part of the rows."""
        wanted = {column.lower() for column in columns}
        return any(
            index["name"] == name and (_is_partial(index) or wanted <= set(_lower(index["column_names"])))
            for index in self._others
        )


def _hidden_indexes(connection: Connection, table: str) -> set[str]:
    """The indexes that MySQL has as INVISIBLE, or MariaDB as IGNORED: they are kept, and nothing is read by them."""
    if connection.dialect.name != "mysql":
        return set()
    asked = f"SHOW INDEX FROM {quoted_table('mysql', table)}"
    return _hidden_in(connection.exec_driver_sql(asked, execution_options={"no_parameters": True}).mappings())


def _hidden_in(shown: Iterable[Mapping[Any, Any]]) -> set[str]:  # rows of SHOW INDEX
    return {row["Key_name"] for row in shown if row.get("Visible") == "NO" or row.get("Ignored") == "YES"}


def misfits_of(connection: Connection, table: FoundTable, options: TableOptions) -> Iterator[str]:
    """What keeps a table that has all columns from being claimed from, a clause each: "has …: make it …"."""
    if options.is_server:
        yield from _misfits_of_types(table.types, options)
    else:  # its rows are claimed by their `_rowid_`, which a column of that name would hide
        if "_rowid_" in table.types:
            yield "has a column named _rowid_, which hides SQLite's own: rename it"
        if connection.exec_driver_sql(_HAS_NO_ROWID, (table.name,)).scalar():
            yield "is WITHOUT ROWID: make it anew without that"
    lease = options.lease_column
    if any(each["name"].lower() == lease.lower() and not each["nullable"] for each in table.columns):
        yield f"has {lease} as NOT NULL, and rows that nobody has claimed have none: let it be NULL"


def _misfits_of_types(types: Mapping[str, TypeEngine[Any]], options: TableOptions) -> Iterator[str]:
    """On a server, times are numbers: a column of dates would be compared with seconds, and never be due.

    A key is of a type whose values equal what the driver makes of them, and a state can be each of its words.
    """
    for column in (options.due_column, options.first_column, options.settled_column):
        if not isinstance(kind := types[column.lower()], _NUMBERS):
            yield f"has {column} as {kind}: make it DOUBLE PRECISION, seconds since 1970, or name another column"
    yield from misfits_of_key(types, options)
    if not isinstance(kind := types[options.attempts_column.lower()], _NUMBERS):
        yield f"has {options.attempts_column} as {kind}: make it a whole number, or name another column"
    if not isinstance(kind := types[options.lease_column.lower()], String | NullType):
        yield f"has {options.lease_column} as {kind}: make it a text of 255 characters, or name another column"
    yield from _misfits_of_turns(types, options)
    kind = types[options.state_column.lower()]
    if unfit := [word for word in options.states.model_dump().values() if not _can_be(kind, word)]:
        words = ", ".join(unfit)
        yield f"has {options.state_column} as {kind}, which cannot be {words}: widen it, or name other `states`"


def misfits_of_key(types: Mapping[str, TypeEngine[Any]], options: TableOptions) -> Iterator[str]:
    """What keeps rows from being found again by their key."""
    unfit = _INEXACT | _UNORDERED if options.is_beside else _INEXACT
    for column in options.id_column if options.is_server else ():
        if kind_of(kind := types[column.lower()]) in unfit:
            yield (
                f"has {column}, of its key, as {kind}, by which a row is not found again: make it a whole number, "
                "DOUBLE PRECISION or text"
            )


def _misfits_of_turns(types: Mapping[str, TypeEngine[Any]], options: TableOptions) -> Iterator[str]:
    """A value by which rows take turns is found again by what its driver makes of it, and is in an index as a whole."""
    if (column := options.priority) is not None:
        kind = types[column.lower()]
        if not isinstance(kind, _NUMBERS) or kind_of(kind) in _INEXACT:
            yield f"has {column}, its priority, as {kind}: make it a whole number, or name another column"
    if (column := options.fair_by) is not None:
        kind = types[column.lower()]
        is_long = isinstance(kind, Text | LargeBinary) and options.database.startswith(("mysql", "mariadb"))
        if is_long or isinstance(kind, JSON | ARRAY) or kind_of(kind) in _INEXACT:
            yield f"has {column}, which is its fair_by, as {kind}: make it a whole number or a text of some length"


def _can_be(kind: TypeEngine[Any], word: str) -> bool:
    """Whether a column of this type takes this text as a value, as far as can be told."""
    if isinstance(kind, Enum):
        return word in kind.enums
    if isinstance(kind, Integer | Numeric):
        return word.lstrip("-").isdecimal()
    return not isinstance(kind, String) or kind.length is None or len(word) <= kind.length


def kind_of(column_type: TypeEngine[Any]) -> str:  # of any value
    """The name of a type, in capitals."""
    return str(type(column_type).__visit_name__).upper()


def _known(kind: TypeEngine[Any]) -> TypeEngine[Any]:
    """The type that a domain is of."""
    return getattr(kind, "data_type", kind)


def _as_it_is(described: Any) -> Any:  # SQLAlchemy's descriptions
    return described


def _restored(described: Any) -> Any:  # SQLAlchemy's descriptions
    """What SQLAlchemy says of a table of MySQL, with names as they are: it leaves a ` in them doubled."""
    match described:
        case str():
            return described.replace("``", "`")
        case list():
            return [_restored(each) for each in described]
        case dict():
            return {key: _restored(each) if "name" in key else each for key, each in described.items()}
    return described


def _is_partial(index: Mapping[str, Any]) -> bool:  # SQLAlchemy's description
    return any(option.endswith("_where") for option in index.get("dialect_options", {}))


def _lower(names: Sequence[str | None]) -> list[str]:
    return [str(name).lower() for name in names]
