"""SQL for names that are known only when a table is: written once for each table and dialect, and run by its driver.

It goes past SQLAlchemy's expressions, since what is run for each batch must cost little more than the driver does.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from sqlalchemy import Connection

from consumerd.database.dialects import NOW
from consumerd.database.embedded import driver_of

_PARAMETER = re.compile(r":([a-z_0-9]+)")


@dataclass(frozen=True, slots=True)
class Statement:
    """A statement in a driver's own form.

    text: with the driver's placeholders.
    names: what stands for each placeholder, in their order.
    """

    text: str
    names: tuple[str, ...]

    def parameters(self, **values: object) -> tuple[object, ...]:
        """The values in the order of the placeholders; those that it does not have are left out."""
        return tuple(values[name] for name in self.names)

    def rows(self, **columns: Iterable[object]) -> list[tuple[object, ...]]:
        """The same for many rows, of a column of values for each name; as many as the shortest column has."""
        return list(zip(*(columns[name] for name in self.names), strict=False))


@dataclass(frozen=True, slots=True)
class Writer:
    """Writes statements of templates, in which `{part}` is a name of the table's and `:name` a value.

    dialect: SQLAlchemy's name of it.
    names: what the parts are called, quoted.
    is_clock_given: `:now` is a parameter, else the database's clock, in seconds since the epoch.
    """

    dialect: str
    names: Mapping[str, str]
    is_clock_given: bool = False

    def __call__(self, template: str, **texts: str) -> Statement:
        """The statement. texts: more parts, which are SQL themselves."""
        text = template.format(**texts, **self.names)
        found: list[str] = []

        def placed(match: re.Match[str]) -> str:
            if match[1] == "now" and not self.is_clock_given:
                return NOW[self.dialect]
            found.append(match[1])
            return "?" if self.dialect == "sqlite" else "%s"

        return Statement(_PARAMETER.sub(placed, text), tuple(found))


def quoted(dialect: str, name: str) -> str:
    """A name as a statement has it."""
    return f"`{name}`" if dialect == "mysql" else f'"{name}"'


def run(connection: Connection, text: str, parameters: Sequence[object]) -> Any:  # a cursor, or SQLAlchemy's of it
    """Execute a statement once. SQLite's driver is spoken to itself: SQLAlchemy's share would count."""
    if connection.dialect.name == "sqlite":
        return driver_of(connection).execute(text, parameters)
    return connection.exec_driver_sql(text, tuple(parameters))


def run_many(connection: Connection, text: str, rows: list[tuple[object, ...]]) -> int:
    """Execute a statement for each of `rows`, one at least; how many rows of the table it changed."""
    if connection.dialect.name == "sqlite":
        return driver_of(connection).executemany(text, rows).rowcount
    return connection.exec_driver_sql(text, rows).rowcount


Now = Callable[[], float]
"""The clock of a database that runs in this process: seconds since the epoch."""
