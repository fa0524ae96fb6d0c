"""SQL for names that are known only when a table is: written once for each table and dialect, and run by its driver.

It goes past SQLAlchemy's expressions, since what is run for each batch must cost little more than the driver does.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from consumerd.database.dialects import NOW
from consumerd.database.embedded import driver_of

_PARAMETER = re.compile(r"""("[^"]*"|`[^`]*`|'[^']*'|::)|:([a-z_0-9]+)""")
"""What is left as it is: a quoted name, a text, PostgreSQL's cast. Or the place of a value."""
_HIDDEN = {ord(mark): 0xF8F0 + number for number, mark in enumerate(":'\"`")}
"""What has a meaning in a template is a character for private use while a user's SQL is a part of one."""
_RESTORED = {hidden: mark for mark, hidden in _HIDDEN.items()}


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement in a driver's own form.

    text: with the driver's placeholders.
    names: what stands for each placeholder, in their order.
    """

    text: str
    names: tuple[str, ...]

    def rows(self, **columns: Iterable[object]) -> list[tuple[object, ...]]:
        """The parameters for many rows, of a column of values for each name; as many as the shortest column has."""
        return list(zip(*(columns[name] for name in self.names), strict=False))


def written(template: str, parts: Mapping[str, str], dialect: str, *, is_clock_given: bool) -> Statement:
    """The statement of a template, in which `{part}` is SQL, such as a name, and `:name` a value.

    is_clock_given: `:now` is a value, too; else it is the database's clock, in seconds since the epoch.
    """
    found: list[str] = []

    def placed(match: re.Match[str]) -> str:
        as_it_is, value = match.groups()
        if as_it_is is not None:
            return str(as_it_is)
        if value == "now" and not is_clock_given:
            return NOW[dialect]
        found.append(value)
        return "?" if dialect == "sqlite" else "%s"

    sql = template.format(**parts)
    plain = sql if dialect == "sqlite" else sql.replace("%", "%%")  # on servers a `%` begins a placeholder
    return Statement(_PARAMETER.sub(placed, plain).translate(_RESTORED), tuple(found))


def opaque(sql: str) -> str:
    """SQL of a user's, as a part of a template: nothing in it is taken for a value or the begin of a text.

    Whatever texts and comments the dialect knows, such as `$$it's :x$$`. A comment at its end ends with it.
    """
    return f"{sql.translate(_HIDDEN)}\n"


def quoted(dialect: str, name: str) -> str:
    """A name, of whatever characters, as a statement has it."""
    quote = "`" if dialect == "mysql" else '"'
    return f"{quote}{name.replace(quote, 2 * quote)}{quote}"


def quoted_table(dialect: str, name: str) -> str:
    """A table's name; where it has a dot, a schema's and a table's, but not in SQLite."""
    return ".".join(quoted(dialect, part) for part in ([name] if dialect == "sqlite" else name.split(".")))


def quoted_text(dialect: str, text: str) -> str:
    """A text, of whatever characters, as a statement has it."""
    escaped = text.replace("\\", "\\\\") if dialect == "mysql" else text
    return "'" + escaped.replace("'", "''") + "'"


def run(connection: Connection, statement: Statement, **values: object) -> Any:  # a cursor, or SQLAlchemy's of it
    """Execute a statement once, with those of the values that it asks for."""
    parameters = tuple(map(values.__getitem__, statement.names))
    if connection.dialect.name == "sqlite":
        return driver_of(connection).execute(statement.text, parameters)
    return connection.exec_driver_sql(statement.text, parameters)


def run_many(connection: Connection, statement: Statement, rows: list[tuple[object, ...]]) -> int:
    """Execute a statement for each of `rows`, one at least; how many rows of the table it changed."""
    if connection.dialect.name == "sqlite":
        return driver_of(connection).executemany(statement.text, rows).rowcount
    return connection.exec_driver_sql(statement.text, rows).rowcount
