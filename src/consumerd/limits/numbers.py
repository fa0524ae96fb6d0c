"""The numbers of a limit that stand in a database of the user's, read by a thread of their own.

What was read last holds while the database is away. A number that means nothing is told once, and the limit's own
number holds.
"""

from __future__ import annotations

import math
import os
import threading
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import closing
from decimal import Decimal
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING

from consumerd import events
from consumerd.config.redaction import Redactor
from consumerd.config.secrets import Resolver
from consumerd.config.shape import LimitNumbers
from consumerd.database.causes import cause_of
from consumerd.database.urls import connect_arguments, driver_needed, read_url
from consumerd.errors import ConsumerdError, UsageError
from consumerd.events.facts import Fact
from consumerd.model.limits import ANY, Numbers, key_text

if TYPE_CHECKING:
    from sqlalchemy import Engine

MOST_KEYS = 100_000
LARGEST = 1_000_000
COLUMNS = ("at_once", "per_second")

Read = Callable[[], tuple[Sequence[str], Iterable[Sequence[object]]]]
"""The names of the columns, and the rows."""


class NumbersOfKeys:
    """What a limit's query said last. `of` may be called by any thread.

    is_asked: whether the database was asked at all; is_read: whether it has answered.
    """

    def __init__(self, limit: str, fixed: Numbers, emit: Callable[[Fact], None], read: Read) -> None:
        self._limit = limit
        self._fixed = fixed
        self._emit = emit
        self._read = read
        self._found: Mapping[str | None, Numbers] = {}
        self._refused: set[tuple[str | None, str, str]] = set()
        self._is_away = False
        self.is_read = self.is_asked = False

    def of(self, key: str | None) -> Numbers:
        """The numbers of a key; those of the limit where the query has none."""
        return self._found.get(key, self._fixed)

    def refresh(self) -> None:
        """Ask the database; what it says holds from now on."""
        try:
            self.ask()
        except Exception as error:  # noqa: BLE001 - around the user's query: whatever is wrong, the last answer holds
            if not self._is_away:
                told = str(error) if isinstance(error, ConsumerdError) else cause_of(error)
                self._emit(events.limit_numbers_unread(limit=self._limit, error=told, then=self._then()))
            self._is_away = True
        else:
            if self._is_away:
                self._emit(events.limit_numbers_read(limit=self._limit, keys=len(self._found)))
            self._is_away, self.is_read = False, True
        self.is_asked = True

    def ask(self) -> None:
        """The same; raises whatever is wrong with the query, or its database."""
        columns, rows = self._read()
        names = [name for name in columns[1:] if name in COLUMNS]
        if not names:
            raise UsageError(f"the query returns {', '.join(columns)}: after the key it needs at_once or per_second")
        found, refused = {}, set[tuple[str | None, str, str]]()
        for row in rows:
            key = key_text(row[0])
            found[key] = self._numbers(key, dict(zip(columns, row, strict=True)), refused)
        if len(found) > MOST_KEYS:
            raise UsageError(f"the query returns more than {MOST_KEYS} keys: let it return those in use")
        for key, name, value in sorted(refused - self._refused, key=str):
            self._emit(events.limit_number_refused(limit=self._limit, key=key, column=name, value=value))
        self._refused, self._found = refused, found

    def _then(self) -> str:
        return "the numbers that were read last hold" if self.is_read else "the limit's own numbers hold"

    def _numbers(
        self, key: str | None, row: Mapping[str, object], refused: set[tuple[str | None, str, str]]
    ) -> Numbers:
        fixed = None if self._fixed.at_once == ANY else self._fixed.at_once, self._fixed.per_second
        taken = []
        for name, otherwise in zip(COLUMNS, fixed, strict=True):
            value = row.get(name)
            number = _number(value, is_whole=name == "at_once")
            if number is None and value is not None:
                refused.add((key, name, repr(value)[:100]))
            taken.append(otherwise if number is None else number)
        at_once, per_second = taken
        return Numbers.of(None if at_once is None else int(at_once), per_second)


def _number(value: object, *, is_whole: bool) -> float | None:
    """A number that means something, or None."""
    if isinstance(value, bool) or not isinstance(value, int | float | Decimal) or not math.isfinite(value):
        return None
    is_meant = value == 0 or (1 if is_whole else 0.001) <= value <= LARGEST
    return float(value) if is_meant and (not is_whole or value == int(value)) else None


def read_by(numbers: LimitNumbers, directory: Path) -> tuple[Read, Redactor]:
    """What asks the user's database, and takes secrets out of what is told of it.

    directory: to which references, and the path of a SQLite file, are relative.
    """
    resolved = Resolver(os.environ, directory).resolve({"database": numbers.database})
    engines: list[Engine] = []

    def read() -> tuple[Sequence[str], Iterable[Sequence[object]]]:
        from sqlalchemy import text

        if resolved.failures:
            raise UsageError(f"its database cannot be resolved: {resolved.failures[0][1]}")
        if not engines:
            engines.append(_engine(resolved.value["database"], directory))
        with closing(engines[0].connect()) as connection:
            answer = connection.execute(text(numbers.query))
            return list(answer.keys()), [tuple(row) for row in islice(answer, MOST_KEYS + 1)]

    return read, Redactor(resolved.secrets)


def _engine(database: str, directory: Path) -> Engine:
    """It connects anew each time, reads only, and waits for no answer for ever."""
    from sqlalchemy import URL, NullPool, create_engine

    if "://" not in database:
        file = (directory / database).as_uri()
        url = URL.create("sqlite+pysqlite", database=file.removeprefix("//"), query={"mode": "ro", "uri": "true"})
        return create_engine(url, poolclass=NullPool)
    url = read_url(database, "database")
    with driver_needed(url):
        return create_engine(url, poolclass=NullPool, connect_args=connect_arguments(url))


def keep_reading(found: NumbersOfKeys, every_s: float) -> None:
    """Have a thread ask again and again, for as long as this process lives."""
    never = threading.Event()

    def run() -> None:
        while True:
            found.refresh()
            never.wait(every_s)

    threading.Thread(target=run, name="consumerd-numbers", daemon=True).start()
