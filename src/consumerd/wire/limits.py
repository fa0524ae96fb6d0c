"""How limits stand in the shared table: what the master defines, workers take of, and `status` shows.

A limit's own row is there from when it is defined. It has the numbers, and what is used where all tasks count together;
else each key has a row, with the numbers that held for it last.
"""

from __future__ import annotations

from dataclasses import dataclass

from consumerd.model.limits import Numbers
from consumerd.wire.shared_table import HELD, NEVER, Row, SharedTable

AT_ONCE, INTERVAL_NS, EVEN_NS = range(3)
"""Shared words: the numbers; when the next task would start, if all started evenly."""

WAITING, WAITING_SINCE_NS, ASKED_NS = range(1, 4)
"""A holder's own words: how many tasks wait, since when the first does, and when it was refused last."""

_KIND = "limit"


def row_name(limit: str, key: str | None = None) -> str:
    """The row of a limit, or of one key of it. The name of a limit has no space."""
    return f"{_KIND} {limit}" if key is None else f"{_KIND} {limit} {key}"


def define(table: SharedTable, limit: str, numbers: Numbers) -> bool:
    """Give a limit its numbers, from now on. False where it has no row, and none can be had now."""
    name = row_name(limit)
    if (row := table.find(name)) is not None:
        set_numbers(row, numbers)  # each word by itself: nobody else writes them
        return True
    with table.changing(name) as row:
        if row is not None:
            row.idle_from(NEVER)
            set_numbers(row, numbers)
        return row is not None


def set_numbers(row: Row, numbers: Numbers) -> None:
    row.words[AT_ONCE], row.words[INTERVAL_NS] = numbers.at_once, numbers.interval_ns


def numbers_of(row: Row) -> Numbers:
    return Numbers(row.words[AT_ONCE], row.words[INTERVAL_NS])


@dataclass(frozen=True, slots=True)
class Use:
    """How a limit, or one key of it, is used. waiting_since_ns: on the monotonic clock; 0 where no task waits."""

    limit: str
    key: str | None
    numbers: Numbers
    running: int
    waiting: int
    waiting_since_ns: int


def uses(table: SharedTable) -> list[Use]:
    """Of every limit that was defined, and of those of its keys that are in use, as they stand."""
    found = []
    for row in table.rows():
        kind, _, rest = row.name.partition(" ")
        if kind != _KIND:
            continue
        limit, has_key, key = rest.partition(" ")
        running, waiting = sum(row.of_all(HELD)), sum(row.of_all(WAITING))
        if has_key and not running and not waiting:
            continue
        since = [at_ns for at_ns in row.of_all(WAITING_SINCE_NS) if at_ns]
        found.append(Use(limit, key if has_key else None, numbers_of(row), running, waiting, min(since, default=0)))
    return found
